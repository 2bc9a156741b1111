import Foundation
import RESP
import Testing

/// Every limit exactly at its edge and one past it, however the stream is cut; declared counts cost nothing.
struct RESPLimitsTests {
    /// A stream of one reply, or of the beginning of one.
    struct Edge: CustomTestStringConvertible {
        let limits: RESPLimits
        let stream: String
        /// Where it is refused, or nil where it is accepted.
        let offset: UInt64?
        var testDescription: String { stream.prefix(40).debugDescription }

        init(_ limits: RESPLimits, _ stream: String, refusedAt offset: UInt64? = nil) {
            self.limits = limits
            self.stream = stream
            self.offset = offset
        }

        func check(_ reason: String, sourceLocation: SourceLocation = #_sourceLocation) {
            let framing = Framing.ofEveryCut(stream, limits: limits, sourceLocation: sourceLocation)
            #expect(framing.failure?.offset == offset, sourceLocation: sourceLocation)
            if offset == nil {
                #expect(framing.lengths == [stream.utf8.count], sourceLocation: sourceLocation)
            } else {
                #expect(framing.lengths == [], sourceLocation: sourceLocation)
                #expect(framing.failure?.reason.contains(reason) == true, sourceLocation: sourceLocation)
            }
        }
    }

    private static func nested(_ depth: Int, _ innermost: String = ":1\r\n") -> String {
        String(repeating: "*1\r\n", count: depth) + innermost
    }

    @Test(arguments: [
        Edge(.init(maxDepth: 1), nested(1)), Edge(.init(maxDepth: 1), nested(2), refusedAt: 4),
        Edge(.init(maxDepth: 3), nested(3)), Edge(.init(maxDepth: 3), nested(4), refusedAt: 12),
        Edge(.init(maxDepth: 3), nested(4, ""), refusedAt: 12),
        Edge(.init(maxDepth: 2), "*3\r\n*1\r\n:1\r\n*1\r\n:2\r\n*1\r\n:3\r\n"),
        Edge(.init(maxDepth: 2), "*2\r\n*1\r\n:1\r\n*1\r\n*1\r\n:2\r\n", refusedAt: 16),
        Edge(.default, nested(1024)), Edge(.default, nested(1025), refusedAt: 4096),
    ])
    func depth(_ edge: Edge) {
        edge.check("nested deeper than \(edge.limits.maxDepth)")
    }

    @Test(arguments: [
        Edge(.init(maxBulkBytes: 5), "$5\r\nabcde\r\n"), Edge(.init(maxBulkBytes: 5), "$0\r\n\r\n"),
        Edge(.init(maxBulkBytes: 5), "$6\r\n", refusedAt: 1),
        Edge(.init(maxBulkBytes: 5), "*1\r\n$6\r\nabcdef\r\n", refusedAt: 5),
        Edge(.init(maxBulkBytes: 5), "$9223372036854775807\r\n", refusedAt: 1),
        Edge(.default, "$\((512 << 20) + 1)\r\n", refusedAt: 1),
        Edge(.default, "$9223372036854775807\r\n", refusedAt: 1),
    ])
    func bulkBytes(_ edge: Edge) {
        edge.check("over the limit of \(edge.limits.maxBulkBytes)")
    }

    @Test(arguments: [
        Edge(.init(maxLineBytes: 5), "+abcde\r\n"), Edge(.init(maxLineBytes: 5), "+abcdef\r\n", refusedAt: 0),
        Edge(.init(maxLineBytes: 5), "-abcde\r\n"), Edge(.init(maxLineBytes: 5), "-abcdef\r\n", refusedAt: 0),
        Edge(.init(maxLineBytes: 5), ":12345\r\n"), Edge(.init(maxLineBytes: 5), ":123456\r\n", refusedAt: 0),
        Edge(.init(maxLineBytes: 5), "$000000", refusedAt: 0),
        Edge(.init(maxLineBytes: 5), "+abcdef", refusedAt: 0),
        Edge(.init(maxLineBytes: 5), "*2\r\n+abcde\r\n+abcdef\r\n", refusedAt: 12),
        Edge(.default, "+" + String(repeating: "x", count: 65_536 - 6) + "123456\r\n"),
        Edge(.default, "+" + String(repeating: "x", count: 65_537) + "\r\n", refusedAt: 0),
    ])
    func lineBytes(_ edge: Edge) {
        guard edge.stream.utf8.count < 1000 else {
            // Too long for every cut.
            let stream = Array(edge.stream.utf8)
            let whole = Framing(stream.span, ends: [stream.count], limits: edge.limits)
            #expect(whole.failure?.offset == edge.offset)
            #expect(Framing(stream.span, ends: 0...stream.count, limits: edge.limits) == whole)
            return
        }
        edge.check("a line is longer than \(edge.limits.maxLineBytes) bytes")
    }

    @Test func aLineWithoutEndIsRefusedAtTheFirstByteTooMany() {
        let stream = Array("+abcdef".utf8)
        #expect(Framing(stream.span, ends: 0...6, limits: .init(maxLineBytes: 5)).failure == nil)
        #expect(Framing(stream.span, ends: 0...7, limits: .init(maxLineBytes: 5)).failure?.offset == 0)
    }

    @Test(arguments: [
        Edge(.init(maxElements: 2), "*2\r\n:1\r\n:2\r\n"),
        Edge(.init(maxElements: 2), "*3\r\n", refusedAt: 1),
        Edge(.init(maxElements: 2), "*2\r\n:1\r\n*3\r\n", refusedAt: 9),
        Edge(.init(maxElements: 2), "*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n:4\r\n"),
        Edge(.default, "*4294967296\r\n", refusedAt: 1),
        Edge(.default, "*9223372036854775807\r\n", refusedAt: 1),
    ])
    func elements(_ edge: Edge) {
        edge.check("over the limit of \(edge.limits.maxElements)")
    }

    @Test(arguments: [
        Edge(.init(maxReplyBytes: 10), "$4\r\nabcd\r\n"),
        Edge(.init(maxReplyBytes: 10), "$5\r\n", refusedAt: 0),
        Edge(.init(maxReplyBytes: 10), "$5\r\nabcde\r\n", refusedAt: 0),
        Edge(.init(maxReplyBytes: 10), "+1234567\r\n"),
        Edge(.init(maxReplyBytes: 10), "+12345678\r\n", refusedAt: 0),
        Edge(.init(maxReplyBytes: 10), "+1234567890123456789\r\n", refusedAt: 0),
        Edge(.init(maxReplyBytes: 10), ":1234567\r\n"),
        Edge(.init(maxReplyBytes: 10), ":12345678\r\n", refusedAt: 0),
        Edge(.init(maxReplyBytes: 10), "*1\r\n:123\r\n"),
        Edge(.init(maxReplyBytes: 10), "*1\r\n:1234\r\n", refusedAt: 4),
        Edge(.init(maxReplyBytes: 20), "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n"),
        Edge(.init(maxReplyBytes: 19), "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", refusedAt: 16),
        Edge(.init(maxReplyBytes: 19), "*3\r\n$-1\r\n$-1\r\n*-1\r\n"),
        Edge(.init(maxReplyBytes: 18), "*3\r\n$-1\r\n$-1\r\n*-1\r\n", refusedAt: 14),
    ])
    func replyBytes(_ edge: Edge) {
        edge.check("a reply is longer than \(edge.limits.maxReplyBytes) bytes")
    }

    @Test func replyBytesAreCountedForEachReply() {
        let framing = Framing.ofEveryCut(
            "+1234567\r\n$4\r\nabcd\r\n*1\r\n:123\r\n",
            limits: .init(maxReplyBytes: 10)
        )
        #expect(framing.lengths == [10, 10, 10] && framing.failure == nil)
    }

    @Test(arguments: [
        (Int.min, 0), (-1, 0), (0, 0), (1, 1), (7, 7), (1 << 60, 1 << 60), ((1 << 60) + 1, 1 << 60),
        (Int.max, 1 << 60),
    ])
    func limitsStayBetweenZeroAndTwoToThe60(_ asked: Int, _ got: Int) {
        let made = RESPLimits(
            maxDepth: asked,
            maxBulkBytes: asked,
            maxLineBytes: asked,
            maxElements: asked,
            maxReplyBytes: asked,
            maxWords: asked
        )
        var set = RESPLimits()
        set.maxDepth = asked
        set.maxBulkBytes = asked
        set.maxLineBytes = asked
        set.maxElements = asked
        set.maxReplyBytes = asked
        set.maxWords = asked
        for limits in [made, set] {
            #expect(limits.maxDepth == got && limits.maxBulkBytes == got && limits.maxLineBytes == got)
            #expect(limits.maxElements == got && limits.maxReplyBytes == got && limits.maxWords == got)
        }
    }

    /// With no bound on the limit the end of such a string would be past the last integer there is.
    @Test func aLimitSetToTheLargestIntegerTrapsOnNothing() async {
        await #expect(processExitsWith: .success) {
            var limits = RESPLimits()
            limits.maxBulkBytes = .max
            limits.maxReplyBytes = .max
            _ = Framing(Array("$9223372036854775807\r\n".utf8).span, ends: [22], limits: limits)
        }
    }

    // MARK: Declared counts

    @Test(arguments: ["*4294967295\r\n", "$536870912\r\n", "*4294967295\r\n*4294967295\r\n$536870912\r\n"])
    func aHugeDeclaredCountWaitsAndReservesNothing(_ header: String) throws {
        let before = addressSpace()
        var decoder = RESPDecoder()
        decoder.append(header.utf8)
        #expect(try decoder.next() == nil)
        decoder.append("+".utf8)
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedBytes == header.utf8.count + 1)
        #expect(addressSpace() - before < 500 << 20)
    }

    @Test func aHugeDeclaredCountIsHeldAgainstTheLargestLimits() {
        let limits = RESPLimits(maxBulkBytes: .max, maxElements: .max, maxReplyBytes: .max)
        for stream in ["$1152921504606846977\r\n", "*1152921504606846977\r\n", "$9223372036854775807\r\n"] {
            #expect(Framing.ofEveryCut(stream, limits: limits).failure?.offset == 1)
        }
        #expect(Framing.ofEveryCut("*1152921504606846976\r\n", limits: limits).failure == nil)
    }

    @Test func aMillionOpeningArraysEndAtTheDepthLimitOrWait() {
        let stream = Array(String(repeating: "*1\r\n", count: 1_000_000).utf8)
        #expect(Framing(stream.span, ends: [stream.count]).failure?.offset == 4096)
        let deep = Framing(stream.span, ends: [stream.count], limits: .init(maxDepth: 1_000_000))
        #expect(deep.failure == nil && deep.waiting == stream.count)
    }

    /// The process's address space in bytes, which grows by what is reserved even if it is never touched.
    private func addressSpace() -> Int {
        let statm = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (statm.split(separator: " ").first.flatMap { Int($0) } ?? 0) * 4096
    }
}
