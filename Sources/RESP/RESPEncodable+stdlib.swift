extension String: RESPEncodable {
    /// The text's length in UTF-8.
    public var respByteCount: Int { utf8.count }
    /// Writes the text as UTF-8.
    @inline(__always)
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(copying: utf8Span.span)
    }
}

extension Substring: RESPEncodable {
    /// The text's length in UTF-8.
    public var respByteCount: Int { utf8.count }
    /// Writes the text as UTF-8.
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(copying: utf8Span.span)
    }
}

extension Array: RESPEncodable where Element == UInt8 {
    /// The number of bytes.
    public var respByteCount: Int { count }
    /// Writes the bytes.
    @inline(__always)
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(copying: span)
    }
}

extension ArraySlice: RESPEncodable where Element == UInt8 {
    /// The number of bytes.
    public var respByteCount: Int { count }
    /// Writes the bytes.
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(copying: span)
    }
}

extension Double: RESPEncodable {
    /// The length of the shortest decimal that reads back as the same number.
    public var respByteCount: Int { description.utf8.count }
    /// Writes the shortest decimal that reads back as the same number; infinities as `inf` and `-inf`.
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(copying: description.utf8Span.span)
    }
}

extension RESPEncodable where Self: FixedWidthInteger {
    /// The number of characters of the integer in decimal.
    @inline(__always)
    public var respByteCount: Int {
        let digits = decimalDigits(magnitude)
        return self < 0 ? digits + 1 : digits
    }

    /// Writes the integer in decimal.
    @inline(__always)
    public func encode(into output: inout OutputSpan<UInt8>) {
        output.append(decimal: self)
    }
}

extension Int: RESPEncodable {}
extension Int64: RESPEncodable {}
extension Int32: RESPEncodable {}
extension Int16: RESPEncodable {}
extension Int8: RESPEncodable {}
extension UInt: RESPEncodable {}
extension UInt64: RESPEncodable {}
extension UInt32: RESPEncodable {}
extension UInt16: RESPEncodable {}
extension UInt8: RESPEncodable {}

/// How many decimal digits a number has that is not negative.
@inline(__always)
func decimalDigits(_ number: some FixedWidthInteger) -> Int {
    var digits = 1
    var rest = number
    while rest >= 10 {
        rest /= 10
        digits += 1
    }
    return digits
}
