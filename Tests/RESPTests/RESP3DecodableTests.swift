import RESP
import Testing

/// RESP3's types as Swift types, straight from a reply's bytes.
struct RESP3DecodableTests {
    private func decode<Value: RESPDecodable>(
        _ reply: String,
        as type: Value.Type = Value.self
    ) throws -> Value {
        var decoder = RESPDecoder(version: .resp3)
        decoder.append(reply.utf8)
        let value = try #require(try decoder.next(as: type))
        #expect(decoder.bufferedBytes == 0)
        return value
    }

    private func reason<Value: RESPDecodable>(_ reply: String, as type: Value.Type) -> String {
        (#expect(throws: RESPDecodingError.self) { try decode(reply, as: type) })?.reason ?? ""
    }

    @Test(arguments: [
        "_\r\n", "|0\r\n_\r\n", "|1\r\n+a\r\n%1\r\n_\r\n|0\r\n:1\r\n$-1\r\n", "|0\r\n|1\r\n_\r\n_\r\n*-1\r\n",
    ])
    func nullIsNilAlsoBehindAttributes(_ null: String) throws {
        #expect(try decode(null, as: String?.self) == nil)
        #expect(try decode(null, as: [Int]?.self) == nil)
        #expect(try decode("*2\r\n\(null):7\r\n", as: [Int?].self) == [nil, 7])
        #expect(reason(null, as: String.self) == "expected a string, got null")
    }

    @Test func whatIsNotNullKeepsItsAttributesForWhoReadsIt() throws {
        let attributed = "|1\r\n+ttl\r\n:9\r\n:1\r\n"
        #expect(try decode(attributed, as: Int?.self) == 1)
        #expect(
            try decode(attributed, as: RESPValue?.self)
                == .attribute(
                    RESPAttributed(attributes: [.simpleString("ttl"): .integer(9)], value: .integer(1))
                )
        )
        #expect(reason("|0\r\n+x\r\n", as: Int?.self) == "expected an integer, got the simple string \"x\"")
    }

    @Test func bytesAreReadFromVerbatimStringsAndBigNumbers() throws {
        #expect(try decode("=6\r\ntxt:ab\r\n") == Array("ab".utf8))
        #expect(try decode("=4\r\ntxt:\r\n") == [UInt8]())
        #expect(try decode("(-123\r\n") == Array("-123".utf8))
        #expect(try decode("=6\r\ntxt:ab\r\n") == "ab")
        #expect(try decode("~2\r\n=5\r\nmkd:x\r\n(7\r\n") == ["x", "7"])
    }

    /// Between a label and a number: skipped whole, with everything in it.
    @Test(arguments: [
        "%1\r\n+a\r\n%1\r\n+b\r\n_\r\n", "%0\r\n", "~2\r\n#t\r\n,1.5\r\n", "|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n",
        "|0\r\n|1\r\n~0\r\n%0\r\n(1\r\n", "=5\r\ntxt:\r\r\n", "!2\r\n\r\n\r\n", ",inf\r\n", "_\r\n",
        "%1\r\n|1\r\n+x\r\n+y\r\n+a\r\n|0\r\n:1\r\n",
    ])
    func aValueOfAnyShapeIsSteppedOver(_ value: String) throws {
        let decoded = try decode(
            "*3\r\n+name\r\n\(value):9\r\n",
            as: RESPDecodableAggregateTests.Labelled.self
        )
        #expect(decoded.label == "name" && decoded.number == 9)
    }

    @Test func whatCameIsNamed() {
        #expect(reason(",1.5\r\n", as: Int.self) == "expected an integer, got the double \"1.5\"")
        #expect(reason("(12\r\n", as: Bool.self).hasSuffix("got the big number \"12\""))
        #expect(
            reason("!5\r\nERR a\r\n", as: Int.self) == "expected an integer, got the error reply \"ERR a\""
        )
        #expect(
            reason("=6\r\ntxt:ab\r\n", as: Int.self)
                == "expected an integer, got a verbatim string of 2 bytes"
        )
        #expect(reason(">2\r\n+a\r\n+b\r\n", as: Int.self) == "expected an integer, got a push of 2 elements")
        #expect(reason("~1\r\n+a\r\n", as: Int.self) == "expected an integer, got a set of 1 element")
        #expect(reason("%1\r\n+a\r\n+b\r\n", as: Int.self) == "expected an integer, got a map of 1 entry")
        #expect(reason("#t\r\n", as: Int.self) == "expected an integer, got the boolean true")
    }

    @Test func aBigNumberIsReadAsAnIntegerThatHoldsIt() throws {
        #expect(try decode("(12\r\n") == 12)
        #expect(try decode("(-9223372036854775808\r\n") == Int64.min)
        #expect(try decode("(+18446744073709551615\r\n") == UInt64.max)
        #expect(
            reason("(18446744073709551616\r\n", as: UInt64.self)
                == "an integer of 20 characters does not fit UInt64"
        )
        #expect(
            reason("(9223372036854775808\r\n", as: Int.self) == "an integer of 19 characters does not fit Int"
        )
    }

    @Test func keysOfOtherBytesMayBeTheSameText() throws {
        let reply = "%2\r\n$2\r\n\u{e9}\r\n:1\r\n$3\r\ne\u{301}\r\n:2\r\n"
        #expect(reason(reply, as: [String: Int].self) == "entry 1: the key comes for the second time")
        let entries = try decode(reply, as: [[UInt8]: Int].self)
        #expect(entries == [Array("\u{e9}".utf8): 1, Array("e\u{301}".utf8): 2])
        #expect(try decode("%2\r\n,nan\r\n:1\r\n,nan\r\n:2\r\n", as: [Double: Int].self).count == 2)
    }

    @Test func aBigNumberIsReadWithZerosBeforeIt() throws {
        let zeros = String(repeating: "0", count: 1000)
        #expect(try decode("(\(zeros)12\r\n") == 12)
        #expect(try decode("(-\(zeros)128\r\n") == Int8(-128))
        #expect(try decode("(+\(zeros)\r\n") == UInt8(0))
        #expect(try decode("(-\(Int128.max)\r\n") == -Int128.max)
        #expect(
            reason("(-\(zeros)129\r\n", as: Int8.self) == "an integer of 1004 characters does not fit Int8"
        )
    }

    @Test func aBigNumberIsReadAsTheNearestDouble() throws {
        #expect(try decode("(12345678901234567890\r\n") == 12_345_678_901_234_567_168.0)
        #expect(try decode("(+7\r\n") == 7.0)
        #expect(try decode("(-\(String(repeating: "9", count: 300))\r\n") == -1e300)
        #expect(
            reason("(1\(String(repeating: "0", count: 309))\r\n", as: Double.self)
                .hasPrefix("expected a number that a Double can hold, got the big number")
        )
    }

    @Test func placesAreNamed() {
        #expect(
            reason("%2\r\n+a\r\n:1\r\n+b\r\n+x\r\n", as: [String: Int].self).hasPrefix(
                "entry 1: expected an integer"
            )
        )
        #expect(
            reason("*2\r\n:1\r\n:2\r\n", as: RESPTuple<Int, String>.self).hasPrefix(
                "element 1: expected a string"
            )
        )
        #expect(
            reason("*3\r\n:1\r\n:2\r\n:3\r\n", as: RESPTuple<Int, Int>.self)
                == "expected an array of 2 elements, got one of 3"
        )
    }

    @Test(arguments: ["%2\r\n+a\r\n:1\r\n$1\r\na\r\n:2\r\n", "*4\r\n+a\r\n:1\r\n+a\r\n:1\r\n"])
    func aKeyThatComesTwiceIsAnErrorOfADictionary(_ reply: String) throws {
        #expect(reason(reply, as: [String: Int].self) == "entry 1: the key comes for the second time")
        guard case .map(let map) = try decode("%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n", as: RESPValue.self) else {
            return
        }
        #expect(map.count == 2 && map[.simpleString("a")] == .integer(1))
    }
}
