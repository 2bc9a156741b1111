/// A type that a reply can be decoded to straight from its bytes.
///
/// `String`, `[UInt8]`, the integer types, `Double`, `Bool` and ``RESPValue`` conform; so do optionals, arrays and
/// dictionaries of these, and ``RESPTuple`` for several of them by position. A conformance of your own reads exactly one value:
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
    /// Read what is in it with ``RESPReader/decode(_:)``, not with an initializer of its type: an initializer that fails may
    /// leave the reader behind what it has read, so that nothing else can be tried in its place.
    ///
    /// - Throws: ``RESPDecodingError`` if it is not of this type.
    init(from reader: inout RESPReader) throws(RESPDecodingError)

    /// Reads an array, a set or a push of values.
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
                elements.append(try reader.decode(Self.self))
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
        if let short = String(shortASCII: reader.bytes(range)) { return short }
        guard let text = try? UTF8Span(validating: reader.bytes(range)) else {
            throw RESPDecodingError(
                "a string of \(counted(range.count, "byte")) is not UTF-8: read it as [UInt8]"
            )
        }
        return String(copying: text)
    }
}

extension Array: RESPDecodable where Element: RESPDecodable {
    /// Reads an array, a set or a push; as `[UInt8]`, the bytes of a bulk string or simple string, a verbatim string's text, or
    /// a big number's digits.
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
    /// Keys are the same if they are equal as Swift has it. `String`s are if they are canonically equivalent, é as one scalar
    /// and e with an accent, whatever their bytes: read as `[UInt8]` such keys are told apart. No `nan` equals another.
    ///
    /// - Throws: ``RESPDecodingError`` if the value, or any key or value in it, is of another type, or a key comes twice.
    @inlinable
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let count = try reader.decodeMapHead()
        self.init(minimumCapacity: count)
        for index in 0..<count {
            do throws(RESPDecodingError) {
                let key = try reader.decode(Key.self)
                guard updateValue(try reader.decode(Value.self), forKey: key) == nil else {
                    throw RESPDecodingError("the key comes for the second time")
                }
            } catch {
                throw error.inEntry(index)
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
        self = reader.skipNull() ? nil : try reader.decode(Wrapped.self)
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
    /// Reads a double, an integer, a big number, or a bulk string or simple string that is written as a double is on the wire:
    /// `-1.5e3`, `inf`, `-inf`, `nan`.
    ///
    /// It is the double nearest to the number, whichever way that came; as an `Int64` an integer is exact.
    ///
    /// - Throws: ``RESPDecodingError`` for any other value, and for a number too large for a `Double`.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        switch item {
        case .double(let range): self = reader.double(range)
        case .bulkString(let range), .simpleString(let range), .bigNumber(let range):
            let bytes = reader.bytes(range)
            guard doubleFault(bytes, bytes.indices) == nil else { throw reader.mismatch(item, "a number") }
            guard !isTooLarge(bytes, bytes.indices) else {
                throw reader.mismatch(item, "a number that a Double can hold")
            }
            self.init(framed: bytes)
        case .integer(let value): self.init(value)
        default: throw reader.mismatch(item, "a number")
        }
    }
}

extension RESPDecodable where Self: FixedWidthInteger {
    /// Reads an integer, a big number, or a bulk string or simple string that is an integer: `0` or `-?[1-9][0-9]*`.
    ///
    /// - Throws: ``RESPDecodingError`` for any other value, and for an integer that the type cannot hold.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let item = try reader.nextValue()
        switch item {
        case .integer(let integer): self = try Self.fitting(integer)
        case .bulkString(let range), .simpleString(let range):
            let bytes = reader.bytes(range)
            if let integer = parseInteger(bytes, bytes.indices) {
                self = try Self.fitting(integer)
                return
            }
            guard isInteger(bytes, bytes.indices) else { throw reader.mismatch(item, "an integer") }
            // Not one of 64 bits with a sign, but the type may be wider.
            self = try Self.wide(bytes)
        case .bigNumber(let range): self = try Self.wide(reader.bytes(range))
        default: throw reader.mismatch(item, "an integer")
        }
    }

    /// The integer that digits, and perhaps a sign before them, make.
    private static func wide(_ digits: Span<UInt8>) throws(RESPDecodingError) -> Self {
        // More digits than the type has bits do not fit, zeros before them aside; a sign and so many are worth a copy.
        let significant = significantDigits(digits)
        let sign = digits[0] == RESPByte.minus ? "-" : ""
        guard significant.count <= Self.bitWidth,
            let integer = Self(sign + String(escaping: Array(copying: digits.extracting(significant))))
        else {
            throw RESPDecodingError(
                "an integer of \(counted(digits.count, "character")) does not fit \(Self.self)"
            )
        }
        return integer
    }

    private static func fitting(_ integer: Int64) throws(RESPDecodingError) -> Self {
        guard let exact = Self(exactly: integer) else {
            throw RESPDecodingError("the integer \(integer) does not fit \(Self.self)")
        }
        return exact
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
    /// Reads the bytes of a bulk string or simple string, a verbatim string's text, or a big number's digits.
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
