/// What only RESP3 has.
///
/// Source: the RESP3 specification. Where it leaves room, what a server sends decides: Redis 7.0 sends `,-nan`.
extension RESPFramer {
    /// Accepts a type byte that RESP2 does not have, or throws the reason why not.
    mutating func checkOtherType(_ type: UInt8) throws(RESPProtocolError) {
        if RESPType.isStreamed(type) {
            throw fail(
                "\(RESPType.named(type)) (\(RESPType.printable(type))) is not supported",
                at: lineStart
            )
        }
        guard RESPType.isRESP3(type) else {
            throw fail("no reply begins with \(RESPType.printable(type))\(Self.hint(type))", at: lineStart)
        }
        guard version == .resp3 else {
            throw fail(
                "\(RESPType.named(type)) (\(RESPType.printable(type))) belongs to RESP3, and RESP2 is spoken",
                at: lineStart
            )
        }
        if type == RESPType.push, !isAtTop { throw fail("a push stands inside another value", at: lineStart) }
    }

    /// What else may speak at the other end, by the first byte of what it says.
    private static func hint(_ type: UInt8) -> String {
        switch type {
        case UInt8(ascii: "H"): "; an HTTP server's answer does: is it the right port?"
        // A TLS alert, a TLS handshake.
        case 0x15, 0x16: "; TLS does: does the port want TLS?"
        default: ""
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
            try openAttribute(parseLength(bytes, body, from: 0, to: limits.maxElements))
            return false
        default:
            if let (reason, place) = scalarFault(type, bytes, body) { throw fail(reason, at: place) }
        }
        return true
    }

    private func scalarFault(_ type: UInt8, _ bytes: Span<UInt8>, _ body: Range<Int>) -> (String, Int)? {
        switch type {
        case RESPType.null:
            return body.isEmpty ? nil : ("a null has content", body.lowerBound)
        case RESPType.boolean:
            let isFirstRight =
                !body.isEmpty
                && (bytes[body.lowerBound] == RESPByte.t || bytes[body.lowerBound] == RESPByte.f)
            if isFirstRight, body.count == 1 { return nil }
            return ("a boolean is neither t nor f", body.lowerBound + (isFirstRight ? 1 : 0))
        case RESPType.double:
            if let place = doubleFault(bytes, body) { return ("a double is not a number", place) }
            return isTooLarge(bytes, body)
                ? ("a double is larger than 64 bits can hold", body.lowerBound) : nil
        default:
            return bigNumberFault(bytes, body).map { ("a big number is not an integer", $0) }
        }
    }

    mutating func checkVerbatim(_ bytes: Span<UInt8>, start: Int) throws(RESPProtocolError) {
        if bytes[start + 3] != UInt8(ascii: ":") {
            throw fail("a verbatim string has no three-byte format and colon before its text", at: start + 3)
        }
    }
}
