/// One word of a command: `String`, `Substring`, `[UInt8]`, the integer types and `Double` are words.
public protocol RESPEncodable {
    /// How many bytes ``encode(into:)`` writes.
    var respByteCount: Int { get }
    /// Writes the word's bytes, ``respByteCount`` of them.
    ///
    /// A command with a word that writes another number of bytes is refused. Writing past the end of `output` traps, as it
    /// does for every `OutputSpan`.
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
            _ = command.encode(into: &output, &failure)
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

extension RESPCommand {
    /// Writes the command, and keeps the error if it cannot be written.
    ///
    /// - Returns: whether it was written whole.
    package func encode(into output: inout OutputSpan<UInt8>, _ failure: inout RESPEncodingError?) -> Bool {
        do throws(RESPEncodingError) {
            try encode(into: &output)
            return true
        } catch {
            failure = error
            return false
        }
    }
}

/// A command of three words of text.
package struct RESPTextCommand: RESPCommand {
    private let first: String
    private let second: String
    private let third: String

    package init(_ first: String, _ second: String, _ third: String) {
        self.first = first
        self.second = second
        self.third = third
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        try size.add(first.respByteCount)
        try size.add(second.respByteCount)
        try size.add(third.respByteCount)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        output.appendHeader(RESPType.array, 3)
        try output.appendWord(first)
        try output.appendWord(second)
        try output.appendWord(third)
    }
}

/// A command of two words and two integers, as those that name a range.
package struct RESPRangeCommand: RESPCommand {
    private let name: String
    private let key: String
    private let start: Int
    private let stop: Int

    package init(_ name: String, _ key: String, _ start: Int, _ stop: Int) {
        self.name = name
        self.key = key
        self.start = start
        self.stop = stop
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        try size.add(name.respByteCount)
        try size.add(key.respByteCount)
        try size.add(start.respByteCount)
        try size.add(stop.respByteCount)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        output.appendHeader(RESPType.array, 4)
        try output.appendWord(name)
        try output.appendWord(key)
        try output.appendWord(start)
        try output.appendWord(stop)
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

/// A command of two words and then a list, as those that take any number of fields of one key.
package struct RESPKeyAndList: RESPCommand {
    private let name: String
    private let key: String
    private let list: [String]

    package init(_ name: String, _ key: String, _ list: [String]) {
        self.name = name
        self.key = key
        self.list = list
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        try size.add(name.respByteCount)
        try size.add(key.respByteCount)
        for word in list { try size.add(word.respByteCount) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) throws(RESPEncodingError) {
        output.appendHeader(RESPType.array, list.count + 2)
        try output.appendWord(name)
        try output.appendWord(key)
        for word in list { try output.appendWord(word) }
    }
}

/// Adds a command's size up, against the limits.
private struct CommandSize {
    private let limits: RESPLimits
    private var words = 0
    private var bytes = 0

    init(_ limits: RESPLimits) {
        self.limits = limits
    }

    mutating func add(_ byteCount: Int) throws(RESPEncodingError) {
        words += 1
        guard byteCount >= 0, byteCount <= limits.maxBulkBytes else {
            throw RESPEncodingError(
                "word \(words) of the command has \(byteCount) bytes; at most \(limits.maxBulkBytes) may be sent"
            )
        }
        // No sum overflows: it is checked against the limit after each word.
        bytes += 5 + decimalDigits(byteCount) + byteCount
        try check(bytes)
    }

    func total() throws(RESPEncodingError) -> Int {
        guard words > 0 else { throw RESPEncodingError.emptyCommand }
        guard words <= limits.maxWords else {
            throw RESPEncodingError("the command has \(words) words; at most \(limits.maxWords) may be sent")
        }
        let total = bytes + 3 + decimalDigits(words)
        try check(total)
        return total
    }

    private func check(_ size: Int) throws(RESPEncodingError) {
        guard size <= limits.maxReplyBytes else {
            throw RESPEncodingError("the command has more than \(limits.maxReplyBytes) bytes")
        }
    }
}

extension OutputSpan<UInt8> {
    fileprivate mutating func appendWord(_ word: some RESPEncodable) throws(RESPEncodingError) {
        let byteCount = word.respByteCount
        // Room for a word that breaks its promise is refused, not trapped on: it never reaches the wire.
        guard byteCount >= 0, freeCapacity - 5 - decimalDigits(byteCount) >= byteCount else {
            throw .wrongByteCount
        }
        appendHeader(RESPType.bulkString, byteCount)
        let before = count
        word.encode(into: &self)
        guard count - before == byteCount, freeCapacity >= 2 else { throw .wrongByteCount }
        append(RESPByte.cr)
        append(RESPByte.lf)
    }

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
