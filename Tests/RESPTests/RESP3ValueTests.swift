import RESP
import Testing

/// Values that only RESP3 has: when they are equal, and how they are shown.
struct RESP3ValueTests {
    private static func verbatim(_ format: String, _ text: String) -> RESPValue {
        .verbatimString(format: Array(format.utf8), Array(text.utf8))
    }
    private static func attributed(_ attributes: RESPMap, _ value: RESPValue) -> RESPValue {
        .attribute(RESPAttributed(attributes: attributes, value: value))
    }

    /// Each differs from every other.
    static let distinct: [RESPValue] = [
        .array([]), .set([]), .push([]), .map([:]), .array([.integer(1)]), .set([.integer(1)]),
        .push([.integer(1)]),
        .set([.integer(1), .integer(2)]), .set([.integer(2), .integer(1)]), .map([.integer(1): .integer(2)]),
        .map([.integer(2): .integer(1)]), .array([.integer(1), .integer(2)]), .double(0), .double(-0.0),
        .double(1),
        .integer(1), .double(.nan), .double(.infinity), .double(-.infinity), .boolean(true), .boolean(false),
        .null,
        .simpleError("E"), .bulkError(Array("E".utf8)), .simpleString("E"), .bulkString("E"),
        .bulkString("1"),
        .bigNumber(Array("1".utf8)), .bigNumber(Array("+1".utf8)), verbatim("txt", "a"), verbatim("mkd", "a"),
        verbatim("txt", "b"), attributed([:], .null), attributed([:], .integer(1)),
        attributed([.null: .null], .integer(1)), attributed([:], attributed([:], .null)),
    ]

    @Test func valuesOfDifferentTypeOrContentAreNotEqual() {
        for (index, value) in Self.distinct.enumerated() {
            for (other, otherValue) in Self.distinct.enumerated() {
                let areEqual = value == otherValue
                #expect(areEqual == (index == other), "\(value) and \(otherValue)")
            }
        }
        #expect(Set(Self.distinct + Self.distinct).count == Self.distinct.count)
    }

    @Test func allNaNAreOne() {
        let others: [Double] = [
            -.nan, .signalingNaN, Double(nan: 7, signaling: false), Double(bitPattern: 0x7ff8_0000_0000_0001),
        ]
        for other in others {
            #expect(RESPValue.double(.nan) == .double(other))
            #expect(RESPValue.double(.nan).hashValue == RESPValue.double(other).hashValue)
            #expect(RESPValue.set([.double(.nan)]) == .set([.double(other)]))
            #expect((try? RESPValue.double(other).encoded()) == Array(",nan\r\n".utf8))
        }
    }

    @Test(arguments: distinct)
    func aValueEncodesToBytesThatDecodeToIt(_ value: RESPValue) throws {
        var decoder = RESPDecoder(version: .resp3)
        decoder.append(try value.encoded())
        #expect(try decoder.next() == value)
        #expect(decoder.bufferedBytes == 0)
        #expect(try value.decode(as: RESPValue.self) == value)
    }

    @Test func attributesAreTakenApart() {
        let attributed = RESPAttributed(attributes: [.integer(1): .integer(2)], value: .null)
        #expect(attributed.attributes == [.integer(1): .integer(2)] && attributed.value == .null)
        #expect(attributed.attributes[.integer(1)] == .integer(2))
        #expect(RESPAttributed(attributes: [:], value: .null).attributes.isEmpty)
        let twice = Self.attributed([:], Self.attributed([.null: .null], .integer(1)))
        #expect(twice.withoutAttributes == .integer(1) && RESPValue.null.withoutAttributes == .null)
        let map: RESPMap = [twice: .integer(7)]
        #expect(map[.integer(1)] == .integer(7) && map[twice] == .integer(7) && map[.integer(2)] == nil)
    }

    @Test(
        arguments: [
            (.set([.integer(1), .null]), "set[(integer) 1, (nil)]"), (.set([]), "set[]"),
            (.push([.simpleString("m"), .integer(1)]), "push[m, (integer) 1]"), (.map([:]), "{}"),
            (.map([.simpleString("a"): .null, .null: .boolean(false)]), "{a: (nil), (nil): (false)}"),
            (attributed([:], .null), "|| (nil)"),
            (attributed([.simpleString("a"): .set([])], .array([])), "|a: set[]| []"),
            (verbatim("txt", "a\"b\n"), #"(txt) "a\"b\n""#),
            (.bigNumber(Array("-12".utf8)), "(big number) -12"),
            (.bulkError(Array("E a\r\nb".utf8)), #"(error) E a\r\nb"#), (.double(-0.0), "(double) -0.0"),
        ] as [(RESPValue, String)]
    )
    func aValueIsShownOnOneLine(_ value: RESPValue, _ text: String) {
        #expect(value.description == text)
    }

    /// Whatever a server sends, no terminal obeys it, and no line ends before the value does.
    @Test func nothingThatATerminalObeysIsShown() {
        let evil = "\u{1b}[2J\r\n\t\u{7}\u{7f}\u{85}\u{9b}1m\u{2028}\u{202e}\"\\"
        let shown = #"\x1b[2J\r\n\t\x07\x7f\u{85}\u{9b}1m\u{2028}\u{202e}\"\\"#
        let bytes = Array(evil.utf8)
        #expect(RESPValue.simpleString(bytes).description == shown)
        #expect(RESPValue.simpleError(bytes).description == "(error) \(shown)")
        #expect(RESPValue.bulkError(bytes).description == "(error) \(shown)")
        #expect(RESPValue.bulkString(bytes).description == "\"\(shown)\"")
        #expect(
            RESPValue.verbatimString(format: [0x1b, 0x0a, 0x22], bytes).description
                == #"(\x1b\n\") "\#(shown)""#
        )
        #expect(RESPValue.simpleString([0x1b, 0xff, 0x80]).description == #"\x1b\xff\x80"#)
        let reason = #expect(throws: RESPDecodingError.self) {
            try RESPValue.simpleError("a\u{1b}[2J\"").decode(as: Int.self)
        }
        #expect(reason?.reason == #"expected an integer, got the error reply "a\x1b[2J\"""#)
    }

    @Test func partsOfAValueAreShownAsTheValueIs() {
        let elements: RESPElements = [.integer(1), .simpleString("a")]
        #expect("\(elements)" == "[(integer) 1, a]")
        let map: RESPMap = [.integer(1): .null]
        #expect("\(map)" == "{(integer) 1: (nil)}")
        #expect("\(RESPAttributed(attributes: map, value: .null))" == "|(integer) 1: (nil)| (nil)")
        #expect(Mirror(reflecting: RESPValue.array(elements)).children.isEmpty)
    }
}
