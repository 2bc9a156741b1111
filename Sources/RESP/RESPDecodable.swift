/// A type that a reply can be decoded to straight from its bytes.
///
/// `String`, `[UInt8]`, the integer types, `Double`, `Bool`, ``RESPValue``, optionals and arrays of these conform. A
/// conformance of your own reads exactly one value:
///
/// ```swift
/// struct Point: RESPDecodable {
///     var x: Double, y: Double
///     init(from reader: inout RESPReader) throws(RESPDecodingError) {
///         guard try reader.decodeArrayHead() == 2 else { throw RESPDecodingError("expected two coordinates") }
///         x = try reader.decode(Double.self)
///         y = try reader.decode(Double.self)
///     }
/// }
/// ```
public protocol RESPDecodable {
    /// Reads one value.
    ///
    /// - Throws: ``RESPDecodingError`` if it is not of this type.
    init(from reader: inout RESPReader) throws(RESPDecodingError)

    /// Reads an array of values.
    ///
    /// There is no need to write this: it decodes the elements of an array one by one. `UInt8` alone does otherwise: an
    /// array of bytes is a string.
    ///
    /// - Throws: ``RESPDecodingError`` if the value is not an array, or any element of it is not of this type.
    static func decodeArray(from reader: inout RESPReader) throws(RESPDecodingError) -> [Self]
}

extension RESPDecodable {
    /// Reads an array, element by element.
    @inlinable
    public static func decodeArray(from reader: inout RESPReader) throws(RESPDecodingError) -> [Self] {
        let count = try reader.decodeArrayHead()
        var elements: [Self] = []
        // Every element is there, in three bytes at the least: the reply has been framed whole.
        elements.reserveCapacity(count)
        for index in 0..<count {
            do throws(RESPDecodingError) {
                elements.append(try Self(from: &reader))
            } catch {
                throw error.inElement(index)
            }
        }
        return elements
    }
}

extension String: RESPDecodable {
    /// Reads a bulk string, a simple string, a verbatim string's text, or a big number's digits.
    ///
    /// - Throws: ``RESPDecodingError`` for any other type, and if the bytes are not UTF-8: read them as `[UInt8]`.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        switch item {
        case .bulkString(let range), .simpleString(let range), .bigNumber(let range):
            self = try Self.text(range, reader)
        case .verbatimString(let range):
            self = try Self.text((range.lowerBound + 4)..<range.upperBound, reader)
        default: throw reader.mismatch(item, "a string")
        }
    }

    @inline(__always)
    private static func text(_ range: Range<Int>, _ reader: borrowing RESPReader) throws(RESPDecodingError)
        -> String
    {
        guard let text = try? UTF8Span(validating: reader.bytes(range)) else {
            throw RESPDecodingError("a string of \(range.count) bytes is not UTF-8: read it as [UInt8]")
        }
        return String(copying: text)
    }
}

extension Array: RESPDecodable where Element: RESPDecodable {
    /// Reads an array; as `[UInt8]`, the bytes of a bulk string or simple string.
    ///
    /// - Throws: ``RESPDecodingError`` if the value, or any element of it, is of another type. No element is skipped.
    @inlinable
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        self = try Element.decodeArray(from: &reader)
    }
}

extension Dictionary: RESPDecodable where Key: RESPDecodable, Value: RESPDecodable {
    /// Reads a map, or an array of keys and values in turn, as RESP2 sends maps.
    ///
    /// Of a key that comes twice the last value counts.
    ///
    /// - Throws: ``RESPDecodingError`` if the value, or any key or value in it, is of another type.
    @inlinable
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let count = try reader.decodeMapHead()
        self.init(minimumCapacity: count)
        for index in 0..<count {
            do throws(RESPDecodingError) {
                let key = try Key(from: &reader)
                self[key] = try Value(from: &reader)
            } catch {
                throw error.inElement(index)
            }
        }
    }
}

extension Optional: RESPDecodable where Wrapped: RESPDecodable {
    /// Reads null as `nil`, and any other value as the wrapped type.
    ///
    /// - Throws: ``RESPDecodingError`` as the wrapped type does.
    @inlinable
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        self = reader.skipNull() ? nil : try Wrapped(from: &reader)
    }
}

extension Bool: RESPDecodable {
    /// Reads a boolean, or the integer 0 or 1.
    ///
    /// - Throws: ``RESPDecodingError`` for any other value.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        switch item {
        case .boolean(let value): self = value
        case .integer(0): self = false
        case .integer(1): self = true
        default: throw reader.mismatch(item, "a boolean, or the integer 0 or 1")
        }
    }
}

extension Double: RESPDecodable {
    /// Reads a double, a bulk string or simple string that is a number, as RESP2 sends doubles, or an integer.
    ///
    /// - Throws: ``RESPDecodingError`` for any other value.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        switch item {
        case .double(let range): self = reader.double(range)
        case .bulkString(let range), .simpleString(let range):
            guard let value = Double(String(repairing: reader.bytes(range))) else {
                throw reader.mismatch(item, "a number")
            }
            self = value
        case .integer(let value):
            guard let exact = Double(exactly: value) else {
                throw reader.mismatch(item, "a number of 53 bits")
            }
            self = exact
        default:
            throw reader.mismatch(item, "a number")
        }
    }
}

extension RESPDecodable where Self: FixedWidthInteger {
    /// Reads an integer, or a bulk string or simple string that is one: `0` or `-?[1-9][0-9]*`.
    ///
    /// - Throws: ``RESPDecodingError`` for any other value, and for an integer that the type cannot hold.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        let value: Int64?
        switch item {
        case .integer(let integer): value = integer
        case .bulkString(let range), .simpleString(let range):
            let bytes = reader.bytes(range)
            value = parseInteger(bytes, bytes.indices)
            // Above the largest Int64 there are 19 or 20 digits, the first of them not 0.
            if value == nil, bytes.count >= 19, (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(bytes[0]),
                let large = UInt64(String(repairing: bytes)), let exact = Self(exactly: large)
            {
                self = exact
                return
            }
        default: value = nil
        }
        guard let value else { throw reader.mismatch(item, "an integer") }
        guard let exact = Self(exactly: value) else {
            throw RESPDecodingError("the integer \(value) does not fit \(Self.self)")
        }
        self = exact
    }
}

extension Int: RESPDecodable {}
extension Int64: RESPDecodable {}
extension Int32: RESPDecodable {}
extension Int16: RESPDecodable {}
extension Int8: RESPDecodable {}
extension UInt: RESPDecodable {}
extension UInt64: RESPDecodable {}
extension UInt32: RESPDecodable {}
extension UInt16: RESPDecodable {}
extension UInt8: RESPDecodable {
    /// Reads the bytes of a bulk string or simple string.
    public static func decodeArray(from reader: inout RESPReader) throws(RESPDecodingError) -> [UInt8] {
        let item = try reader.nextValue()
        switch item {
        case .bulkString(let range), .simpleString(let range), .bigNumber(let range):
            return Array(copying: reader.bytes(range))
        case .verbatimString(let range):
            return Array(copying: reader.bytes((range.lowerBound + 4)..<range.upperBound))
        default: throw reader.mismatch(item, "a string of bytes")
        }
    }
}
