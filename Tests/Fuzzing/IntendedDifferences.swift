/// Whether a difference, found byte by byte, is one that this project means to make.
///
/// Each is listed with its reason in README.md, under the same number. Nothing after the byte at which the decoders part is
/// compared: from there on they read different replies.
///
/// - Parameter rest: what comes behind that byte.
func isIntendedDifference(_ difference: Difference, after rest: ArraySlice<UInt8>) -> Bool {
    // 1. An attribute inside an aggregate is, to hiredis, one element more: once its entries are there, it is a level higher.
    if !difference.ours.hasFailed, !difference.theirs.hasFailed { return difference.hasInnerAttribute }
    if difference.ours.hasFailed, difference.theirs.hasFailed { return false }
    if let error = difference.ourError {
        return isIntendedRefusal(error, difference)
    }
    return isIntendedAcceptance(difference, rest)
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
        return error.offset == UInt64(trailer.startIndex + (trailer.first == RESPByte.cr ? 1 : 0))
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
        // 9. `inf` in small letters; digits on both sides of a point.
        if ["inf", "-inf"].contains(text.lowercased()) { return text != text.lowercased() }
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
private func isIntendedAcceptance(_ difference: Difference, _ rest: ArraySlice<UInt8>) -> Bool {
    let type = difference.type
    if difference.isAtType {
        // 12. `!` is known.
        if type == RESPType.bulkError { return difference.version == .resp3 }
        // 13. hiredis looks at the depth before it has seen whether the array is null.
        return difference.depth >= difference.limits.maxDepth
            && difference.theirError == "Max nesting depth exceeded" && isNullOrTooDeep(difference, rest)
    }
    guard let text = difference.text else { return false }
    switch type {
    case RESPType.double:
        // 14. A plus sign; 15. any length, and a number too small. 16. What C libraries call nan.
        if text.lowercased().drop(while: { $0 == "-" }).hasPrefix("nan(") { return text.hasSuffix(")") }
        return text.hasPrefix("+") || isTooSmall(text) || text.utf8.count > 325
    case RESPType.bigNumber:
        // 14.
        return text.hasPrefix("+")
    default: return false
    }
}

/// Whether the aggregate that hiredis refuses at its type byte is refused here at the end of its line, unless that makes it a
/// null.
private func isNullOrTooDeep(_ difference: Difference, _ rest: ArraySlice<UInt8>) -> Bool {
    var framer = RESPFramer(version: difference.version, limits: difference.limits)
    var stream = Array(difference.bytes)
    var start = 0
    let element = difference.element
    for byte in rest {
        stream.append(byte)
        do throws(RESPProtocolError) {
            while let length = try framer.next(stream.span.extracting(droppingFirst: start)) {
                start += length
            }
        } catch {
            // Its depth, or its header: nothing of what may be inside it.
            return error.offset <= UInt64(stream.count) && error.offset >= UInt64(element)
        }
        if stream.count >= element + 3, stream.suffix(2) == [RESPByte.cr, RESPByte.lf] {
            return difference.type == RESPType.array
                && stream[(element + 1)...] == [UInt8]("-1\r\n".utf8)[...]
        }
    }
    return true
}

/// Whether a number that is written in digits is nothing as a double.
private func isTooSmall(_ text: String) -> Bool {
    guard let value = Double(text) else { return false }
    let mantissa = text.prefix { $0 != "e" && $0 != "E" }
    return value == 0 && mantissa.contains { "1"..."9" ~= $0 }
}
