import RESP
import Testing

#if DEBUG
    /// A byte is searched for a line's end once, however the stream is cut.
    struct RESPFramerLinearityTests {
        struct Stream: CustomTestStringConvertible {
            let testDescription: String
            let bytes: [UInt8]

            init(_ name: String, _ text: String) {
                testDescription = name
                bytes = Array(text.utf8)
            }
        }

        static let streams = [
            Stream("a long simple string", "+" + String(repeating: "x", count: 60_000) + "\r\n"),
            Stream("a long simple string without end", "+" + String(repeating: "x", count: 60_000)),
            Stream("a line of CR", "+" + String(repeating: "\r", count: 20_000)),
            Stream("a line of LF", "+" + String(repeating: "\n", count: 20_000)),
            Stream("an array of many integers", "*5000\r\n" + (0..<5000).map { ":\($0)\r\n" }.joined()),
            Stream(
                "an array of many strings",
                "*5000\r\n" + String(repeating: "$3\r\nabc\r\n", count: 5000)
            ),
            Stream(
                "an array that is not complete",
                "*9999\r\n" + String(repeating: "$0\r\n\r\n", count: 5000)
            ),
            Stream("nested arrays", String(repeating: "*1\r\n", count: 1024) + ":1\r\n"),
            Stream("many replies", String(repeating: "+OK\r\n:1\r\n$-1\r\n*0\r\n", count: 1000)),
            Stream("a large bulk string", "$50000\r\n" + String(repeating: "y", count: 50_000) + "\r\n"),
        ]

        /// All of RESP3, some of it within the rest.
        static let resp3 = Array(
            String(
                repeating: "|1\r\n+ttl\r\n:60\r\n%2\r\n+a\r\n~2\r\n#t\r\n,-1.25e3\r\n$3\r\na\r\n\r\n_\r\n"
                    + ">2\r\n+message\r\n=9\r\ntxt:a\rb\nc\r\n(-12345678901234567890\r\n!6\r\nERR a\r\r\n",
                count: 300
            ).utf8
        )

        private func check(
            _ bytes: [UInt8],
            _ piece: Int,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            func feed(_ ends: [Int]) -> (framing: Framing, searched: Int) {
                var framer = RESPFramer(version: .resp3)
                let framing = Framing(bytes.span, ends: ends, framer: &framer)
                return (framing, framer.bytesSearched)
            }
            let count = bytes.count
            let whole = feed([count])
            let cut = feed(Array(stride(from: 0, to: count, by: piece)) + [count])
            #expect(whole.framing.failure == nil, sourceLocation: sourceLocation)
            #expect(whole.framing.lengths.reduce(whole.framing.waiting, +) == count)
            #expect(cut.framing == whole.framing, sourceLocation: sourceLocation)
            #expect(cut.searched > 0 && cut.searched <= count, sourceLocation: sourceLocation)
            #expect(cut.searched == whole.searched, sourceLocation: sourceLocation)
        }

        @Test(arguments: streams, [1, 2, 7, 1000, 65_536, Int.max])
        func noByteIsSearchedTwice(_ stream: Stream, _ piece: Int) { check(stream.bytes, piece) }

        @Test(arguments: [1, 2, 7, 1000, 65_536, Int.max])
        func noByteOfRESP3IsSearchedTwice(_ piece: Int) { check(Self.resp3, piece) }

        @Test(arguments: [1, 7, Int.max])
        func aBulkStringIsNotSearchedAtAll(_ piece: Int) {
            let bytes = Array(("$50000\r\n" + String(repeating: "y", count: 50_000) + "\r\n").utf8)
            var framer = RESPFramer()
            let ends = Array(stride(from: 0, to: bytes.count, by: piece)) + [bytes.count]
            #expect(Framing(bytes.span, ends: ends, framer: &framer).lengths == [bytes.count])
            // Its header, and the CR LF behind it.
            #expect(framer.bytesSearched <= 10)
        }

        /// Nor does the decoder's buffer move a byte more often than its growth explains.
        @Test(arguments: [(1_000_000, 65_536), (20_000, 1), (20_000, 7), (20_000, Int.max)])
        func aLargeReplyIsSearchedOnceAndMovedSeldom(_ elements: Int, _ piece: Int) throws {
            let bytes =
                Array("*\(elements)\r\n".utf8) + Array(String(repeating: "+a\r\n", count: elements).utf8)
            var decoder = RESPDecoder()
            var start = 0
            var replies: [RESPValue] = []
            while start < bytes.count {
                let end = piece < bytes.count - start ? start + piece : bytes.count
                decoder.append(bytes[start..<end])
                start = end
                if let reply = try decoder.next() { replies.append(reply) }
            }
            guard case .array(let values) = try #require(replies.first) else { return }
            #expect(replies.count == 1 && values.count == elements)
            #expect(decoder.bytesSearched <= bytes.count)
            #expect(decoder.bytesMoved <= 2 * bytes.count)
        }

        /// Many small replies, some of them cut: what was returned is not moved along.
        @Test(arguments: [1, 7, 1000])
        func theBytesOfManyRepliesAreMovedSeldom(_ piece: Int) throws {
            var decoder = RESPDecoder(version: .resp3)
            for start in stride(from: 0, to: Self.resp3.count, by: piece) {
                decoder.append(Self.resp3[start..<min(start + piece, Self.resp3.count)])
                while try decoder.next() != nil {}
            }
            #expect(decoder.bufferedBytes == 0)
            #expect(decoder.bytesSearched <= Self.resp3.count)
            #expect(decoder.bytesMoved <= 2 * Self.resp3.count)
        }

        @Test func askingAgainWithoutNewBytesSearchesNothing() throws {
            let bytes = Array("*2\r\n+abc".utf8)
            var framer = RESPFramer()
            #expect(try framer.next(bytes.span) == nil)
            let searched = framer.bytesSearched
            for _ in 0..<100 { #expect(try framer.next(bytes.span) == nil) }
            #expect(framer.bytesSearched == searched)
        }

        @Test func aMillionOpeningArraysAreNotReadPastTheDepthLimit() {
            let bytes = Array(String(repeating: "*1\r\n", count: 1_000_000).utf8)
            var framer = RESPFramer()
            #expect(Framing(bytes.span, ends: [bytes.count], framer: &framer).failure != nil)
            #expect(framer.bytesSearched <= 1025 * 4)
        }
    }
#endif
