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

    /// One value, or the head of an array whose elements follow.
    package enum Item {
        case simpleString(Range<Int>)
        case error(Range<Int>)
        case integer(Int64)
        case bulkString(Range<Int>)
        case array(count: Int)
        case null
    }

    /// The next value's type byte, or nil at the end.
    package var nextType: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// Reads the next value; of an array only its head.
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
            guard length >= 0 else { return .null }
            let start = position
            position += Int(length) + 2
            return .bulkString(start..<(start + Int(length)))
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
            throw Self.notFramed
        }
    }

    private static var notFramed: RESPDecodingError {
        RESPDecodingError("the bytes are not one complete reply")
    }

    /// Steps over a null, if the next value is one.
    @usableFromInline
    package mutating func skipNull() -> Bool {
        // `$-1` and `*-1` are the only values with a minus sign behind a length's type byte.
        guard position + 1 < bytes.count, bytes[position + 1] == RESPByte.minus else { return false }
        guard bytes[position] == RESPType.bulkString || bytes[position] == RESPType.array else {
            return false
        }
        position += 5
        return true
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

    /// Reads the head of an array; its elements are to be decoded next, one by one.
    ///
    /// - Returns: how many elements follow.
    /// - Throws: ``RESPDecodingError`` if the next value is not an array.
    public mutating func decodeArrayHead() throws(RESPDecodingError) -> Int {
        let item = try next()
        if case .array(let count) = item { return count }
        throw mismatch(item, "an array")
    }

    /// Steps over the next value whole.
    public mutating func skip() throws(RESPDecodingError) {
        var left = 1
        while left > 0 {
            if case .array(let count) = try next() { left += count }
            left -= 1
        }
    }

    /// The error for a value of another type than the one asked for.
    package func mismatch(_ item: Item, _ expected: String) -> RESPDecodingError {
        let found =
            switch item {
            case .simpleString(let range): "the simple string \(quoted(range))"
            case .error(let range): "the error reply \(quoted(range))"
            case .integer(let value): "the integer \(value)"
            case .bulkString(let range): "a bulk string of \(range.count) bytes"
            case .array(let count): "an array of \(count) elements"
            case .null: "null"
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
