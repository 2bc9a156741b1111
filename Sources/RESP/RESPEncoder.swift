/// One word of a command: `String`, `Substring`, `[UInt8]`, the integer types and `Double` are words.
public protocol RESPEncodable {
    /// How many bytes ``encode(into:)`` writes.
    var respByteCount: Int { get }
    /// Writes the word's bytes, ``respByteCount`` of them.
    func encode(into output: inout OutputSpan<UInt8>)
}

/// Encodes commands as a server reads them: `*N`, then `$length` and the bytes of each word.
public enum RESPEncoder {
    /// Encodes one command.
    ///
    /// - Parameters:
    ///   - words: the command's name and its arguments; they may hold any bytes.
    ///   - limits: how many words, and how many bytes in a word and in the whole command.
    /// - Returns: the bytes to send.
    /// - Throws: ``RESPEncodingError`` for a command without words, and for one over a limit.
    public static func encode(
        _ words: [any RESPEncodable],
        limits: RESPLimits = .default
    ) throws(RESPEncodingError) -> [UInt8] {
        let command = RESPWordList(words)
        let byteCount = try command.byteCount(limits)
        var failure: RESPEncodingError?
        let bytes = [UInt8](capacity: byteCount) { output in
            do throws(RESPEncodingError) {
                try command.encode(into: &output)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}

/// A command that knows its size before it is written.
package protocol RESPCommand {
    /// The size on the wire, in bytes.
    func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int
    /// Writes the command: exactly as many bytes as `byteCount` said, or it throws.
    func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError)
}

/// A command whose words are known when it is compiled.
package struct RESPWords<each Word: RESPEncodable>: RESPCommand {
    private let words: (repeat each Word)

    @inlinable @inline(__always)
    package init(_ words: repeat each Word) {
        self.words = (repeat each words)
    }

    @inline(__always)
    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        for word in repeat each words { try size.add(word.respByteCount) }
        return try size.total()
    }

    @inline(__always)
    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        var count = 0
        for _ in repeat each words { count += 1 }
        output.appendHeader(RESPType.array, count)
        for word in repeat each words { try output.appendWord(word) }
    }
}

/// A command whose words are known when it is run.
package struct RESPWordList: RESPCommand {
    private let words: [any RESPEncodable]

    package init(_ words: [any RESPEncodable]) {
        self.words = words
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        for word in words { try size.add(word.respByteCount) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        output.appendHeader(RESPType.array, words.count)
        for word in words { try output.appendWord(word) }
    }
}

/// A command of some words and then a list, as those that take any number of keys or fields.
package struct RESPWordsThenList<each Word: RESPEncodable, Element: RESPEncodable>: RESPCommand {
    private let words: (repeat each Word)
    private let list: [Element]

    @inline(__always)
    package init(_ words: repeat each Word, then list: [Element]) {
        self.words = (repeat each words)
        self.list = list
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        for word in repeat each words { try size.add(word.respByteCount) }
        for word in list { try size.add(word.respByteCount) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        var count = list.count
        for _ in repeat each words { count += 1 }
        output.appendHeader(RESPType.array, count)
        for word in repeat each words { try output.appendWord(word) }
        for word in list { try output.appendWord(word) }
    }
}

/// Adds a command's size up, against the limits.
private struct CommandSize {
    private let limits: RESPLimits
    private var words = 0
    private var bytes = 0

    @inline(__always)
    init(_ limits: RESPLimits) {
        self.limits = limits
    }

    @inline(__always)
    mutating func add(_ byteCount: Int) throws(RESPEncodingError) {
        words += 1
        guard byteCount >= 0, byteCount <= limits.maxBulkBytes else {
            throw RESPEncodingError(
                "word \(words) of the command has \(byteCount) bytes; at most \(limits.maxBulkBytes) may be sent"
            )
        }
        // No sum overflows: it is checked against the limit after each word.
        bytes += 5 + decimalDigits(byteCount) + byteCount
        guard bytes <= limits.maxReplyBytes else {
            throw RESPEncodingError("the command has more than \(limits.maxReplyBytes) bytes")
        }
    }

    @inline(__always)
    func total() throws(RESPEncodingError) -> Int {
        guard words > 0 else { throw RESPEncodingError.emptyCommand }
        guard words <= limits.maxWords else {
            throw RESPEncodingError("the command has \(words) words; at most \(limits.maxWords) may be sent")
        }
        return bytes + 3 + decimalDigits(words)
    }
}

extension OutputSpan<UInt8> {
    @inline(__always)
    fileprivate mutating func appendWord(_ word: some RESPEncodable) throws(RESPEncodingError) {
        let byteCount = word.respByteCount
        appendHeader(RESPType.bulkString, byteCount)
        let before = count
        // Room for a word that breaks its promise is refused, not trapped on: it never reaches the wire.
        guard freeCapacity >= byteCount else { throw .wrongByteCount }
        word.encode(into: &self)
        guard count - before == byteCount, freeCapacity >= 2 else { throw .wrongByteCount }
        append(RESPByte.cr)
        append(RESPByte.lf)
    }

    @inline(__always)
    fileprivate mutating func appendHeader(_ type: UInt8, _ number: Int) {
        append(type)
        append(decimal: number)
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}

extension RESPEncodingError {
    fileprivate static var wrongByteCount: RESPEncodingError {
        RESPEncodingError("a word wrote another number of bytes than its respByteCount says")
    }
}
