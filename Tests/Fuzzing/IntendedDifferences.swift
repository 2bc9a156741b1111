/// Whether a difference, found byte by byte, is one that this project means to make.
///
/// Each is listed with its reason in README.md, under the same number. Nothing after the byte at which the decoders part is
/// compared: from there on they read different replies.
func isIntendedDifference(_ difference: Difference) -> Bool {
    // 1. An attribute inside an aggregate is, to hiredis, one element more.
    if difference.hasInnerAttribute { return true }
    if difference.ours.hasFailed, difference.theirs.hasFailed { return false }
    if let error = difference.ourError {
        return isIntendedRefusal(error, difference)
    }
    return difference.theirs.hasFailed && isIntendedAcceptance(difference)
}

extension Difference {
    fileprivate var type: UInt8 { bytes[element] }
    /// Whether the last byte is the element's type byte.
    fileprivate var isAtType: Bool { bytes.count == element + 1 }
    /// The element's first line without its type byte and line end, if the last byte ended it.
    fileprivate var line: [UInt8]? {
        guard bytes.count >= element + 3, bytes.suffix(2) == [RESPByte.cr, RESPByte.lf] else { return nil }
        return Array(bytes[(element + 1)..<(bytes.count - 2)])
    }
    fileprivate var text: String? { line.map { String(decoding: $0, as: UTF8.self) } }
}

/// What is refused here and accepted by hiredis, or left for later.
private func isIntendedRefusal(_ error: RESPProtocolError, _ difference: Difference) -> Bool {
    let type = difference.type
    if difference.isAtType {
        // 2. RESP2 has no RESP3 type bytes.
        if difference.version == .resp2 { return RESPType.isRESP3(type) }
        // 3. A push stands at the top level.
        return type == RESPType.push && difference.depth > 0
    }
    let isBulk = type == RESPType.bulkString || type == RESPType.verbatimString
    // 4. What follows a bulk string must be CR LF.
    let trailer = difference.bytes.suffix(2)
    if isBulk, trailer != [RESPByte.cr, RESPByte.lf] {
        return error.offset == UInt64(trailer.startIndex)
            && error.reason.hasSuffix("is not followed by CR LF")
    }
    guard let text = difference.text else { return false }
    switch type {
    case RESPType.bulkString, RESPType.verbatimString:
        guard let length = Int64(text) else { return false }
        // 5. A bulk string's length is limited.
        if length > Int64(RESPLimits.default.maxBulkBytes) { return true }
        // 6. Only strings and arrays can be null as `-1`. 7. A short verbatim string is refused at its header.
        return type == RESPType.verbatimString && (-1...3).contains(length)
    case RESPType.map, RESPType.set, RESPType.push, RESPType.attribute, RESPType.array:
        // 6.
        if text == "-1" { return type != RESPType.array }
        // 8. An attribute before a reply is a level of nesting.
        return error.reason.hasPrefix("aggregates are nested deeper") && difference.attributes > 0
    case RESPType.double:
        // 9. `inf` and `nan` in small letters; digits on both sides of a point.
        if ["inf", "-inf", "nan", "-nan"].contains(text.lowercased()) { return text != text.lowercased() }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 2 && (parts[0].last?.isNumber != true || parts[1].first?.isNumber != true)
    case RESPType.boolean:
        // 10. Small letters; hiredis also takes a zero byte for one of its letters.
        return text == "T" || text == "F" || text == "\0"
    case RESPType.bigNumber:
        // 11. At least one digit.
        return text == "" || text == "-"
    default: return false
    }
}

/// What is accepted here and refused by hiredis.
private func isIntendedAcceptance(_ difference: Difference) -> Bool {
    let type = difference.type
    if difference.isAtType {
        // 12. `!` is known.
        if type == RESPType.bulkError { return difference.version == .resp3 }
        // 13. hiredis looks at the depth before it has seen whether the array is null.
        return difference.depth >= difference.maxDepth
            && difference.theirError == "Max nesting depth exceeded"
    }
    guard let text = difference.text else { return false }
    switch type {
    case RESPType.double:
        // 14. A plus sign; 15. any size and length.
        return text.hasPrefix("+") || isOutOfRange(text) || text.utf8.count > 325
    case RESPType.bigNumber:
        // 14.
        return text.hasPrefix("+")
    default: return false
    }
}

/// Whether a number that is written in digits is infinite or nothing as a double.
private func isOutOfRange(_ text: String) -> Bool {
    guard let value = Double(text) else { return false }
    let mantissa = text.prefix { $0 != "e" && $0 != "E" }
    return value.isInfinite || value == 0 && mantissa.contains { "1"..."9" ~= $0 }
}
