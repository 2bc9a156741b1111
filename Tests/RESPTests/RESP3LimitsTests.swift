import Foundation
import RESP
import TestSupport
import Testing

/// The limits on what RESP3 has, at their edges; of two that one line breaks the same however it is cut.
struct RESP3LimitsTests {
    private func framing(_ stream: String, _ limits: RESPLimits = .default) -> Framing {
        Framing.ofEveryCut(stream, version: .resp3, limits: limits)
    }

    private func accepts(
        _ stream: String,
        _ limits: RESPLimits,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let framing = framing(stream, limits)
        #expect(
            framing.lengths == [stream.utf8.count] && framing.failure == nil,
            sourceLocation: sourceLocation
        )
    }

    private func refuses(
        _ stream: String,
        _ limits: RESPLimits,
        at offset: UInt64,
        _ reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let framing = framing(stream, limits)
        #expect(framing.lengths == [] && framing.failure?.offset == offset, sourceLocation: sourceLocation)
        #expect(framing.failure?.reason.contains(reason) == true, sourceLocation: sourceLocation)
    }

    @Test(arguments: ["*1\r\n", "~1\r\n", "%1\r\n:1\r\n", "|1\r\n:1\r\n:2\r\n", "|0\r\n"])
    func depthCountsThroughEveryAggregate(_ head: String) {
        let length = UInt64(head.utf8.count)
        for depth in [1, 2, 5] {
            let limits = RESPLimits(maxDepth: depth)
            accepts(String(repeating: head, count: depth) + ":1\r\n", limits)
            let reason = "nested deeper than \(depth)"
            refuses(
                String(repeating: head, count: depth + 1) + ":1\r\n",
                limits,
                at: UInt64(depth) * length,
                reason
            )
            refuses(
                String(repeating: head, count: depth) + "*0\r\n",
                limits,
                at: UInt64(depth) * length,
                reason
            )
        }
    }

    @Test func depthCountsInAPushAndInKeysAndInAttributesOfAttributes() {
        let limits = RESPLimits(maxDepth: 2)
        accepts(">1\r\n~1\r\n:1\r\n", limits)
        refuses(">1\r\n~1\r\n*1\r\n:1\r\n", limits, at: 8, "nested deeper")
        accepts("%1\r\n*1\r\n:1\r\n:2\r\n", limits)
        refuses("%1\r\n*1\r\n~1\r\n", limits, at: 8, "nested deeper")
        accepts("|1\r\n|0\r\n+k\r\n+v\r\n:1\r\n", limits)
        refuses("|1\r\n|0\r\n|0\r\n+k\r\n+v\r\n:1\r\n", limits, at: 8, "nested deeper")
        refuses("|1\r\n+k\r\n|1\r\n+k\r\n*0\r\n", limits, at: 16, "nested deeper")
    }

    @Test(arguments: ["*1\r\n", "~1\r\n", "%1\r\n", "|1\r\n", "%1\r\n+k\r\n", "|0\r\n", ">1\r\n|1\r\n"])
    func aMillionOpeningsEndAtTheDepthLimitOrWait(_ head: String) {
        let isPush = head.hasPrefix(">")
        let repeated = isPush ? "|1\r\n" : head
        let before = isPush ? ">1\r\n" : ""
        let stream = Array((before + String(repeating: repeated, count: 1_000_000)).utf8)
        let framing = Framing(stream.span, ends: [stream.count], version: .resp3)
        let levels = isPush ? 1023 : 1024
        #expect(framing.failure?.offset == UInt64(before.utf8.count + levels * repeated.utf8.count))
        let limits = RESPLimits(maxDepth: 100_001)
        let part = stream.span.extracting(first: before.utf8.count + 100_000 * repeated.utf8.count)
        let deep = Framing(part, ends: [part.count], version: .resp3, limits: limits)
        #expect(deep.failure == nil && deep.waiting == part.count)
    }

    @Test func bulkBytesCountForErrorsAndVerbatimStrings() {
        let limits = RESPLimits(maxBulkBytes: 5)
        accepts("!5\r\nabcde\r\n", limits)
        refuses("!6\r\nabcdef\r\n", limits, at: 1, "a bulk error of 6 is over the limit of 5")
        accepts("=5\r\ntxt:a\r\n", limits)
        refuses("=6\r\ntxt:ab\r\n", limits, at: 1, "a verbatim string of 6 is over the limit of 5")
    }

    @Test func elementsCountAsEntriesOfMapsAndAttributes() {
        let limits = RESPLimits(maxElements: 2)
        let four = ":1\r\n:2\r\n:3\r\n:4\r\n"
        accepts("%2\r\n\(four)", limits)
        accepts("|2\r\n\(four):5\r\n", limits)
        accepts("~2\r\n:1\r\n:2\r\n", limits)
        accepts(">2\r\n:1\r\n:2\r\n", limits)
        for (head, name) in [("%3", "a map"), ("|3", "an attribute"), ("~3", "a set"), (">3", "a push")] {
            refuses("\(head)\r\n", limits, at: 1, "\(name) of 3 is over the limit of 2")
        }
    }

    /// Both limits in one line: that whose edge comes first is reported.
    @Test(arguments: [4, 5, 6, 7, 8, 9, 10], [4, 5, 6, 7, 8, 9, 10, 11, 12])
    func ofTwoLimitsTheSameIsReportedHoweverTheLineIsCut(_ line: Int, _ reply: Int) {
        let limits = RESPLimits(maxLineBytes: line, maxReplyBytes: reply)
        for stream in [
            "+abcdefghijklm\r\n", "+abc\rdefghijk\r\n", "+\r\r\r\r\r\r\r\r\r\r\r\r\r\r\n", "-ab\ncdefghi\r\n",
            ":123456789012\r\n",
            "$12345678901\r\n", "*1\r\n+abcdefghij\r\n", "$3\r\nabc\r\n", ",1.23456789\r\n",
            "(12345678901\r\n",
        ] {
            let framing = framing(stream, limits)
            guard stream.utf8.count > reply else { continue }
            let edge = line + 1
            let isLine = stream.hasPrefix("+abcdefg") && reply >= edge && edge < 14
            if stream.hasPrefix("+abcdefg") {
                #expect(framing.failure?.reason.contains(isLine ? "a line is" : "a reply is") == true)
            }
            #expect(framing.failure != nil, "\(stream.debugDescription)")
        }
    }

    @Test func theDefaultsOfLongRepliesAndManyWords() throws {
        // `$`, ten digits, twice CR LF: 15 bytes around the content.
        let long = RESPLimits(maxBulkBytes: .max)
        #expect(framing("$1073741809\r\n", long).waiting == 13)
        refuses("$1073741810\r\n", long, at: 0, "a reply is longer than 1073741824 bytes")
        let words = [any RESPEncodable](repeating: "", count: 1 << 20)
        #expect(try RESPWordList(words).byteCount(.default) == 10 + 6 << 20)
        let error = #expect(throws: RESPEncodingError.self) {
            try RESPWordList(words + ["x"]).byteCount(.default)
        }
        #expect(error?.reason.contains("1048577 words; at most 1048576") == true)
    }

    @Test func theLargestLimitsThereAre() {
        let limits = RESPLimits(maxBulkBytes: .max, maxElements: .max, maxReplyBytes: .max)
        for head in ["*", "%", "~", ">", "|"] {
            #expect(framing("\(head)1152921504606846976\r\n", limits).waiting == 22)
            refuses("\(head)1152921504606846977\r\n", limits, at: 1, "over the limit of 1152921504606846976")
        }
        refuses("%4611686018427387904\r\n", limits, at: 1, "over the limit")
        refuses("|9223372036854775807\r\n", limits, at: 1, "over the limit")
        // The longest string, and a reply that is longer still.
        refuses("$1152921504606846976\r\n", limits, at: 0, "a reply is longer than 1152921504606846976 bytes")
        #expect(framing("$1152921504606846950\r\n", limits).waiting == 22)
    }

    @Test(arguments: [
        ("*4294967295\r\n", nil), ("%4294967295\r\n", nil), ("|4294967295\r\n", nil), ("=536870912\r\n", nil),
        ("!536870912\r\n", nil), ("*4294967295\r\n%4294967295\r\n|4294967295\r\n", nil),
        ("$9223372036854775807\r\n", "a bulk string of 9223372036854775807 is over the limit of 536870912"),
        ("%4611686018427387904\r\n", "a map of 4611686018427387904 is over the limit of 4294967295"),
        ("~9223372036854775807\r\n", "a set of 9223372036854775807 is over"),
        (">4294967296\r\n", "a push of 4294967296 is"),
        ("|9223372036854775807\r\n", "an attribute of 9223372036854775807 is"),
        ("=536870913\r\n", "a verbatim string of"),
        ("*9223372036854775808\r\n", "the length of an array is not an integer of 64 bits"),
    ])
    func aHugeCountWaitsOrIsRefusedAndTakesNoMemory(_ header: String, _ reason: String?) throws {
        let framing = framing(header)
        #expect(framing.lengths.isEmpty)
        let before = addressSpace()
        var decoder = RESPDecoder(version: .resp3)
        decoder.append(header.utf8)
        if let reason {
            #expect(framing.failure?.offset == (header.hasPrefix("*") ? 19 : 1))
            #expect(framing.failure?.reason.contains(reason) == true)
            #expect(throws: RESPProtocolError.self) { try decoder.next() }
        } else {
            #expect(framing.failure == nil && framing.waiting == header.utf8.count)
            #expect(try decoder.next() == nil)
            #expect(decoder.bufferCapacity < 1000)
        }
        #expect(addressSpace() - before < 500 << 20)
    }

    /// What a reply's values may take for each of its bytes, at the worst; in a process of its own, where nobody else allocates.
    @Test func memoryIsSomeFiftyBytesForEachByte() async {
        await #expect(processExitsWith: .success) {
            for head in ["*1\r\n", "%1\r\n+a\r\n", "|0\r\n", "+a\r\n", "$-1\r\n", "*0\r\n"] {
                // Chains of a hundred, side by side: the shortest heads there are, each with room of its own.
                let isChain = ["*1\r\n", "%1\r\n+a\r\n", "|0\r\n"].contains(head)
                let element = isChain ? String(repeating: head, count: 100) + "_\r\n" : head
                let count = 2_000_000 / element.utf8.count
                let body = String(repeating: element, count: count)
                var decoder = RESPDecoder(version: .resp3)
                decoder.append("*\(count)\r\n\(body)".utf8)
                let before = statm(1)
                let value = try #require(try decoder.next())
                let taken = statm(1) - before
                withExtendedLifetime(value) {}
                precondition(
                    isSanitized || taken < 60 * body.utf8.count,
                    "\(head): \(taken) bytes for \(body.utf8.count)"
                )
            }
        }
    }

    /// The process's address space in bytes, which grows by what is reserved even if it is never touched.
    private func addressSpace() -> Int { statm(0) }
}

/// A column of what the system says of this process's memory, in bytes.
private func statm(_ column: Int) -> Int {
    let statm = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return (Int(statm.split(separator: " ")[column]) ?? 0) * 4096
}
