import RESP
import Testing

/// Where replies end, and what is not the protocol; every stream whole, byte by byte and cut at every point.
struct RESPFramerTests {
    // MARK: Replies

    @Test(arguments: [
        "+OK\r\n", "+\r\n", "+with spaces and \u{1}\r\n", "-ERR no\r\n", "-\r\n", ":0\r\n", ":-1\r\n",
        "$0\r\n\r\n", "$5\r\nhello\r\n", "$2\r\n\r\n\r\n", "$7\r\n$3\r\nabc\r\n", "$-1\r\n", "*-1\r\n",
        "*0\r\n", "*1\r\n$-1\r\n", "*1\r\n*-1\r\n", "*1\r\n*0\r\n", "*2\r\n$0\r\n\r\n+\r\n",
        "*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n-E\r\n+z\r\n", "*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n*1\r\n:4\r\n",
        "*10\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n",
    ])
    func aReplyEndsWithItsLastByte(_ reply: String) {
        let length = reply.utf8.count
        let once = Framing.ofEveryCut(reply)
        #expect(once.lengths == [length] && once.waiting == 0 && once.failure == nil)
        let thrice = Framing.ofEveryCut(reply + reply + reply)
        #expect(thrice.lengths == [length, length, length] && thrice.waiting == 0 && thrice.failure == nil)
        for count in 0..<length {
            let part = Framing(Array(reply.utf8).span, ends: [count])
            #expect(part.lengths == [] && part.failure == nil, "the first \(count) bytes")
        }
    }

    @Test(arguments: [
        "", "+", "+OK", "+OK\r", "+OK\n", "+OK\r\r", "+\n\n\n", ":", ":1", ":1\r", ":not a number yet\r", "$",
        "$-", "$5\r\nhello", "$5\r\nhello\r", "$5\r\nhelloX", "*", "*1\r\n", "*2\r\n:1\r\n", "*1\r\n$3\r\nab",
        "*1\r\n*1\r\n*1\r\n",
    ])
    func aReplyThatIsNotCompleteWaits(_ bytes: String) {
        let framing = Framing.ofEveryCut(bytes)
        #expect(framing.lengths == [] && framing.failure == nil)
        #expect(framing.waiting == bytes.utf8.count)
        let second = Framing.ofEveryCut(":7\r\n" + bytes)
        #expect(second.lengths == [4] && second.failure == nil && second.waiting == bytes.utf8.count)
    }

    @Test func aBulkStringMayHoldAnyBytes() {
        let content = (UInt8.min...UInt8.max).map { $0 } + Array("\r\n$-1\r\n*5\r\n".utf8)
        let stream = Array("$\(content.count)\r\n".utf8) + content + Array("\r\n".utf8)
        #expect(Framing.ofEveryCut(stream).lengths == [stream.count])
    }

    /// Common lengths are read another way than others, and only where all of the string is there.
    @Test(arguments: [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 9999, 10_000, 10_001])
    func aBulkStringOfAnyLengthEndsWhereItsLengthSays(_ count: Int) throws {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let bulk = Array("$\(count)\r\n".utf8) + content + Array("\r\n".utf8)
        let framing = Framing(bulk.span, ends: 0...bulk.count)
        #expect(framing.lengths == [bulk.count] && framing.failure == nil)
        let whole = Framing((bulk + bulk).span, ends: [2 * bulk.count])
        #expect(whole.lengths == [bulk.count, bulk.count] && whole.failure == nil)
        var reader = RESPReader(bulk.span)
        #expect(try reader.decode([UInt8].self) == content)
    }

    /// What is wrong with a length of several digits is told as it is of any other, wherever the stream is cut.
    @Test(arguments: [
        "$1a\r\n", "$10a\r\n", "$100a\r\n", "$1000a\r\n", "$00\r\n", "$010\r\n", "$100\n\r", "$100\r\r",
        "$1\r0\r\n",
        "$123456789012345678901\r\n", "$100-\r\n", "$-100\r\n", "$+100\r\n",
    ])
    func aLengthThatIsNoneIsRefusedWhateverFollows(_ head: String) {
        let framing = Framing.ofEveryCut(head + String(repeating: "x", count: 120) + "\r\n")
        #expect(framing.lengths == [] && framing.failure != nil)
        // Also where so many bytes follow as a digit that is none would make of it.
        let accepted = (0...1100).filter { count in
            let stream = Array((head + String(repeating: "x", count: count) + "\r\n").utf8)
            return Framing(stream.span, ends: [stream.count]).failure != framing.failure
        }
        #expect(accepted == [])
    }

    // MARK: Errors

    @Test(arguments: [
        ("$3\r\nabcXY", 7), ("$3\r\nabc\rX", 8), ("$3\r\nabcX\n", 7), ("$3\r\nabc\n\r", 7),
        ("$3\r\nabc\r\r", 8), ("$3\r\nabcd\r\n", 7), ("$0\r\n\n\n", 4), ("$0\r\n+OK\r\n", 4),
        ("*2\r\n$1\r\na\r\n$1\r\nb:1\r\n", 16),
    ])
    func aBulkStringIsFollowedByCRLF(_ stream: String, _ offset: UInt64) {
        let framing = Framing.ofEveryCut(stream)
        #expect(framing.lengths == [])
        #expect(framing.failure?.reason.contains("not followed by CR LF") == true)
        #expect(framing.failure?.offset == offset)
    }

    @Test(arguments: [
        ("+a\rb\r\n", 2), ("+a\nb\r\n", 2), ("+\r\r\n", 1), ("+\n\r\n", 1), ("+a\n\r\n", 2),
        ("-ERR a\nb\r\n", 6),
        ("-\rE\r\n", 1), ("+a\r\r\r\n", 2), ("+a\rb\nc\r\n", 2), ("+a\nb\rc\r\n", 2), ("+\n\n\r\n", 1),
        ("+ab\r\rc\n\r\n", 3),
    ])
    func aLineWithCROrLFInItIsAnErrorOnceItIsComplete(_ line: String, _ stray: UInt64) {
        let count = line.utf8.count
        let framing = Framing.ofEveryCut(line)
        #expect(framing.lengths == [])
        #expect(framing.failure?.reason.contains("CR or LF") == true)
        #expect(framing.failure?.offset == stray)
        for end in 0..<count {
            #expect(Framing(Array(line.utf8).span, ends: [end]).failure == nil, "the first \(end) bytes")
        }
    }

    @Test func aStrayCROfOneLineIsForgottenAtTheNext() {
        #expect(Framing.ofEveryCut("*2\r\n$2\r\n\r\r\r\n+ok\r\n").lengths == [17])
        #expect(Framing.ofEveryCut("$1\r\n\n\r\n+ok\r\n").lengths == [7, 5])
    }

    @Test(arguments: [
        ("_", "null"), ("#", "boolean"), (",", "double"), ("(", "big number"), ("!", "bulk error"),
        ("=", "verbatim string"), ("%", "map"), ("~", "set"), (">", "push"), ("|", "attribute"),
    ])
    func aTypeOfRESP3IsRefusedByName(_ type: String, _ name: String) {
        for (before, lengths) in [("", []), ("+OK\r\n", [5]), ("*2\r\n:1\r\n", [])] {
            let framing = Framing.ofEveryCut("\(before)\(type)1\r\n")
            #expect(framing.lengths == lengths)
            let reason = framing.failure?.reason ?? "no error"
            #expect(reason.contains(" \(name) ") && reason.contains("RESP3"))
            #expect(framing.failure?.offset == UInt64(before.utf8.count))
        }
    }

    @Test(arguments: [
        ("PING\r\n", "\"P\""), ("GET / HTTP/1.1\r\n", "\"G\""), ("\r\n", "0x0d"), ("\n", "0x0a"),
        (" +OK\r\n", "0x20"), ("\0", "0x00"), ("\u{7f}", "0x7f"), ("é", "0xc3"), ("?\r\n", "\"?\""),
        ("1\r\n", "\"1\""),
    ])
    func bytesThatBeginNoReplyAreRefusedAtTheFirst(_ garbage: String, _ shown: String) {
        for (before, lengths) in [("", []), (":12\r\n$1\r\nx\r\n", [5, 7]), ("*1\r\n*3\r\n+a\r\n", [])] {
            let framing = Framing.ofEveryCut(before + garbage)
            #expect(framing.lengths == lengths)
            #expect(
                framing.failure?.reason.hasSuffix(shown) == true,
                "\(String(describing: framing.failure))"
            )
            #expect(framing.failure?.offset == UInt64(before.utf8.count))
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 400 Bad Request\r\n", "HTTP"), ("\u{15}\u{3}\u{1}", "TLS"), ("\u{16}\u{3}\u{1}", "TLS"),
    ])
    func whatElseMaySpeakIsNamed(_ bytes: String, _ name: String) {
        let framing = Framing.ofEveryCut(bytes)
        #expect(framing.failure?.offset == 0 && framing.failure?.reason.contains(name) == true)
    }

    @Test func everyByteThatIsNoTypeIsRefused() {
        for byte in UInt8.min...UInt8.max {
            let framing = Framing([byte].span, ends: [1])
            #expect((framing.failure == nil) == "+-:$*".utf8.contains(byte), "\(byte)")
        }
    }

    @Test func repliesBeforeAnErrorAreDeliveredAndNothingAfterIt() {
        let framing = Framing.ofEveryCut("+OK\r\n*1\r\n:1\r\n$-1\r\n:x\r\n+never\r\n")
        #expect(framing.lengths == [5, 8, 5])
        #expect(framing.failure?.offset == 19)
    }

    @Test(arguments: [":x\r\n", "x", "$-2\r\n", "*1\r\n$1\r\nabcd", "+a\nb\r\n"])
    func anErrorStays(_ garbage: String) {
        let stream = Array((":1\r\n" + garbage).utf8)
        let good = Array("+OK\r\n".utf8)
        var framer = RESPFramer()
        let framing = Framing(stream.span, ends: [stream.count], framer: &framer)
        #expect(framing.lengths == [4] && framing.failure != nil)
        for bytes in [good, stream, [], Array(stream.dropFirst(4)) + good] {
            let error = #expect(throws: RESPProtocolError.self) { try framer.next(bytes.span) }
            #expect(error == framing.failure)
        }
    }

    @Test func offsetsCountFromTheBeginningOfTheStream() {
        var stream = ""
        for number in 0..<50 { stream += "*2\r\n$3\r\nkey\r\n:\(number)\r\n" }
        let before = stream.utf8.count
        let framing = Framing.ofEveryCut(stream + "*2\r\n+a\r\n:1x\r\n")
        #expect(framing.lengths.count == 50)
        #expect(framing.failure?.offset == UInt64(before + 10))
        #expect(framing.failure?.description.contains("at byte \(before + 10) ") == true)
    }
}
