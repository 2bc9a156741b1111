import RESP
import Testing

/// Integers and lengths: `0` or `-?[1-9][0-9]*` within 64 bits, and nothing else.
struct RESPFramerNumberTests {
    static let integers: [(text: String, value: Int64)] = [
        ("0", 0), ("1", 1), ("9", 9), ("-1", -1), ("-9", -9), ("10", 10), ("-10", -10), ("42", 42),
        ("100", 100), ("1234567890", 1_234_567_890), ("1000000000000000000", 1_000_000_000_000_000_000),
        ("9223372036854775806", .max - 1), ("9223372036854775807", .max), ("-9223372036854775807", .min + 1),
        ("-9223372036854775808", .min),
    ]

    /// What is no integer, and where it stops being one.
    static let notIntegers: [(text: String, fault: Int)] = [
        ("", 0), ("-", 1), ("+", 0), ("+1", 0), ("+0", 0), (" 1", 0), ("1 ", 1), ("\t1", 0), (" ", 0),
        ("01", 1), ("00", 1), ("-0", 1), ("-01", 1), ("-00", 1), ("--1", 1), ("-+1", 1), ("1-", 1),
        ("1.0", 1),
        (".5", 0), ("1e3", 1), ("0x1", 1), ("a", 0), ("1a", 1), ("a1", 0), ("1/", 1), ("1:", 1), ("/", 0),
        (":", 0), ("1_000", 1), ("1,000", 1), ("inf", 0), ("nan", 0), ("\0", 0), ("1\0", 1), ("1\n", 1),
        ("\n1", 0), ("\r1", 0), ("1\r", 1), ("٣", 0), ("−1", 0), ("9223372036854775808", 18),
        ("-9223372036854775809", 19), ("9223372036854775817", 18), ("9999999999999999999", 18),
        ("-9999999999999999999", 19), ("10000000000000000000", 19), ("18446744073709551615", 19),
        ("18446744073709551616", 19), ("18446744073709551617", 19), ("-18446744073709551615", 20),
        ("-18446744073709551617", 20), ("100000000000000000000", 19),
        ("340282366920938463463374607431768211456", 19), (String(repeating: "9", count: 400), 18),
        (String(repeating: "0", count: 21), 1), ("-" + String(repeating: "1", count: 20), 20),
    ]

    @Test(arguments: integers)
    func anIntegerOf64BitsIsRead(_ text: String, _ value: Int64) throws {
        let stream = Array(":\(text)\r\n".utf8)
        #expect(Framing.ofEveryCut(stream).lengths == [stream.count])
        var decoder = RESPDecoder()
        decoder.append(stream)
        #expect(try decoder.next() == .integer(value))
        #expect(try RESPValue.integer(value).encoded() == stream)
    }

    @Test(arguments: notIntegers)
    func anythingElseIsNoIntegerReply(_ text: String, _ fault: Int) {
        let framing = Framing.ofEveryCut("+OK\r\n:\(text)\r\n")
        #expect(framing.lengths == [5])
        #expect(framing.failure?.reason.contains("not an integer") == true)
        #expect(framing.failure?.offset == UInt64(6 + fault))
    }

    @Test(arguments: ["$", "*"], notIntegers)
    func anythingElseIsNoLength(_ type: String, _ length: (text: String, fault: Int)) {
        let (text, fault) = length
        let framing = Framing.ofEveryCut("+OK\r\n\(type)\(text)\r\n")
        #expect(framing.lengths == [5])
        let what = type == "$" ? "a bulk string" : "an array"
        #expect(framing.failure?.reason.contains("length of \(what) is not an integer") == true)
        #expect(framing.failure?.offset == UInt64(6 + fault))
    }

    @Test(arguments: ["$", "*"], [-2, -3, -10, -1_000_000, Int64.min])
    func aLengthBelowMinusOneIsAnError(_ type: String, _ length: Int64) {
        let framing = Framing.ofEveryCut("\(type)\(length)\r\n")
        #expect(framing.lengths == [])
        #expect(framing.failure?.reason.contains("is \(length)") == true)
        #expect(framing.failure?.offset == 1)
    }

    @Test(arguments: ["$", "*"])
    func aLengthOfMinusOneIsNull(_ type: String) throws {
        let stream = Array("\(type)-1\r\n".utf8)
        #expect(Framing.ofEveryCut(stream).lengths == [5])
        var decoder = RESPDecoder()
        decoder.append(stream)
        #expect(try decoder.next() == .null)
    }

    @Test func aLengthOfZeroIsEmptyAndNotNull() throws {
        var decoder = RESPDecoder()
        decoder.append("$0\r\n\r\n*0\r\n".utf8)
        #expect(try decoder.next() == .bulkString([]))
        #expect(try decoder.next() == .array([]))
        #expect(decoder.bufferedBytes == 0)
    }

    @Test(arguments: [1, 9, 10, 99, 100, 1000])
    func aBulkStringHasTheBytesItsLengthSays(_ count: Int) throws {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let stream = Array("$\(count)\r\n".utf8) + content + Array("\r\n:1\r\n".utf8)
        #expect(Framing.ofEveryCut(stream).lengths == [stream.count - 4, 4])
        var decoder = RESPDecoder()
        decoder.append(stream)
        #expect(try decoder.next() == .bulkString(content))
    }

    @Test(arguments: [1, 9, 10, 11, 100])
    func anArrayHasTheElementsItsLengthSays(_ count: Int) throws {
        let stream = "*\(count)\r\n" + (0..<count).map { ":\($0)\r\n" }.joined()
        #expect(Framing.ofEveryCut(stream + "+OK\r\n").lengths == [stream.utf8.count, 5])
        var decoder = RESPDecoder()
        decoder.append(stream.utf8)
        #expect(try decoder.next() == .array((0..<count).map { .integer(Int64($0)) }))
    }
}
