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
    /// Writes the command in pieces, in their order: `gather` writes bytes, and `keep` is given large words as they are.
    func encode(
        byteCount: Int,
        gather: (Int, (inout OutputSpan<UInt8>) -> Void) -> Void,
        keep: (RESPLargeWord) -> Void
    )
}

extension RESPCommand {
    package func encode(
        byteCount: Int,
        gather: (Int, (inout OutputSpan<UInt8>) -> Void) -> Void,
        keep: (RESPLargeWord) -> Void
    ) {
        gather(byteCount) { encode(into: &$0) }
    }
}

/// A name of up to 15 bytes, in which capitals and small letters are the same: a number, so that two are compared at once.
package struct RESPName: Comparable {
    @usableFromInline let bytes: UInt128

    /// - Returns: nil if it is longer.
    package init?(_ name: String) { self.init(utf8: name.utf8) }

    init?(utf8 name: some Collection<UInt8>) {
        // Before the first byte, so that a zero there counts.
        var bytes: UInt128 = 1
        for byte in name {
            guard bytes >> 120 == 0 else { return nil }
            let isSmall = byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
            bytes = bytes << 8 | UInt128(isSmall ? byte - 0x20 : byte)
        }
        self.bytes = bytes
    }

    @inlinable
    package static func == (left: RESPName, right: RESPName) -> Bool { left.bytes == right.bytes }

    @inlinable
    package static func < (left: RESPName, right: RESPName) -> Bool { left.bytes < right.bytes }
}

/// A command of any words.
package struct RESPWordList: RESPCommand {
    private let words: [RESPWord]

    package init(_ words: [any RESPEncodable]) {
        self.words = words.map { $0.respWord }
    }

    /// - Parameter taken: the words, as they have been asked for.
    package init(taken words: [RESPWord]) {
        self.words = words
    }

    /// How many words there are.
    package var wordCount: Int { words.count }

    /// The first word, as names are compared; nil if its length is another one, or it is a number.
    package func name(ofLength lengths: ClosedRange<Int>) -> RESPName? {
        guard let word = words.first, lengths.contains(word.byteCount) else { return nil }
        return switch word.content {
        case .text(let text): RESPName(text)
        case .bytes(let bytes): RESPName(utf8: bytes)
        case .signed, .unsigned: nil
        }
    }

    /// A word in capitals, or nil if there is none at that place or it is not text.
    package func capitals(_ index: Int) -> String? {
        guard words.indices.contains(index) else { return nil }
        switch words[index].content {
        case .text(let text): return text.uppercased()
        case .bytes(let bytes): return String(validating: bytes, as: UTF8.self)?.uppercased()
        case .signed(let integer): return String(integer)
        case .unsigned(let integer): return String(integer)
        }
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        // The span, here and below, so that no word is copied to be looked at.
        let words = words.span
        for index in words.indices { size.add(words[index].byteCount) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        let words = words.span
        output.append(head: RESPType.array, words.count)
        for index in words.indices { words[index].encode(into: &output) }
    }

    package func encode(
        byteCount: Int,
        gather: (Int, (inout OutputSpan<UInt8>) -> Void) -> Void,
        keep: (RESPLargeWord) -> Void
    ) {
        // Where the next piece begins: at a word, or behind a large word's bytes.
        var first = 0
        var isBehindLarge = false
        for index in words.indices {
            guard let large = words[index].large else { continue }
            gatherWords(first..<index, isBehindLarge, upTo: large, gather)
            keep(large)
            (first, isBehindLarge) = (index + 1, true)
        }
        gatherWords(first..<words.count, isBehindLarge, upTo: nil, gather)
    }

    /// Gathers these words, with what stands before and behind them.
    private func gatherWords(
        _ range: Range<Int>,
        _ isBehindLarge: Bool,
        upTo large: RESPLargeWord?,
        _ gather: (Int, (inout OutputSpan<UInt8>) -> Void) -> Void
    ) {
        var byteCount = isBehindLarge ? 2 : 3 + decimalDigits(words.count)
        for word in words[range] { byteCount += 5 + decimalDigits(word.byteCount) + word.byteCount }
        if let large { byteCount += 3 + decimalDigits(large.byteCount) }
        gather(byteCount) { output in
            if isBehindLarge {
                output.appendLineEnd()
            } else {
                output.append(head: RESPType.array, words.count)
            }
            for word in words[range] { word.encode(into: &output) }
            if let large { output.append(head: RESPType.bulkString, large.byteCount) }
        }
    }
}

/// Adds a command's size up, and holds it against the limits at the end.
struct CommandSize {
    private let limits: RESPLimits
    private var words = 0
    private var bytes = 0
    /// The first word that is too long, counted from 1, and its length; 0 if none is.
    private var tooLong = (word: 0, byteCount: 0)

    @inline(__always)
    init(_ limits: RESPLimits) {
        self.limits = limits
    }

    @inline(__always)
    mutating func add(_ byteCount: Int) {
        words += 1
        guard byteCount <= limits.maxBulkBytes else {
            if tooLong.word == 0 { tooLong = (words, byteCount) }
            return
        }
        // What is in memory, even many times over, has a sum that fits.
        bytes += 5 + decimalDigits(byteCount) + byteCount
    }

    @inline(__always)
    func total() throws(RESPEncodingError) -> Int {
        let total = bytes + 3 + decimalDigits(words)
        guard words > 0, tooLong.word == 0, words <= limits.maxWords, total <= limits.maxReplyBytes else {
            throw refusal
        }
        return total
    }

    private var refusal: RESPEncodingError {
        if words == 0 { return .emptyCommand }
        if tooLong.word > 0 {
            return RESPEncodingError(
                "word \(tooLong.word) of the command has \(counted(tooLong.byteCount, "byte")); "
                    + "at most \(limits.maxBulkBytes) may be sent"
            )
        }
        if words > limits.maxWords {
            return RESPEncodingError(
                "the command has \(counted(words, "word")); at most \(limits.maxWords) may be sent"
            )
        }
        return RESPEncodingError("the command has more than \(counted(limits.maxReplyBytes, "byte"))")
    }
}

extension OutputSpan<UInt8> {
    mutating func appendWord(_ text: String) {
        append(bulkString: text)
    }

    mutating func appendWord(_ integer: some FixedWidthInteger) {
        append(head: RESPType.bulkString, decimalDigits(integer))
        append(decimal: integer)
        appendLineEnd()
    }

    mutating func appendLineEnd() {
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}
