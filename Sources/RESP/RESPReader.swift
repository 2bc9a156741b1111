/// Reads the values of one complete reply from its bytes, one after the other.
///
/// A reader is handed to ``RESPDecodable/init(from:)`` and stands before the value to decode. The bytes have been checked
/// when the reply was received.
public struct RESPReader: ~Escapable {
    private let bytes: Span<UInt8>
    private var position = 0

    @_lifetime(copy bytes)
    package init(_ bytes: Span<UInt8>) {
        self.bytes = bytes
    }

    /// One value, or the head of an aggregate whose elements follow.
    package enum Item {
        case simpleString(Range<Int>)
        case error(Range<Int>)
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
    package mutating func nextValue() throws(RESPDecodingError) -> Item {
        while true {
            let item = try next()
            guard case .attribute(let count) = item else { return item }
            for _ in 0..<(2 * count) { try skip() }
        }
    }

    /// Reads the next value, of an aggregate only its head.
    @inline(__always)
    package mutating func next() throws(RESPDecodingError) -> Item {
        guard position < bytes.count else { throw RESPDecodingError("the reply has no further value") }
        let type = bytes[position]
        var end = position + 1
        while end < bytes.count, bytes[end] != RESPByte.cr { end += 1 }
        let body = (position + 1)..<end
        position = end + 2

        switch type {
        case RESPType.bulkString:
            guard let length = parseInteger(bytes, body) else { throw Self.notFramed }
            return length < 0 ? .null : .bulkString(stepOver(Int(length)))
        case RESPType.array:
            guard let count = parseInteger(bytes, body) else { throw Self.notFramed }
            return count < 0 ? .null : .array(count: Int(count))
        case RESPType.integer:
            guard let value = parseInteger(bytes, body) else { throw Self.notFramed }
            return .integer(value)
        case RESPType.simpleString:
            return .simpleString(body)
        case RESPType.error:
            return .error(body)
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
        case RESPType.set: return .set(count: length)
        case RESPType.push: return .push(count: length)
        case RESPType.map: return .map(count: length)
        case RESPType.attribute: return .attribute(count: length)
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
    package var isAtEnd: Bool { position >= bytes.count }

    /// Steps over a null, if the next value is one.
    @usableFromInline
    package mutating func skipNull() -> Bool {
        guard position + 1 < bytes.count else { return false }
        switch bytes[position] {
        case RESPType.bulkString, RESPType.array:
            // `$-1` and `*-1` are the only values with a minus sign behind a length's type byte.
            guard bytes[position + 1] == RESPByte.minus else { return false }
            position += 5
            return true
        case RESPType.null:
            position += 3
            return true
        case RESPType.attribute:
            // Attributes of a null are stepped over with it; of another value they are left for it.
            let start = position
            if let item = try? nextValue(), case .null = item { return true }
            position = start
            return false
        default:
            return false
        }
    }

    /// A double that has been framed.
    func double(_ range: Range<Int>) -> Double {
        let text = String(repairing: bytes(range))
        // The standard library reads `-nan` as well, with a sign that nothing distinguishes.
        return text.hasSuffix("nan") ? .nan : Double(text) ?? .nan
    }

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
    /// - Throws: ``RESPDecodingError`` if the value is not of that type.
    @inlinable
    public mutating func decode<Value: RESPDecodable>(_ type: Value.Type) throws(RESPDecodingError) -> Value {
        try Value(from: &self)
    }

    /// Reads the head of an array, a set or a push; its elements are to be decoded next, one by one.
    ///
    /// - Returns: how many elements follow.
    /// - Throws: ``RESPDecodingError`` if the next value is of another type.
    public mutating func decodeArrayHead() throws(RESPDecodingError) -> Int {
        let item = try nextValue()
        switch item {
        case .array(let count), .set(let count), .push(let count): return count
        default: throw mismatch(item, "an array")
        }
    }

    /// Reads the head of a map, or of an array of keys and values in turn, as RESP2 sends maps.
    ///
    /// - Returns: how many entries follow, each a key and then its value.
    /// - Throws: ``RESPDecodingError`` if the next value is of another type, or an array of an odd count.
    public mutating func decodeMapHead() throws(RESPDecodingError) -> Int {
        let item = try nextValue()
        switch item {
        case .map(let count): return count
        case .array(let count) where count.isMultiple(of: 2): return count / 2
        default: throw mismatch(item, "a map")
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
    package func mismatch(_ item: Item, _ expected: String) -> RESPDecodingError {
        let found =
            switch item {
            case .simpleString(let range): "the simple string \(quoted(range))"
            case .error(let range), .bulkError(let range): "the error reply \(quoted(range))"
            case .integer(let value): "the integer \(value)"
            case .bulkString(let range): "a bulk string of \(range.count) bytes"
            case .array(let count): "an array of \(count) elements"
            case .null: "null"
            case .boolean(let value): "the boolean \(value)"
            case .double(let range): "the double \(quoted(range))"
            case .bigNumber(let range): "the big number \(quoted(range))"
            case .verbatimString(let range): "a verbatim string of \(range.count - 4) bytes"
            case .set(let count): "a set of \(count) elements"
            case .push(let count): "a push of \(count) elements"
            case .map(let count): "a map of \(count) entries"
            case .attribute(let count): "\(count) attributes"
            }
        return RESPDecodingError("expected \(expected), got \(found)")
    }

    private func quoted(_ range: Range<Int>) -> String {
        let shown = range.lowerBound..<min(range.upperBound, range.lowerBound + 200)
        return "\"\(String(repairing: bytes(shown)))\"\(shown.count < range.count ? "…" : "")"
    }
}

extension String {
    /// Text for a person: bytes that are not UTF-8 are shown as replacement characters.
    package init(repairing bytes: Span<UInt8>) {
        self = String(decoding: Array(copying: bytes), as: UTF8.self)
    }
}
