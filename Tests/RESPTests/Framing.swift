import RESP
import Testing

/// What a framer makes of a stream that arrives in pieces.
struct Framing: Equatable {
    /// The length of each complete reply.
    var lengths: [Int] = []
    /// How many bytes wait for the rest of their reply.
    var waiting = 0
    /// The error that ended it.
    var failure: RESPProtocolError?

    /// Feeds a framer.
    ///
    /// - Parameter ends: where the pieces end, the last at the stream's end.
    init(_ stream: Span<UInt8>, ends: some Sequence<Int>, framer: inout RESPFramer) {
        var start = 0
        for end in ends {
            do throws(RESPProtocolError) {
                while let length = try framer.next(stream.extracting(start..<end)) {
                    lengths.append(length)
                    start += length
                }
            } catch {
                failure = error
                return
            }
        }
        waiting = stream.count - start
    }

    init(
        _ stream: Span<UInt8>,
        ends: some Sequence<Int>,
        version: RESPVersion = .resp2,
        limits: RESPLimits = .default
    ) {
        var framer = RESPFramer(version: version, limits: limits)
        self.init(stream, ends: ends, framer: &framer)
    }

    /// Feeds a stream whole, byte by byte, in sevens and cut in two at every place.
    ///
    /// Records an issue for each that differs from the whole.
    ///
    /// - Returns: what the framer makes of it arriving whole.
    static func ofEveryCut(
        _ stream: [UInt8],
        version: RESPVersion = .resp2,
        limits: RESPLimits = .default,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> Framing {
        let count = stream.count
        let whole = Framing(stream.span, ends: [count], version: version, limits: limits)
        func check(_ ends: some Sequence<Int>, _ how: String) {
            let cut = Framing(stream.span, ends: ends, version: version, limits: limits)
            // No expectation for each of them: there are thousands.
            guard cut != whole else { return }
            Issue.record("\(how): \(cut), but whole: \(whole)", sourceLocation: sourceLocation)
        }
        check(0...count, "byte by byte")
        check(Array(stride(from: 7, to: count, by: 7)) + [count], "in sevens")
        for place in 0...count { check([place, count], "cut at \(place)") }
        return whole
    }

    static func ofEveryCut(
        _ stream: String,
        version: RESPVersion = .resp2,
        limits: RESPLimits = .default,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> Framing {
        ofEveryCut(Array(stream.utf8), version: version, limits: limits, sourceLocation: sourceLocation)
    }
}
