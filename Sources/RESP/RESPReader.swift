/// Reads the values of one complete reply from its bytes, one after the other.
///
/// A reader is handed to ``RESPDecodable/init(from:)`` and stands before the value to decode; it reads nothing behind that
/// value. The bytes have been checked when the reply was received.
///
/// Whoever tries one type after the other does so with ``decode(_:)``, which puts the reader back when it fails. An
/// initializer that is called by hand, `try? Int(from: &reader)`, leaves it where it stopped.
public struct RESPReader: ~Escapable {
    @usableFromInline let bytes: Span<UInt8>
    /// Where the next value begins.
    @usableFromInline var position = 0
    /// How many values are still to be read of the one being decoded: at first that one, and then the elements of every
    /// aggregate in it whose head has been read.
    @usableFromInline var remaining = 1

    @inlinable
    @_lifetime(copy bytes)
    package init(_ bytes: Span<UInt8>) {
        self.bytes = bytes
    }

    /// One value, or the head of an aggregate whose elements follow.
    package enum Item {
        case simpleString(Range<Int>)
        case simpleError(Range<Int>)
        case integer(Int64)
        case bulkString(Range<Int>)
        case array(count: Int)
        case null
        case boolean(Bool)
        case double(Range<Int>)
        case bigNumber(Range<Int>)
        case bulkError(Range<Int>)
        /// Format, colon and text.
        case verbatimString(Range<Int>)
        case set(count: Int)
        case push(count: Int)
        /// So many keys, each followed by its value.
        case map(count: Int)
        /// So many keys, each followed by its value, and then the value that all of it belongs to.
        case attribute(count: Int)
    }

    /// Reads the next value, of an aggregate only its head; attributes before it are stepped over.
    @inline(__always)
    mutating func nextValue() throws(RESPDecodingError) -> Item {
        while true {
            let item = try next()
            guard case .attribute(let count) = item else { return item }
            for _ in 0..<(2 * count) { try skip() }
        }
    }

    /// Reads the next value, of an aggregate only its head.
    @inline(__always)
    package mutating func next() throws(RESPDecodingError) -> Item {
        guard remaining > 0, position < bytes.count else { throw RESPDecodingError.noFurtherValue }
        // Most values are bulk strings with a length of four digits at the most.
        if let (length, content) = shortBulkHead(bytes, at: position) {
            (position, remaining) = (content, remaining - 1)
            return .bulkString(stepOver(length))
        }
        let type = bytes[position]
        var end = position + 1
        while end < bytes.count, bytes[end] != RESPByte.cr { end += 1 }
        let body = (position + 1)..<end
        position = end + 2
        remaining -= 1

        switch type {
        case RESPType.bulkString:
            guard let length = parseInteger(bytes, body) else { throw Self.notFramed }
            return length < 0 ? .null : .bulkString(stepOver(Int(length)))
        case RESPType.array:
            guard let count = parseInteger(bytes, body) else { throw Self.notFramed }
            if count < 0 { return .null }
            remaining += Int(count)
            return .array(count: Int(count))
        case RESPType.integer:
            guard let value = parseInteger(bytes, body) else { throw Self.notFramed }
            return .integer(value)
        case RESPType.simpleString:
            return .simpleString(body)
        case RESPType.error:
            return .simpleError(body)
        default:
            return try nextOfRESP3(type, body)
        }
    }

    private mutating func nextOfRESP3(_ type: UInt8, _ body: Range<Int>) throws(RESPDecodingError) -> Item {
        switch type {
        case RESPType.null: return .null
        case RESPType.boolean: return .boolean(bytes[body.lowerBound] == RESPByte.t)
        case RESPType.double: return .double(body)
        case RESPType.bigNumber: return .bigNumber(body)
        default: break
        }
        guard let length = parseInteger(bytes, body).map({ Int($0) }) else { throw Self.notFramed }
        switch type {
        case RESPType.bulkError: return .bulkError(stepOver(length))
        case RESPType.verbatimString: return .verbatimString(stepOver(length))
        case RESPType.set:
            remaining += length
            return .set(count: length)
        case RESPType.push:
            remaining += length
            return .push(count: length)
        case RESPType.map:
            remaining += 2 * length
            return .map(count: length)
        case RESPType.attribute:
            remaining += 2 * length + 1
            return .attribute(count: length)
        default: throw Self.notFramed
        }
    }

    /// Steps over bytes of a known length, and CR LF.
    private mutating func stepOver(_ length: Int) -> Range<Int> {
        let content = position..<(position + length)
        position = content.upperBound + 2
        return content
    }

    private static var notFramed: RESPDecodingError {
        RESPDecodingError("the bytes are not one complete reply")
    }

    /// Whether every value has been read.
    @inlinable package var isAtEnd: Bool { position >= bytes.count }

    /// Steps over a null, if the next value is one.
    @inlinable
    @inline(__always)
    mutating func skipNull() -> Bool {
        // Most are bulk strings, whose length begins with a digit.
        if remaining > 0, position + 1 < bytes.count, bytes[position] == UInt8(ascii: "$"),
            bytes[position + 1] >= UInt8(ascii: "0")
        {
            return false
        }
        return skipAnyNull()
    }

    @usableFromInline
    mutating func skipAnyNull() -> Bool {
        guard remaining > 0, position + 1 < bytes.count else { return false }
        switch bytes[position] {
        case RESPType.bulkString, RESPType.array:
            // `$-1` and `*-1` are the only values with a minus sign behind a length's type byte.
            guard bytes[position + 1] == RESPByte.minus else { return false }
            position += 5
            remaining -= 1
            return true
        case RESPType.null:
            position += 3
            remaining -= 1
            return true
        case RESPType.attribute:
            // Attributes of a null are stepped over with it; of another value they are left for it.
            let start = (position, remaining)
            if let item = try? nextValue(), case .null = item { return true }
            (position, remaining) = start
            return false
        default:
            return false
        }
    }

    /// A double that has been framed.
    func double(_ range: Range<Int>) -> Double { Double(framed: bytes(range)) }

    /// The bytes of a string.
    @_lifetime(copy self)
    @inline(__always)
    package func bytes(_ range: Range<Int>) -> Span<UInt8> {
        bytes.extracting(range)
    }

    /// Decodes the next value.
    ///
    /// - Parameter type: what to decode it as.
    /// - Returns: the value.
    /// - Throws: ``RESPDecodingError`` if the value is not of that type, or the type does not read exactly one value: what is
    ///   behind it cannot be read meanwhile. The reader then stands before the value again, so that another type can be tried.
    @inlinable
    public mutating func decode<Value: RESPDecodable>(_ type: Value.Type) throws(RESPDecodingError) -> Value {
        let start = (position, remaining)
        guard remaining > 0 else { throw RESPDecodingError.noFurtherValue }
        remaining = 1
        do throws(RESPDecodingError) {
            let value = try Value(from: &self)
            guard remaining == 0 else { throw RESPDecodingError.lessThanOneValue(type) }
            remaining = start.1 - 1
            return value
        } catch {
            (position, remaining) = start
            throw error
        }
    }

    /// Reads the head of an array, a set or a push; its elements are to be decoded next, one by one.
    ///
    /// - Returns: how many elements follow.
    /// - Throws: ``RESPDecodingError`` if the next value is of another type; the reader then stands before it.
    public mutating func decodeArrayHead() throws(RESPDecodingError) -> Int {
        let start = (position, remaining)
        let item = try nextValue()
        switch item {
        case .array(let count), .set(let count), .push(let count): return count
        default:
            (position, remaining) = start
            throw mismatch(item, "an array")
        }
    }

    /// Reads the head of a map, or of an array of keys and values in turn, as RESP2 sends maps.
    ///
    /// - Returns: how many entries follow, each a key and then its value.
    /// - Throws: ``RESPDecodingError`` if the next value is of another type, or an array of an odd count; the reader then
    ///   stands before it.
    public mutating func decodeMapHead() throws(RESPDecodingError) -> Int {
        let start = (position, remaining)
        let item = try nextValue()
        switch item {
        case .map(let count): return count
        case .array(let count) where count.isMultiple(of: 2): return count / 2
        default:
            (position, remaining) = start
            throw mismatch(item, "a map")
        }
    }

    /// Steps over the next value whole.
    public mutating func skip() throws(RESPDecodingError) {
        var left = 1
        while left > 0 {
            switch try next() {
            case .array(let count), .set(let count), .push(let count): left += count
            case .map(let count): left += 2 * count
            case .attribute(let count): left += 2 * count + 1
            default: break
            }
            left -= 1
        }
    }

    /// The error for a value of another type than the one asked for.
    func mismatch(_ item: Item, _ expected: String) -> RESPDecodingError {
        let found =
            switch item {
            case .simpleString(let range): "the simple string \(quoted(range))"
            case .simpleError(let range), .bulkError(let range): "the error reply \(quoted(range))"
            case .integer(let value): "the integer \(value)"
            case .bulkString(let range): "a bulk string of \(counted(range.count, "byte"))"
            case .array(let count): "an array of \(counted(count, "element"))"
            case .null: "null"
            case .boolean(let value): "the boolean \(value)"
            case .double(let range): "the double \(quoted(range))"
            case .bigNumber(let range): "the big number \(quoted(range))"
            case .verbatimString(let range): "a verbatim string of \(counted(range.count - 4, "byte"))"
            case .set(let count): "a set of \(counted(count, "element"))"
            case .push(let count): "a push of \(counted(count, "element"))"
            case .map(let count): "a map of \(counted(count, "entry", "entries"))"
            case .attribute(let count): counted(count, "attribute")
            }
        return RESPDecodingError("expected \(expected), got \(found)")
    }

    private func quoted(_ range: Range<Int>) -> String {
        var shown = range.lowerBound..<min(range.upperBound, range.lowerBound + 200)
        let isWhole = shown == range
        // A character is not cut in two.
        while !isWhole, !shown.isEmpty, bytes[shown.upperBound] & 0xc0 == 0x80 {
            shown = shown.lowerBound..<(shown.upperBound - 1)
        }
        return "\"\(String(escaping: Array(copying: bytes(shown))))\"\(isWhole ? "" : "…")"
    }
}
