// Numbers as they stand on the wire: integers and lengths, doubles, big numbers.

/// Parses `0` or `-?[1-9][0-9]*` within 64 bits: no plus sign, spaces, leading zeros or `-0`.
@inline(__always)
func parseInteger(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int64? {
    var index = range.lowerBound
    let end = range.upperBound
    guard index < end else { return nil }
    // One digit is the most common length there is.
    let first = bytes[index] &- RESPByte.zero
    if end - index == 1 { return first <= 9 ? Int64(first) : nil }

    let isNegative = bytes[index] == RESPByte.minus
    if isNegative { index += 1 }
    // More digits than 19 do not fit; with 19 or fewer the sum below does not overflow 64 unsigned bits.
    guard index < end, end - index <= 19, bytes[index] != RESPByte.zero else { return nil }
    var magnitude: UInt64 = 0
    while index < end {
        let digit = bytes[index] &- RESPByte.zero
        guard digit <= 9 else { return nil }
        magnitude = magnitude &* 10 &+ UInt64(digit)
        index += 1
    }
    if isNegative {
        return magnitude <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
    }
    return Int64(exactly: magnitude)
}

/// The length in the head of a bulk string that begins at `start`, and where what follows the head begins.
///
/// - Returns: nil if it is no strict length of four digits at the most, if fewer than six bytes are there, or if it is no bulk string.
///   Nobody has looked yet whether LF is behind the head's CR, and so many bytes behind that.
@inline(__always)
func shortBulkHead(_ bytes: Span<UInt8>, at start: Int) -> (length: Int, content: Int)? {
    guard bytes.count - start >= 6, bytes[start] == RESPType.bulkString else { return nil }
    let first = Int(bytes[start + 1] &- RESPByte.zero)
    guard first <= 9 else { return nil }
    if bytes[start + 2] == RESPByte.cr { return (first, start + 4) }
    let second = Int(bytes[start + 2] &- RESPByte.zero)
    guard second <= 9, first > 0 else { return nil }
    var digits = (number: 10 * first + second, end: start + 3)
    while bytes[digits.end] != RESPByte.cr {
        let next = Int(bytes[digits.end] &- RESPByte.zero)
        guard next <= 9, digits.end < start + 5 else { return nil }
        digits = (10 * digits.number + next, digits.end + 1)
    }
    return (digits.number, digits.end + 2)
}

/// Where bytes that `parseInteger` refuses stop being an integer of 64 bits; their end if something is missing there.
func integerFault(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int {
    var index = range.lowerBound
    let isNegative = index < range.upperBound && bytes[index] == RESPByte.minus
    if isNegative { index += 1 }
    let first = index
    var value: Int64 = 0
    while index < range.upperBound {
        let digit = bytes[index] &- RESPByte.zero
        // Nothing follows a leading zero, and there is none behind a minus sign.
        guard digit <= 9, index == first || bytes[first] != RESPByte.zero,
            !isNegative || digit > 0 || index > first
        else { return index }
        let (shifted, isTooLarge) = value.multipliedReportingOverflow(by: 10)
        let (next, isLarger) =
            isNegative
            ? shifted.subtractingReportingOverflow(Int64(digit))
            : shifted.addingReportingOverflow(Int64(digit))
        if isTooLarge || isLarger { return index }
        value = next
        index += 1
    }
    return index
}

/// Whether the bytes are `0` or `-?[1-9][0-9]*`, of any length.
func isInteger(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var rest = range
    if rest.count == 1 { return rest.skipDigits(bytes) }
    _ = rest.skip(RESPByte.minus, bytes)
    guard !rest.isEmpty, bytes[rest.lowerBound] != RESPByte.zero else { return false }
    return rest.skipDigits(bytes) && rest.isEmpty
}

/// Where the digits of what `bigNumberFault` finds no fault with are, without a sign or zeros before them; one at the least.
func significantDigits(_ bytes: Span<UInt8>) -> Range<Int> {
    var start = bytes[0] == RESPByte.minus || bytes[0] == RESPByte.plus ? 1 : 0
    while start + 1 < bytes.count, bytes[start] == RESPByte.zero { start += 1 }
    return start..<bytes.count
}

/// Where the bytes stop being `[+-]digits[.digits][e[+-]digits]`, `inf`, `-inf` or a `nan`; nil if they are one.
///
/// A `nan` is what a C library may print: in any case, with a minus sign, with letters and digits in parentheses.
func doubleFault(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
    var rest = range
    let isPlus = rest.skip(RESPByte.plus, bytes)
    if !isPlus {
        _ = rest.skip(RESPByte.minus, bytes)
        if rest.count == 3, bytes[rest.lowerBound] == UInt8(ascii: "i"),
            bytes[rest.lowerBound + 1] == UInt8(ascii: "n"), bytes[rest.lowerBound + 2] == UInt8(ascii: "f")
        {
            return nil
        }
        if isNaN(bytes, rest) { return nil }
    }
    guard rest.skipDigits(bytes) else { return rest.lowerBound }
    if rest.skip(UInt8(ascii: "."), bytes), !rest.skipDigits(bytes) { return rest.lowerBound }
    if rest.skip(UInt8(ascii: "e"), bytes) || rest.skip(UInt8(ascii: "E"), bytes) {
        if !rest.skip(RESPByte.plus, bytes) { _ = rest.skip(RESPByte.minus, bytes) }
        guard rest.skipDigits(bytes) else { return rest.lowerBound }
    }
    return rest.isEmpty ? nil : rest.lowerBound
}

/// Whether the bytes are `nan` in any case, and perhaps letters, digits and underscores in parentheses.
private func isNaN(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    guard range.count >= 3 else { return false }
    // A letter's case is one bit.
    func small(_ index: Int) -> UInt8 { bytes[index] | 0x20 }
    let start = range.lowerBound
    guard small(start) == UInt8(ascii: "n"), small(start + 1) == UInt8(ascii: "a"),
        small(start + 2) == UInt8(ascii: "n")
    else { return false }
    if range.count == 3 { return true }
    guard range.count >= 5, bytes[start + 3] == UInt8(ascii: "("),
        bytes[range.upperBound - 1] == UInt8(ascii: ")")
    else { return false }
    for index in (start + 4)..<(range.upperBound - 1) {
        switch bytes[index] {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            continue
        default: return false
        }
    }
    return true
}

/// Whether a double that is well-formed is a number, and larger than a `Double` can be.
func isTooLarge(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    // Without an exponent it takes more than 308 digits.
    var mayBe = range.count > 308
    if !mayBe {
        for index in range where bytes[index] | 0x20 == UInt8(ascii: "e") { mayBe = true }
    }
    guard mayBe, bytes[range.upperBound - 1] &- RESPByte.zero <= 9 else { return false }
    return Double(framed: bytes.extracting(range)).isInfinite
}

/// Where the bytes stop being `[+-]digits`; nil if they are that.
func bigNumberFault(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
    var rest = range
    if !rest.skip(RESPByte.plus, bytes) { _ = rest.skip(RESPByte.minus, bytes) }
    return rest.skipDigits(bytes) && rest.isEmpty ? nil : rest.lowerBound
}

extension Double {
    /// The double that is nearest to what `doubleFault` finds no fault with.
    init(framed bytes: Span<UInt8>) {
        if let integer = parseInteger(bytes, bytes.indices) {
            self.init(integer)
            return
        }
        // Framed, it is ASCII; up to 15 bytes of that need no allocation.
        guard let ascii = try? UTF8Span(validating: bytes), let number = Double(String(copying: ascii)) else {
            // In forms of `nan` that the standard library does not read.
            self = .nan
            return
        }
        // It reads `-nan`, with a sign that nothing distinguishes.
        self = number.isNaN ? .nan : number
    }
}

extension Range<Int> {
    fileprivate mutating func skip(_ byte: UInt8, _ bytes: Span<UInt8>) -> Bool {
        guard !isEmpty, bytes[lowerBound] == byte else { return false }
        self = (lowerBound + 1)..<upperBound
        return true
    }

    /// Steps over digits; at least one has to be there.
    fileprivate mutating func skipDigits(_ bytes: Span<UInt8>) -> Bool {
        let start = lowerBound
        while !isEmpty, bytes[lowerBound] &- RESPByte.zero <= 9 { self = (lowerBound + 1)..<upperBound }
        return lowerBound > start
    }
}
