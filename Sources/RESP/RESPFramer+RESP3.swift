/// What only RESP3 has.
///
/// Source: the RESP3 specification. Where it leaves room, what a server sends decides: Redis 7.0 sends `,-nan`.
extension RESPFramer {
    /// Accepts a type byte that RESP2 does not have, or throws the reason why not.
    mutating func checkOtherType(_ type: UInt8) throws(RESPProtocolError) {
        if RESPType.isStreamed(type) {
            throw fail(
                "a \(RESPType.name(type)) (\(RESPType.printable(type))) is not supported",
                at: lineStart
            )
        }
        guard RESPType.isRESP3(type) else {
            throw fail("no reply begins with \(RESPType.printable(type))", at: lineStart)
        }
        guard version == .resp3 else {
            throw fail(
                "a \(RESPType.name(type)) (\(RESPType.printable(type))) belongs to RESP3, and RESP2 is spoken",
                at: lineStart
            )
        }
        if type == RESPType.push, !outer.isEmpty {
            throw fail("a push stands inside another value", at: lineStart)
        }
    }

    /// Deals with a complete line of a type that only RESP3 has.
    ///
    /// - Returns: false if it opened an aggregate, whose first element is to be scanned next.
    mutating func scanRESP3Line(
        _ type: UInt8,
        _ bytes: Span<UInt8>,
        _ body: Range<Int>
    ) throws(RESPProtocolError) -> Bool {
        switch type {
        case RESPType.bulkError:
            try expectBulk(try parseLength(bytes, body, from: 0, to: limits.maxBulkBytes))
        case RESPType.verbatimString:
            // Three bytes of format and a colon.
            try expectBulk(try parseLength(bytes, body, from: 4, to: limits.maxBulkBytes))
        case RESPType.set, RESPType.push:
            return try !open(parseLength(bytes, body, from: 0, to: limits.maxElements))
        case RESPType.map:
            return try !open(2 * parseLength(bytes, body, from: 0, to: limits.maxElements))
        case RESPType.attribute:
            // The value it belongs to is its last element, so together they count as one.
            return try !open(2 * parseLength(bytes, body, from: 0, to: limits.maxElements) + 1)
        default:
            if let reason = scalarFault(type, bytes, body) { throw fail(reason, at: body.lowerBound) }
        }
        return true
    }

    private func scalarFault(_ type: UInt8, _ bytes: Span<UInt8>, _ body: Range<Int>) -> String? {
        switch type {
        case RESPType.null:
            body.isEmpty ? nil : "a null has content"
        case RESPType.boolean:
            body.count == 1 && (bytes[body.lowerBound] == RESPByte.t || bytes[body.lowerBound] == RESPByte.f)
                ? nil : "a boolean is neither t nor f"
        case RESPType.double:
            isDouble(bytes, body) ? nil : "a double is not a number"
        case RESPType.bigNumber:
            isBigNumber(bytes, body) ? nil : "a big number is not an integer"
        default:
            "no reply begins with \(RESPType.printable(type))"
        }
    }

    mutating func checkVerbatim(_ bytes: Span<UInt8>, start: Int) throws(RESPProtocolError) {
        if bytes[start + 3] != UInt8(ascii: ":") {
            throw fail("a verbatim string has no three-byte format and colon before its text", at: start)
        }
    }
}

/// Whether the bytes are `[+-]digits[.digits][e[+-]digits]`, `inf`, `-inf`, `nan` or `-nan`.
private func isDouble(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var rest = range
    let isSigned = rest.skipSign(bytes)
    if rest.count == 3 {
        let word = (bytes[rest.lowerBound], bytes[rest.lowerBound + 1], bytes[rest.lowerBound + 2])
        let isNegative = isSigned && bytes[range.lowerBound] == RESPByte.minus
        if word == (UInt8(ascii: "i"), UInt8(ascii: "n"), UInt8(ascii: "f")) {
            return isNegative || !isSigned
        }
        if word == (UInt8(ascii: "n"), UInt8(ascii: "a"), UInt8(ascii: "n")) {
            return isNegative || !isSigned
        }
    }
    guard rest.skipDigits(bytes) else { return false }
    if rest.skip(UInt8(ascii: "."), bytes), !rest.skipDigits(bytes) { return false }
    if rest.skip(UInt8(ascii: "e"), bytes) || rest.skip(UInt8(ascii: "E"), bytes) {
        _ = rest.skipSign(bytes)
        guard rest.skipDigits(bytes) else { return false }
    }
    return rest.isEmpty
}

/// Whether the bytes are `[+-]digits`.
private func isBigNumber(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var rest = range
    _ = rest.skipSign(bytes)
    return rest.skipDigits(bytes) && rest.isEmpty
}

extension Range<Int> {
    fileprivate mutating func skip(_ byte: UInt8, _ bytes: Span<UInt8>) -> Bool {
        guard !isEmpty, bytes[lowerBound] == byte else { return false }
        self = (lowerBound + 1)..<upperBound
        return true
    }

    fileprivate mutating func skipSign(_ bytes: Span<UInt8>) -> Bool {
        skip(RESPByte.minus, bytes) || skip(UInt8(ascii: "+"), bytes)
    }

    /// Steps over digits; at least one has to be there.
    fileprivate mutating func skipDigits(_ bytes: Span<UInt8>) -> Bool {
        let start = lowerBound
        while !isEmpty, bytes[lowerBound] &- RESPByte.zero <= 9 { self = (lowerBound + 1)..<upperBound }
        return lowerBound > start
    }
}
