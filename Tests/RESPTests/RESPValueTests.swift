import RESP
import Testing

/// Values of any shape: equal, shown, decoded and put back on the wire.
struct RESPValueTests {
    static let shown: [(RESPValue, String)] = [
        (.simpleString("OK"), "OK"), (.simpleError("ERR no such key"), "(error) ERR no such key"),
        (.integer(-42), "(integer) -42"), (.bulkString("hello"), "\"hello\""), (.bulkString(""), "\"\""),
        (.bulkString("é"), "\"é\""), (.bulkString("say \"hi\" \\"), #""say \"hi\" \\""#),
        (.bulkString([0, 0x0a, 0x41, 0xff]), #""\x00\nA\xff""#),
        (.bulkString([0x22, 0x5c, 0xfe]), #""\"\\\xfe""#),
        (
            .bulkString("\u{200e}\u{200f}\u{61c}a\u{200b}\u{feff}\u{ad}"),
            #""\u{200e}\u{200f}\u{61c}a\u{200b}\u{feff}\u{ad}""#
        ),
        (
            .bulkString("\u{fff9}\u{fffb}\u{e0001}\u{e0002}\u{e007f}\u{2066}\u{2028}"),
            #""\u{fff9}\u{fffb}\u{e0001}\u{e0002}\u{e007f}\u{2066}\u{2028}""#
        ),
        (.bulkString("👩\u{200d}🚀\u{200c}é"), "\"👩\u{200d}🚀\u{200c}é\""),
        (.null, "(nil)"), (.array([]), "[]"), (.array([.null]), "[(nil)]"),
        (.array([.bulkString("a"), .integer(1), .null]), "[\"a\", (integer) 1, (nil)]"),
        (
            .array([.array([.integer(1), .array([])]), .simpleString("x"), .array([.simpleError("E")])]),
            "[[(integer) 1, []], x, [(error) E]]"
        ),
    ]

    @Test(arguments: shown)
    func aValueIsShownOnOneLine(_ value: RESPValue, _ text: String) {
        #expect(value.description == text)
    }

    @Test(arguments: shown.map(\.0))
    func aValueEncodesToBytesThatDecodeToIt(_ value: RESPValue) throws {
        var decoder = RESPDecoder()
        decoder.append(try value.encoded())
        #expect(try decoder.next() == value)
        #expect(decoder.bufferedBytes == 0)
        #expect(try value.decode(as: RESPValue.self) == value)
    }

    @Test(
        arguments: [
            (.simpleString("OK"), "+OK\r\n"), (.simpleError("E x"), "-E x\r\n"),
            (.integer(.min), ":-9223372036854775808\r\n"),
            (.bulkString(""), "$0\r\n\r\n"), (.null, "$-1\r\n"), (.array([]), "*0\r\n"),
            (
                .array([.array([.integer(1), .bulkString("ab")]), .null, .array([.simpleString("z")])]),
                "*3\r\n*2\r\n:1\r\n$2\r\nab\r\n$-1\r\n*1\r\n+z\r\n"
            ),
        ] as [(RESPValue, String)]
    )
    func aValueHasItsBytesOnTheWire(_ value: RESPValue, _ wire: String) throws {
        #expect(try value.encoded() == Array(wire.utf8))
    }

    @Test func valuesAreEqualWhenTypeAndContentAre() {
        let values: [RESPValue] = [
            .simpleString("1"), .simpleError("1"), .bulkString("1"), .integer(1), .integer(2),
            .bulkString(""),
            .null,
            .array([]), .array([.null]), .array([.integer(1)]), .array([.array([.integer(1)])]),
            .array([.integer(1), .integer(2)]), .array([.integer(2), .integer(1)]),
        ]
        for (index, value) in values.enumerated() {
            for (other, otherValue) in values.enumerated() {
                #expect((value == otherValue) == (index == other), "\(value) and \(otherValue)")
            }
        }
        #expect(Set(values + values).count == values.count)
    }

    @Test func decodesAsTheTypeAskedFor() throws {
        #expect(try RESPValue.bulkString("x").decode(as: String.self) == "x")
        #expect(try RESPValue.bulkString([0xff]).decode(as: [UInt8].self) == [0xff])
        #expect(try RESPValue.integer(7).decode(as: Int.self) == 7)
        #expect(try RESPValue.integer(1).decode(as: Bool.self))
        #expect(try RESPValue.null.decode(as: String?.self) == nil)
        let page = RESPValue.array([.bulkString("a"), .null, .array([])])
        #expect(try RESPValue.array([.bulkString("a"), .null]).decode() == ["a", nil] as [String?])
        #expect(try page.decode(as: [RESPValue].self) == [.bulkString("a"), .null, .array([])])
    }

    @Test func aValueOfAnotherTypeIsAnErrorThatNamesIt() {
        func reason<Value: RESPDecodable>(_ value: RESPValue, as type: Value.Type) -> String? {
            (#expect(throws: RESPDecodingError.self) { try value.decode(as: type) })?.description
        }
        #expect(reason(.null, as: String.self) == "expected a string, got null")
        #expect(reason(.integer(300), as: UInt8.self) == "the integer 300 does not fit UInt8")
        #expect(
            reason(.simpleError("ERR a"), as: String.self)
                == "expected a string, got the error reply \"ERR a\""
        )
        #expect(
            reason(.array([.bulkString("a"), .integer(1)]), as: [String].self)
                == "element 1: expected a string, got the integer 1"
        )
    }

    /// A value made by hand may hold anything, also what would be read as something else.
    static let impossible: [(RESPValue, String)] = [
        (.simpleString("a\r\nb"), "CR or LF"), (.simpleString("a\rb"), "CR or LF"),
        (.simpleError("\n"), "CR or LF"),
        (.array([.simpleString("a\r\n$5"), .bulkString("x")]), "CR or LF"),
        (.array([.simpleString("a\r\n$99\r\n"), .integer(1)]), "CR or LF"),
        (.map([.simpleString("\r\n+"): .null]), "CR or LF"),
        (.verbatimString(format: Array("a".utf8), Array("b:c".utf8)), "three bytes"),
        (.verbatimString(format: [], []), "three bytes"),
        (.verbatimString(format: Array("text".utf8), []), "three bytes"),
        (.bigNumber([]), "big number"), (.bigNumber(Array("1.5".utf8)), "big number"),
        (.bigNumber(Array("1\r\n:2".utf8)), "big number"),
        (.array([.push([])]), "push inside"), (.push([.push([])]), "push inside"),
        (.array([.attribute(RESPAttributed(attributes: [:], value: .push([])))]), "push inside"),
        (.attribute(RESPAttributed(attributes: [:], value: .array([.push([])]))), "push inside"),
        (.attribute(RESPAttributed(attributes: [.push([]): .null], value: .null)), "push inside"),
    ]

    @Test(arguments: impossible)
    func whatNoServerCanSendIsNeitherEncodedNorDecoded(_ value: RESPValue, _ reason: String) {
        let encoding = #expect(throws: RESPEncodingError.self) { try value.encoded() }
        #expect(encoding?.reason.contains(reason) == true)
        func refuses<Value: RESPDecodable>(_ type: Value.Type) {
            let error = #expect(throws: RESPDecodingError.self) { try value.decode(as: type) }
            #expect(error?.reason.contains(reason) == true)
        }
        refuses(String.self)
        refuses([UInt8].self)
        refuses([String].self)
        refuses(RESPValue.self)
    }

    @Test func aTypeThatReadsTooLittleIsAnError() {
        struct Half: RESPDecodable {
            init(from reader: inout RESPReader) throws(RESPDecodingError) { _ = try reader.decodeArrayHead() }
        }
        let error = #expect(throws: RESPDecodingError.self) {
            _ = try RESPValue.array([.null]).decode(as: Half.self)
        }
        #expect(error?.reason.contains("less than one whole value") == true)
    }

    @Test func theDeepestValuesAreComparedShownEncodedAndFreed() throws {
        func nested(_ innermost: RESPValue) -> RESPValue {
            (0..<1024).reduce(innermost) { value, _ in .array([value]) }
        }
        let value = nested(.integer(1))
        #expect(value == nested(.integer(1)))
        #expect(value != nested(.integer(2)))
        #expect(value.hashValue == nested(.integer(1)).hashValue)
        let brackets =
            String(repeating: "[", count: 1024) + "(integer) 1" + String(repeating: "]", count: 1024)
        #expect(value.description == brackets)
        #expect(try value.encoded() == Array((String(repeating: "*1\r\n", count: 1024) + ":1\r\n").utf8))
        #expect(try value.decode(as: RESPValue.self) == value)
    }
}
