public import RESP
import Testing

/// A reply's bytes as Swift types, and what is said when they are of another type.
struct RESPDecodableTests {
    private func decode<Value: RESPDecodable>(
        _ reply: String,
        as type: Value.Type = Value.self
    ) throws(RESPDecodingError) -> Value {
        try decode(Array(reply.utf8), as: type)
    }

    private func decode<Value: RESPDecodable>(
        _ reply: [UInt8],
        as type: Value.Type = Value.self
    ) throws(RESPDecodingError) -> Value {
        var reader = RESPReader(reply.span)
        let value = try reader.decode(type)
        let isAtEnd = reader.isAtEnd
        #expect(isAtEnd, "bytes are left over")
        return value
    }

    /// Checks that a reply is refused, in words that name everything in `parts`.
    private func refuses<Value: RESPDecodable>(
        _ reply: String,
        as type: Value.Type,
        _ parts: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let bytes = Array(reply.utf8)
        let error = #expect(throws: RESPDecodingError.self, sourceLocation: sourceLocation) {
            var reader = RESPReader(bytes.span)
            _ = try reader.decode(type)
        }
        guard let reason = error?.reason else { return }
        for part in parts where !reason.contains(part) {
            Issue.record("\"\(reason)\" does not say \"\(part)\"", sourceLocation: sourceLocation)
        }
    }

    // MARK: Strings and bytes

    @Test(arguments: [
        ("$5\r\nhello\r\n", "hello"), ("+OK\r\n", "OK"), ("$0\r\n\r\n", ""), ("$2\r\né\r\n", "é"),
    ])
    func aStringIsReadFromBulkAndSimpleStrings(_ reply: String, _ text: String) throws {
        #expect(try decode(reply) == text)
        #expect(try decode(reply) == Array(text.utf8))
    }

    @Test(
        arguments: [
            [0xff], [0x61, 0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80, 0x61],
        ] as [[UInt8]]
    )
    func bytesThatAreNotUTF8AreNoStringAndReadableAsBytes(_ content: [UInt8]) throws {
        let bulk = Array("$\(content.count)\r\n".utf8) + content + Array("\r\n".utf8)
        let simple = Array("+".utf8) + content + Array("\r\n".utf8)
        for reply in [bulk, simple] {
            let error = #expect(throws: RESPDecodingError.self) { try decode(reply, as: String.self) }
            #expect(
                error?.reason.contains("\(content.count) byte\(content.count == 1 ? "" : "s") is not UTF-8")
                    == true
            )
            #expect(error?.reason.contains("[UInt8]") == true)
            #expect(try decode(reply) == content)
            #expect(throws: RESPDecodingError.self) { try decode(reply, as: String?.self) }
        }
    }

    @Test(arguments: 1...18)
    func aByteThatIsNotASCIIIsSeenAtEveryPlace(_ count: Int) throws {
        func reply(_ content: [UInt8]) -> [UInt8] {
            Array("$\(content.count)\r\n".utf8) + content + Array("\r\n".utf8)
        }
        let ascii = (0..<count).map { UInt8(0x70 + $0 % 16) }
        #expect(try Array(decode(reply(ascii), as: String.self).utf8) == ascii)
        for place in 0..<count {
            var content = ascii
            content[place] = 0x80
            #expect(throws: RESPDecodingError.self) { try decode(reply(content), as: String.self) }
            guard place + 1 < count else { continue }
            content.replaceSubrange(place...place + 1, with: "é".utf8)
            #expect(try Array(decode(reply(content), as: String.self).utf8) == content)
        }
    }

    @Test func aStringIsReadFromNothingElse() {
        refuses(":1\r\n", as: String.self, "expected a string", "the integer 1")
        refuses("$-1\r\n", as: String.self, "expected a string", "null")
        refuses("*-1\r\n", as: String.self, "expected a string", "null")
        refuses("*2\r\n+a\r\n+b\r\n", as: String.self, "expected a string", "an array of 2 elements")
        refuses("-WRONGTYPE no\r\n", as: String.self, "the error reply \"WRONGTYPE no\"")
        refuses(":1\r\n", as: [UInt8].self, "bytes", "the integer 1")
        refuses("$-1\r\n", as: [UInt8].self, "bytes", "null")
        refuses("*1\r\n:65\r\n", as: [UInt8].self, "bytes", "an array of 1 element")
    }

    // MARK: Numbers

    @Test func anIntegerIsReadFromIntegersAndStrings() throws {
        for reply in [":42\r\n", "$2\r\n42\r\n", "+42\r\n"] {
            #expect(try decode(reply) == Int(42))
            #expect(try decode(reply) == Int8(42))
            #expect(try decode(reply) == UInt8(42))
            #expect(try decode(reply) == UInt64(42))
        }
        #expect(try decode(":-9223372036854775808\r\n") == Int64.min)
        #expect(try decode("$20\r\n-9223372036854775808\r\n") == Int.min)
        #expect(try decode(":9223372036854775807\r\n") == Int64.max)
    }

    /// What `RESPEncodable` writes for a `UInt64` comes back.
    @Test func theLargestUInt64IsReadFromAString() throws {
        #expect(try decode("$20\r\n18446744073709551615\r\n") == UInt64.max)
        #expect(try decode("$19\r\n9223372036854775808\r\n") == UInt64(Int64.max) + 1)
        refuses("$20\r\n18446744073709551616\r\n", as: UInt64.self)
    }

    @Test func anIntegerThatTheTypeCannotHoldIsAnError() throws {
        func edges<Number: FixedWidthInteger & RESPDecodable>(_ type: Number.Type) throws {
            for value in [Int64(Number.min), Int64(Number.max)] {
                #expect(try decode(":\(value)\r\n") == Number(value))
            }
            for value in [Int64(Number.min) - 1, Int64(Number.max) + 1] {
                refuses(":\(value)\r\n", as: type, "\(value)", "\(type)")
                refuses("$\("\(value)".count)\r\n\(value)\r\n", as: type, "\(value)", "\(type)")
            }
        }
        try edges(Int8.self)
        try edges(Int16.self)
        try edges(Int32.self)
        try edges(UInt8.self)
        try edges(UInt16.self)
        try edges(UInt32.self)
        refuses(":-1\r\n", as: UInt.self, "-1", "UInt")
        refuses(":-1\r\n", as: UInt64.self, "-1", "UInt64")
    }

    @Test func integersWiderThan64BitsAreReadAndWrittenByTheSameRules() throws {
        for value in [Int128.min, .max, 0, -1] {
            let text = "\(value)"
            #expect(try decode("$\(text.utf8.count)\r\n\(text)\r\n") == value)
            #expect(try RESPEncoder.encode([value]) == argv([Array(text.utf8)]))
        }
        #expect(try RESPEncoder.encode([UInt128.max]) == argv([Array("\(UInt128.max)".utf8)]))
        refuses("$40\r\n-170141183460469231731687303715884105729\r\n", as: Int128.self, "does not fit Int128")
    }

    @Test func anIntegerIsReadFromNothingElse() {
        for text in ["", " 1", "+1", "01", "-0", "1.0", "1e3", "ten", "-", "12345678901234567890x"] {
            refuses(
                "$\(text.utf8.count)\r\n\(text)\r\n",
                as: Int.self,
                "an integer",
                "a bulk string of \(text.utf8.count) byte"
            )
        }
        refuses("$19\r\n9223372036854775808\r\n", as: Int.self, "19 characters", "does not fit Int")
        refuses("$19\r\n9223372036854775808\r\n", as: Int8.self, "does not fit Int8")
        refuses("$19\r\n1234567890123456789\r\n", as: Int8.self, "1234567890123456789 does not fit Int8")
        let many = 3_000_000
        let digits = String(repeating: "9", count: many)
        refuses("$\(many)\r\n\(digits)\r\n", as: Int.self, "\(many) characters", "does not fit Int")
        refuses("$-1\r\n", as: Int.self, "an integer", "null")
        refuses("*1\r\n:1\r\n", as: Int.self, "an integer", "an array of 1 element")
        refuses("-ERR 1\r\n", as: Int.self, "an integer", "the error reply \"ERR 1\"")
    }

    @Test(
        arguments: [
            ("1.5", 1.5), ("-2", -2), ("0", 0), ("1e3", 1000), ("inf", .infinity), ("-inf", -.infinity),
            ("3.0000000000000004", 3.0000000000000004), ("1.7976931348623157e+308", .greatestFiniteMagnitude),
            ("5e-324", .leastNonzeroMagnitude), ("+1.5", 1.5), ("1E3", 1000), ("-0", -0.0), ("1e-400", 0),
            ("12345678901234567890", 12_345_678_901_234_567_168), ("007", 7),
        ] as [(String, Double)]
    )
    func aDoubleIsReadFromStrings(_ text: String, _ value: Double) throws {
        #expect(try decode("$\(text.utf8.count)\r\n\(text)\r\n") == value)
        #expect(try decode("+\(text)\r\n") == value)
    }

    @Test func aDoubleIsTheNearestToWhatever() throws {
        #expect(try decode(":-7\r\n") == -7.0)
        #expect(try decode(":9007199254740992\r\n") == 9_007_199_254_740_992.0)
        for reply in [":9007199254740993\r\n", "$16\r\n9007199254740993\r\n", "+9007199254740993\r\n"] {
            #expect(try decode(reply) == 9_007_199_254_740_992.0)
        }
        #expect(try decode("$3\r\nnan\r\n", as: Double.self).isNaN)
        let none = [
            "", "one", "1,5", "1.5 ", "1.5x", " 1", "0x1p3", "0x10", "infinity", "INF", "+inf",
            ".5",
            "5.", "1e", "--1", "1e400", "-1e400", "1" + String(repeating: "0", count: 400),
        ]
        for text in none {
            refuses(
                "$\(text.utf8.count)\r\n\(text)\r\n",
                as: Double.self,
                "a number",
                "a bulk string of \(text.utf8.count) byte"
            )
        }
        refuses("$-1\r\n", as: Double.self, "a number", "null")
    }

    @Test func aBoolIsReadFromZeroAndOne() throws {
        #expect(try decode(":0\r\n") == false)
        #expect(try decode(":1\r\n") == true)
        refuses(":2\r\n", as: Bool.self, "0 or 1", "the integer 2")
        refuses(":-1\r\n", as: Bool.self, "the integer -1")
        refuses("$1\r\n1\r\n", as: Bool.self, "a bulk string of 1 byte")
        refuses("+OK\r\n", as: Bool.self, "the simple string \"OK\"")
        refuses("$-1\r\n", as: Bool.self, "null")
    }
}

// As a program could that has such integers.
extension Int128: RESPDecodable, RESPEncodable {}
extension UInt128: RESPDecodable, RESPEncodable {}
