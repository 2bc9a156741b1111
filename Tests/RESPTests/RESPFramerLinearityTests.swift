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

        @Test(arguments: streams, [1, 2, 7, 1000, Int.max])
        func noByteIsSearchedTwice(_ stream: Stream, _ piece: Int) {
            let count = stream.bytes.count
            var framer = RESPFramer()
            let ends = Array(stride(from: 0, to: count, by: piece)) + [count]
            let framing = Framing(stream.bytes.span, ends: ends, framer: &framer)
            #expect(framing.failure == nil)
            #expect(framing.lengths.reduce(framing.waiting, +) == count)
            #expect(framer.bytesSearched > 0)
            #expect(framer.bytesSearched <= count)
        }

        @Test(arguments: [1, 7, Int.max])
        func aBulkStringIsNotSearchedAtAll(_ piece: Int) {
            let bytes = Array(("$50000\r\n" + String(repeating: "y", count: 50_000) + "\r\n").utf8)
            var framer = RESPFramer()
            let ends = Array(stride(from: 0, to: bytes.count, by: piece)) + [bytes.count]
            #expect(Framing(bytes.span, ends: ends, framer: &framer).lengths == [bytes.count])
            #expect(framer.bytesSearched <= 8)
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
