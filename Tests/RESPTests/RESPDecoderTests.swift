import RESP
import Testing

/// The decoder for a stream of replies: what it returns, keeps and refuses.
struct RESPDecoderTests {
    @Test func returnsRepliesInOrderAndThenNothing() throws {
        var decoder = RESPDecoder()
        #expect(try decoder.next() == nil)
        decoder.append("+OK\r\n:1\r\n$-1\r\n*2\r\n+a\r\n-E b\r\n".utf8)
        #expect(try decoder.next() == .simpleString("OK"))
        #expect(try decoder.next() == .integer(1))
        #expect(try decoder.next() == .null)
        #expect(try decoder.next() == .array([.simpleString("a"), .simpleError("E b")]))
        #expect(try decoder.next() == nil)
        #expect(try decoder.next() == nil)
    }

    @Test func countsTheBytesThatAreNotReturnedYet() throws {
        var decoder = RESPDecoder()
        decoder.append("+OK\r\n:1\r\n$5\r\nhe".utf8)
        #expect(decoder.bufferedBytes == 15)
        _ = try decoder.next()
        #expect(decoder.bufferedBytes == 10)
        _ = try decoder.next()
        #expect(decoder.bufferedBytes == 6)
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedBytes == 6)
        decoder.append("llo\r\n".utf8)
        #expect(try decoder.next() == .bulkString("hello"))
        #expect(decoder.bufferedBytes == 0)
    }

    /// Bytes of replies already returned are dropped in between; that must never move a reply.
    @Test(arguments: [1, 3, 64, 1000])
    func keepsItsPlaceWhenBytesAreDropped(_ piece: Int) throws {
        var stream: [UInt8] = []
        for number in 0..<500 { stream += Array("*2\r\n:\(number)\r\n$4\r\n\r\n\r\n\r\n".utf8) }
        var decoder = RESPDecoder()
        var count: Int64 = 0
        for start in stride(from: 0, to: stream.count, by: piece) {
            decoder.append(stream[start..<min(start + piece, stream.count)])
            while let reply = try decoder.next() {
                #expect(reply == .array([.integer(count), .bulkString("\r\n\r\n")]))
                count += 1
            }
        }
        #expect(count == 500)
    }

    @Test func anErrorComesAfterTheRepliesBeforeItAndStays() throws {
        var decoder = RESPDecoder()
        decoder.append("+OK\r\n:1\r\n:x\r\n+never\r\n".utf8)
        #expect(try decoder.next() == .simpleString("OK"))
        #expect(try decoder.next() == .integer(1))
        let first = #expect(throws: RESPProtocolError.self) { try decoder.next() }
        #expect(first?.offset == 10)
        decoder.append("+OK\r\n".utf8)
        let second = #expect(throws: RESPProtocolError.self) { try decoder.next() }
        #expect(first == second)
    }

    @Test func aReplyOfAnotherTypeIsGoneAndTheDecoderLives() throws {
        var decoder = RESPDecoder(version: .resp3)
        #expect(try decoder.next(as: Int.self) == nil)
        decoder.append(
            "$1\r\na\r\n:7\r\n*2\r\n+a\r\n$-1\r\n-ERR no\r\n$-1\r\n%1\r\n+k\r\n:1\r\n:8\r\n:x\r\n".utf8
        )
        #expect(throws: RESPDecodingError.self) { try decoder.next(as: Int.self) }
        #expect(try decoder.next(as: Int.self) == 7)
        #expect(try decoder.next(as: [String?].self) == ["a", nil])
        let error = #expect(throws: RESPDecodingError.self) { try decoder.next(as: String.self) }
        #expect(error?.reason.contains("ERR no") == true)
        #expect(try decoder.next(as: String?.self) == .some(nil))
        struct Half: RESPDecodable {
            init(from reader: inout RESPReader) throws(RESPDecodingError) { _ = try reader.decodeMapHead() }
        }
        #expect(throws: RESPDecodingError.self) { _ = try decoder.next(as: Half.self) }
        #expect(try decoder.next() == .integer(8))
        for _ in 0..<2 {
            let failure = #expect(throws: RESPProtocolError.self) { try decoder.next(as: Int.self) }
            #expect(failure?.reason.contains("not an integer") == true)
            #expect(throws: RESPProtocolError.self) { try decoder.next() }
        }
    }

    @Test func aDecoderThatHasFailedKeepsNothing() throws {
        var decoder = RESPDecoder()
        decoder.append("+OK\r\n?".utf8)
        #expect(try decoder.next() == .simpleString("OK"))
        #expect(throws: RESPProtocolError.self) { try decoder.next() }
        #expect(decoder.bufferedBytes == 1)
        for _ in 0..<100 { decoder.append(repeatElement(0x2b, count: 10_000)) }
        #expect(decoder.bufferedBytes == 1_000_001)
        #expect(decoder.bufferCapacity == 0)
        #expect(throws: RESPProtocolError.self) { try decoder.next() }
    }

    /// In one piece, in pieces, and with the next reply's beginning behind it.
    @Test(arguments: [Int.max, 100_000], ["", "$5\r\nab"])
    func theRoomOfALargeReplyIsLetGo(_ piece: Int, _ rest: String) throws {
        let large =
            Array("$4000000\r\n".utf8) + [UInt8](repeating: 0x78, count: 4_000_000)
            + Array("\r\n\(rest)".utf8)
        var decoder = RESPDecoder()
        var start = 0
        var replies = 0
        while start < large.count {
            let end = piece < large.count - start ? start + piece : large.count
            decoder.append(large[start..<end])
            start = end
            while try decoder.next() != nil { replies += 1 }
        }
        #expect(replies == 1)
        decoder.append(rest.isEmpty ? "+OK\r\n".utf8 : "cde\r\n".utf8)
        #expect(decoder.bufferCapacity < 2 << 20)
        #expect(try decoder.next() == (rest.isEmpty ? .simpleString("OK") : .bulkString("abcde")))
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func appliesItsLimits() throws {
        var decoder = RESPDecoder(limits: .init(maxBulkBytes: 3))
        decoder.append("$3\r\nabc\r\n$4\r\nabcd\r\n".utf8)
        #expect(try decoder.next() == .bulkString("abc"))
        #expect(throws: RESPProtocolError.self) { try decoder.next() }
    }

    @Test func decodesTheDeepestReplyThereMayBe() throws {
        var decoder = RESPDecoder()
        decoder.append(String(repeating: "*1\r\n", count: 1024).utf8)
        decoder.append(":7\r\n".utf8)
        var value = try #require(try decoder.next())
        for _ in 0..<1024 {
            guard case .array(let elements) = value, elements.count == 1 else {
                Issue.record("not nested 1024 deep")
                return
            }
            value = elements[0]
        }
        #expect(value == .integer(7))
    }
}
