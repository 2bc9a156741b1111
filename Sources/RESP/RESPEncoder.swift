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
        return [UInt8](capacity: try command.byteCount(limits)) { output in command.encode(into: &output) }
    }
}

/// A command that knows its size before it is written.
///
/// No code of a user's runs while one is measured or written: words are taken from their values before.
package protocol RESPCommand: Sendable {
    /// The size on the wire, in bytes.
    func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int
    /// Writes the command, exactly as many bytes as `byteCount` said. There must be room for them.
    func encode(into output: inout OutputSpan<UInt8>)
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
        try size.add(first.utf8.count)
        try size.add(second.utf8.count)
        try size.add(third.utf8.count)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.appendHeader(RESPType.array, 3)
        output.appendWord(first)
        output.appendWord(second)
        output.appendWord(third)
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
        try size.add(name.utf8.count)
        try size.add(key.utf8.count)
        try size.add(decimalDigits(start))
        try size.add(decimalDigits(stop))
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.appendHeader(RESPType.array, 4)
        output.appendWord(name)
        output.appendWord(key)
        output.appendWord(start)
        output.appendWord(stop)
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
        try size.add(name.utf8.count)
        try size.add(key.utf8.count)
        for word in list { try size.add(word.utf8.count) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.appendHeader(RESPType.array, list.count + 2)
        output.appendWord(name)
        output.appendWord(key)
        for word in list { output.appendWord(word) }
    }
}

/// A command of any words.
package struct RESPWordList: RESPCommand {
    private let words: [RESPWord]

    package init(_ words: [any RESPEncodable]) {
        self.words = words.map { $0.respWord }
    }

    /// A word in capitals, or nil if there is none at that place or it is not text.
    package func capitals(_ index: Int) -> String? {
        guard index < words.count else { return nil }
        switch words[index].content {
        case .text(let text): return text.uppercased()
        case .bytes(let bytes): return String(validating: bytes, as: UTF8.self)?.uppercased()
        case .signed, .unsigned: return nil
        }
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        for word in words { try size.add(word.byteCount) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.appendHeader(RESPType.array, words.count)
        for word in words {
            output.appendHeader(RESPType.bulkString, word.byteCount)
            word.encode(into: &output)
            output.appendLineEnd()
        }
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
        guard byteCount <= limits.maxBulkBytes else {
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
    fileprivate mutating func appendWord(_ text: String) {
        appendHeader(RESPType.bulkString, text.utf8.count)
        append(copying: text.utf8Span.span)
        appendLineEnd()
    }

    fileprivate mutating func appendWord(_ integer: Int) {
        appendHeader(RESPType.bulkString, decimalDigits(integer))
        append(decimal: integer)
        appendLineEnd()
    }

    fileprivate mutating func appendHeader(_ type: UInt8, _ number: Int) {
        append(type)
        append(decimal: number)
        appendLineEnd()
    }

    fileprivate mutating func appendLineEnd() {
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}
