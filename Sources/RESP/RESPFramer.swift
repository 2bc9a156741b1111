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
    /// The last CR of that line, which ends it if LF follows; negative if there is none.
    private var lastCR = -1
    /// The line's first CR or LF that does not end it; negative if there is none.
    private var firstStray = -1
    /// Where the bulk string that is being skipped ends, before its CR LF; negative between bulk strings.
    private var bulkEnd = -1

    /// Elements that are still to come on this level, the one being scanned included.
    private var remaining = 1
    /// The same for the levels above, outermost first.
    private(set) var outer: [Int] = []
    /// How many of the outermost levels are attributes of the reply itself.
    private var attributeLevels = 0

    /// Where the current reply begins in the whole stream.
    private var replyOffset: UInt64 = 0
    private var failure: RESPProtocolError?

    #if DEBUG
        /// How many times a byte has been looked at in search of an end; tests hold it against the bytes given.
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
            if scanned == lineStart, let end = shortBulkEnd(bytes) {
                scanned = end
            } else {
                if bulkEnd < 0 {
                    guard try scanLine(bytes) else { return nil }
                }
                if bulkEnd >= 0 {
                    guard try skipBulk(bytes) else { return nil }
                }
            }
            if elementEnded() {
                let length = scanned
                replyOffset += UInt64(length)
                scanned = 0
                lineStart = 0
                attributeLevels = 0
                return length
            }
        }
    }

    /// Lets go of the memory that replies of many levels needed.
    ///
    /// The place in a reply that has begun is kept.
    package mutating func giveMemoryBack() {
        if outer.isEmpty { outer = [] }
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
                    throw fail(
                        "an integer reply is not an integer of 64 bits",
                        at: integerFault(bytes, body)
                    )
                }
                return true
            case RESPType.simpleString, RESPType.error:
                if firstStray >= 0 {
                    throw fail("a simple string or error contains CR or LF", at: firstStray)
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

    /// Whether the element being scanned is the reply itself, with or without attributes before it.
    var isAtTop: Bool { outer.count == attributeLevels && remaining == 1 }

    /// Goes a level down, for attributes and the value they belong to.
    mutating func openAttribute(_ count: Int) throws(RESPProtocolError) {
        let isOfReply = isAtTop
        _ = try open(2 * count + 1)
        if isOfReply { attributeLevels += 1 }
    }

    /// Looks for CR LF from where the last search stopped.
    ///
    /// A CR at the end of the bytes is remembered, so that it is not looked at again with what comes behind it.
    @inline(__always)
    private mutating func findLineEnd(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Int? {
        guard lineStart < bytes.count else { return nil }
        if scanned == lineStart {
            countSearched(1)
            try checkType(bytes[lineStart])
            lastCR = -1
            firstStray = -1
            scanned += 1
        }
        let from = scanned
        var index = from
        while index < bytes.count {
            let byte = bytes[index]
            if byte <= RESPByte.cr {
                if byte == RESPByte.cr {
                    if lastCR >= 0, firstStray < 0 { firstStray = lastCR }
                    lastCR = index
                } else if byte == RESPByte.lf {
                    if lastCR == index - 1 {
                        countSearched(index + 1 - from)
                        try checkLine(end: lastCR, replySize: index + 1)
                        return lastCR
                    }
                    if firstStray < 0 { firstStray = lastCR >= 0 ? lastCR : index }
                }
            }
            index += 1
        }
        countSearched(index - from)
        scanned = index
        // A CR that comes last may be the line's end.
        let end = lastCR == index - 1 ? lastCR : index
        try checkLine(end: end, replySize: end)
        return nil
    }

    @inline(__always)
    private mutating func checkLine(end: Int, replySize: Int) throws(RESPProtocolError) {
        // Of two limits the one whose edge comes first is reported, however the line was cut.
        let edge = lineStart + 1 + limits.maxLineBytes
        if end > edge, limits.maxReplyBytes >= edge {
            throw fail("a line is longer than \(counted(limits.maxLineBytes, "byte"))", at: lineStart)
        }
        try checkReplySize(replySize)
    }

    @inline(__always)
    private mutating func checkReplySize(_ size: Int) throws(RESPProtocolError) {
        if size > limits.maxReplyBytes {
            throw fail("a reply is longer than \(counted(limits.maxReplyBytes, "byte"))", at: lineStart)
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

    /// Where a bulk string ends that begins with the line, is there whole, and has a length of four digits at the most.
    ///
    /// Most are: they are looked at once, here. About anything else, and any fault, `scanLine` and `skipBulk` say what it is.
    @inline(__always)
    private mutating func shortBulkEnd(_ bytes: Span<UInt8>) -> Int? {
        let start = lineStart
        guard let (length, content) = shortBulkHead(bytes, at: start) else { return nil }
        let end = content + length + 2
        guard end <= bytes.count, bytes[content - 1] == RESPByte.lf,
            bytes[end - 2] == RESPByte.cr, bytes[end - 1] == RESPByte.lf,
            length <= limits.maxBulkBytes, end <= limits.maxReplyBytes,
            content - start - 3 <= limits.maxLineBytes
        else { return nil }
        countSearched(content - start + 2)
        return end
    }

    @inline(__always)
    private mutating func skipBulk(_ bytes: Span<UInt8>) throws(RESPProtocolError) -> Bool {
        guard bytes.count >= bulkEnd + 2 else { return false }
        countSearched(2)
        let hasCR = bytes[bulkEnd] == RESPByte.cr
        guard hasCR, bytes[bulkEnd + 1] == RESPByte.lf else {
            throw fail(
                "\(RESPType.named(bytes[lineStart])) is not followed by CR LF",
                at: hasCR ? bulkEnd + 1 : bulkEnd
            )
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
        let name = RESPType.named(bytes[lineStart])
        if range.count == 1, bytes[range.lowerBound] == UInt8(ascii: "?") {
            return fail(
                "a streamed \(RESPType.name(bytes[lineStart])) (its length is \"?\") is not supported",
                at: range.lowerBound
            )
        }
        guard let length = parseInteger(bytes, range) else {
            return fail(
                "the length of \(name) is not an integer of 64 bits",
                at: integerFault(bytes, range)
            )
        }
        if length > most {
            return fail("\(name) of \(length) is over the limit of \(most)", at: range.lowerBound)
        }
        return fail("the length of \(name) is \(length)", at: range.lowerBound)
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
