/// Finds where one reply ends and the next begins, and checks every byte of the protocol on the way.
///
/// It keeps its place between calls, so bytes may be cut anywhere and none is scanned twice because of a cut. Aggregates are
/// followed on an explicit stack whose depth is limited; nothing is reserved for what a header declares.
///
/// Source: the RESP specification; strictness as in hiredis `read.c`.
package struct RESPFramer {
    let version: RESPVersion
    let limits: RESPLimits

    /// Bytes of the current reply that have been scanned.
    private var scanned = 0
    /// Where the line that is being scanned begins, from the current reply's first byte.
    private(set) var lineStart = 0
    /// Whether that line has a CR or LF that does not end it.
    private(set) var lineHasStray = false
    /// Where the bulk string that is being skipped ends, before its CR LF; negative between bulk strings.
    private var bulkEnd = -1

    /// Elements that are still to come on this level, the one being scanned included.
    private var remaining = 1
    /// The same for the levels above, outermost first.
    private(set) var outer: [Int] = []

    /// Where the current reply begins in the whole stream.
    private var replyOffset: UInt64 = 0
    private var failure: RESPProtocolError?

    #if DEBUG
        /// How many bytes have been looked at while searching for line ends; tests hold it against the bytes given.
        package private(set) var bytesSearched = 0
    #endif

    package init(version: RESPVersion = .resp2, limits: RESPLimits = .default) {
        self.version = version
        self.limits = limits
    }

    /// Scans on.
    ///
    /// - Parameter bytes: everything received from the current reply's first byte on: what earlier calls were given
    ///   since the last complete reply, and what has come since.
    /// - Returns: the length of the reply that is now complete, or nil if more bytes are needed.
    /// - Throws: ``RESPProtocolError``, from then on at every call.
    package mutating func next(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Int? {
        if let failure { throw failure }
        while true {
            if bulkEnd < 0 {
                guard try scanLine(bytes) else { return nil }
            }
            if bulkEnd >= 0 {
                guard try skipBulk(bytes) else { return nil }
            }
            if elementEnded() {
                let length = scanned
                replyOffset += UInt64(length)
                scanned = 0
                lineStart = 0
                return length
            }
        }
    }

    // MARK: Lines

    /// Scans to the end of lines until one element is complete or a bulk string has to be skipped.
    @inline(__always)
    private mutating func scanLine(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Bool {
        while true {
            guard let lineEnd = try findLineEnd(bytes) else { return false }
            let type = bytes[lineStart]
            let body = (lineStart + 1)..<lineEnd
            scanned = lineEnd + 2

            switch type {
            case RESPType.bulkString:
                let length = try parseLength(bytes, body, from: -1, to: limits.maxBulkBytes)
                if length < 0 { return true }
                try expectBulk(length)
                return true
            case RESPType.array:
                let count = try parseLength(bytes, body, from: -1, to: limits.maxElements)
                if count < 0 { return true }
                if try !open(count) { return true }
            case RESPType.integer:
                guard parseInteger(bytes, body) != nil else {
                    throw fail("an integer reply is not an integer of 64 bits", at: body.lowerBound)
                }
                return true
            case RESPType.simpleString, RESPType.error:
                if lineHasStray {
                    throw fail("a simple string or error contains CR or LF", at: body.lowerBound)
                }
                return true
            default:
                if try scanRESP3Line(type, bytes, body) { return true }
            }
        }
    }

    /// Has the next `length` bytes skipped, and CR LF behind them.
    mutating func expectBulk(_ length: Int) throws(RESPProtocolError) {
        bulkEnd = scanned + length
        try checkReplySize(bulkEnd + 2)
    }

    /// Goes a level down, for `count` elements.
    ///
    /// - Returns: false if there are none, so that the aggregate is complete.
    mutating func open(_ count: Int) throws(RESPProtocolError) -> Bool {
        guard outer.count < limits.maxDepth else {
            throw fail("aggregates are nested deeper than \(limits.maxDepth)", at: lineStart)
        }
        guard count > 0 else { return false }
        outer.append(remaining)
        remaining = count
        lineStart = scanned
        return true
    }

    /// Looks for CR LF from where the last search stopped.
    @inline(__always)
    private mutating func findLineEnd(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Int? {
        guard lineStart < bytes.count else { return nil }
        if scanned == lineStart {
            try checkType(bytes[lineStart])
            lineHasStray = false
            scanned += 1
        }
        var index = scanned
        let count = bytes.count
        while index < count {
            let byte = bytes[index]
            if byte <= RESPByte.cr {
                if byte == RESPByte.cr {
                    // The last byte there is: look at it again with the next.
                    guard index + 1 < count else { break }
                    if bytes[index + 1] == RESPByte.lf {
                        countSearched(index - scanned + 2)
                        try checkLine(end: index, replySize: index + 2)
                        return index
                    }
                    lineHasStray = true
                } else if byte == RESPByte.lf {
                    lineHasStray = true
                }
            }
            index += 1
        }
        countSearched(index - scanned)
        scanned = index
        try checkLine(end: index, replySize: index)
        return nil
    }

    @inline(__always)
    private mutating func checkLine(end: Int, replySize: Int) throws(RESPProtocolError) {
        // Of two limits the one whose edge comes first is reported, however the line was cut.
        let edge = lineStart + 1 + limits.maxLineBytes
        if end > edge, limits.maxReplyBytes >= edge {
            throw fail("a line is longer than \(limits.maxLineBytes) bytes", at: lineStart)
        }
        try checkReplySize(replySize)
    }

    @inline(__always)
    private mutating func checkReplySize(_ size: Int) throws(RESPProtocolError) {
        if size > limits.maxReplyBytes {
            throw fail("a reply is longer than \(limits.maxReplyBytes) bytes", at: lineStart)
        }
    }

    @inline(__always)
    private mutating func checkType(_ type: UInt8) throws(RESPProtocolError) {
        switch type {
        case RESPType.bulkString, RESPType.array, RESPType.integer, RESPType.simpleString, RESPType.error:
            break
        default: try checkOtherType(type)
        }
    }

    // MARK: Bulk strings

    @inline(__always)
    private mutating func skipBulk(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Bool {
        guard bytes.count >= bulkEnd + 2 else { return false }
        guard bytes[bulkEnd] == RESPByte.cr, bytes[bulkEnd + 1] == RESPByte.lf else {
            throw fail("a \(RESPType.name(bytes[lineStart])) is not followed by CR LF", at: bulkEnd)
        }
        if bytes[lineStart] == RESPType.verbatimString { try checkVerbatim(bytes, start: scanned) }
        scanned = bulkEnd + 2
        bulkEnd = -1
        return true
    }

    // MARK: Elements

    /// Counts an element off; arrays that it completes are elements themselves.
    ///
    /// - Returns: whether that completes the reply.
    @inline(__always)
    private mutating func elementEnded() -> Bool {
        lineStart = scanned
        remaining -= 1
        while remaining == 0 {
            guard let above = outer.popLast() else {
                remaining = 1
                return true
            }
            remaining = above - 1
        }
        return false
    }

    // MARK: Numbers

    /// Parses the length or count in a header.
    @inline(__always)
    mutating func parseLength(
        _ bytes: Span<UInt8>,
        _ range: Range<Int>,
        from least: Int,
        to most: Int
    ) throws(RESPProtocolError) -> Int {
        guard let length = parseInteger(bytes, range), length >= least, length <= most else {
            throw badLength(bytes, range, most)
        }
        return Int(length)
    }

    private mutating func badLength(_ bytes: Span<UInt8>, _ range: Range<Int>, _ most: Int)
        -> RESPProtocolError
    {
        let name = RESPType.name(bytes[lineStart])
        if range.count == 1, bytes[range.lowerBound] == UInt8(ascii: "?") {
            return fail("a streamed \(name) (its length is \"?\") is not supported", at: range.lowerBound)
        }
        guard let length = parseInteger(bytes, range) else {
            return fail("the length of a \(name) is not an integer of 64 bits", at: range.lowerBound)
        }
        if length > most {
            return fail("a \(name) of \(length) is over the limit of \(most)", at: range.lowerBound)
        }
        return fail("the length of a \(name) is \(length)", at: range.lowerBound)
    }

    mutating func fail(_ reason: String, at offset: Int) -> RESPProtocolError {
        let error = RESPProtocolError(reason, at: replyOffset + UInt64(offset))
        failure = error
        return error
    }

    @inline(__always)
    private mutating func countSearched(_ count: Int) {
        #if DEBUG
            bytesSearched += count
        #endif
    }
}

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
