import RESP
import Testing

/// What only RESP3 has: what is accepted, what is refused and why, and what becomes of it.
@Suite struct RESP3Tests {
    private func decode(_ stream: String) throws -> [RESPValue] {
        try decode(Array(stream.utf8))
    }

    private func decode(_ stream: [UInt8]) throws -> [RESPValue] {
        var decoder = RESPDecoder(version: .resp3)
        decoder.append(stream)
        var replies: [RESPValue] = []
        while let reply = try decoder.next() { replies.append(reply) }
        #expect(decoder.bufferedBytes == 0)
        return replies
    }

    @Test(arguments: try RecordedFixture.all("resp3"))
    func everyFixtureDecodesCutAtEveryPoint(_ fixture: RecordedFixture) throws {
        let framing = Framing.ofEveryCut(fixture.stream, version: .resp3)
        #expect(framing.failure == nil)
        #expect(framing.waiting == 0)
        #expect(try decode(fixture.stream) == fixture.replies)
        #expect(framing.lengths.count == fixture.replies.count)
    }

    @Test(arguments: try RecordedFixture.all("resp3"))
    func whatIsEncodedDecodesToTheSame(_ fixture: RecordedFixture) throws {
        #expect(try decode(fixture.replies.flatMap { try $0.encoded() }) == fixture.replies)
    }

    @Test func scalars() throws {
        #expect(try decode("_\r\n") == [.null])
        #expect(try decode("#t\r\n#f\r\n") == [.boolean(true), .boolean(false)])
        #expect(try decode("(-349289032840923850\r\n") == [.bigNumber(Array("-349289032840923850".utf8))])
        #expect(try decode("!5\r\nE a\r\n\r\n") == [.bulkError(Array("E a\r\n".utf8))])
        #expect(try decode("=4\r\ntxt:\r\n") == [.verbatimString(format: Array("txt".utf8), [])])
        #expect(
            try decode("=6\r\nmkd:\u{0}x\r\n") == [.verbatimString(format: Array("mkd".utf8), [0, 0x78])]
        )
    }

    @Test(arguments: [
        ("0", 0.0), ("-0", -0.0), ("10", 10), ("+1.5", 1.5), ("-1.25e3", -1250), ("1E-2", 0.01),
        ("1e-400", 0), ("-1.7976931348623157e308", -.greatestFiniteMagnitude),
        ("9007199254740993", 9_007_199_254_740_992),
        ("007", 7), ("NaN", .nan), ("-NAN", .nan), ("nan(0x8)", .nan), ("-nan()", .nan), ("nan(A_z9)", .nan),
        ("nan(1e400)", .nan),
        ("inf", .infinity), ("-inf", -.infinity), ("nan", .nan), ("-nan", .nan), ("0.1", 0.1),
    ])
    func doubles(text: String, value: Double) throws {
        #expect(try decode(",\(text)\r\n") == [.double(value)])
    }

    @Test(arguments: [
        ",\r\n", ",x\r\n", ",1.\r\n", ",.5\r\n", ",1e\r\n", ",1e+\r\n", ",0x1p3\r\n", ", 1\r\n", ",1 \r\n",
        ",+inf\r\n", ",1e400\r\n", ",-1.8e308\r\n", ",+nan\r\n", ",nan(\r\n", ",nan)\r\n", ",nan(-)\r\n",
        ",nan()x\r\n", ",na\r\n",
        ",INF\r\n", ",--1\r\n", ",infinity\r\n", "#\r\n", "#T\r\n", "#tt\r\n", "#1\r\n", "_x\r\n", "(\r\n",
        "(-\r\n",
        "(1.0\r\n", "(1e3\r\n", "(x\r\n", "!-1\r\n", "!x\r\n", "=3\r\ntxt\r\n", "=-1\r\n", "=4\r\ntxtx\r\n",
        "%-1\r\n",
        "~-1\r\n", ">-1\r\n", "|-1\r\n", "%x\r\n", "$?\r\n", "*?\r\n", "%?\r\n", "~?\r\n", ";4\r\n", ".\r\n",
        "*1\r\n>1\r\n+x\r\n", "|1\r\n>0\r\n", "|0\r\n*1\r\n>0\r\n", "*1\r\n|0\r\n>0\r\n",
        "|1\r\n|0\r\n>0\r\n", ">1\r\n>0\r\n", "!2\r\nabcd", "=4\r\ntxt:xx", "#t\rx\r\n", ",1\n\r\n",
    ])
    func refused(stream: String) {
        let framing = Framing.ofEveryCut(stream, version: .resp3)
        #expect(framing.failure != nil)
        #expect(framing.lengths.isEmpty)
    }

    @Test(arguments: [
        ("$?\r\n", "streamed bulk string"), ("*?\r\n", "streamed array"), (";1\r\n", "streamed string"),
        (".\r\n", "streamed"), ("%?\r\n", "streamed map"), ("~?\r\n", "streamed set"),
        (">?\r\n", "streamed push"),
        ("|?\r\n", "streamed attribute"), ("!?\r\n", "streamed bulk error"),
        ("=?\r\n", "streamed verbatim string"),
    ])
    func streamedTypesAreRefusedByName(stream: String, name: String) {
        let framing = Framing.ofEveryCut(stream, version: .resp3)
        #expect(framing.failure?.reason.contains(name) == true)
        #expect(framing.failure?.reason.contains("not supported") == true)
    }

    @Test(arguments: ["_", "#", ",", "(", "!", "=", "%", "~", ">", "|"])
    func resp2RefusesEachOfThemByName(type: String) {
        let framing = Framing.ofEveryCut("+before\r\n\(type)1\r\n")
        #expect(framing.lengths == [9])
        #expect(framing.failure?.offset == 9)
        #expect(framing.failure?.reason.contains("RESP3") == true)
    }

    @Test func aggregates() throws {
        #expect(try decode("%0\r\n~0\r\n>0\r\n") == [.map([:]), .set([]), .push([])])
        #expect(
            try decode("%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n") == [
                .map([.simpleString("a"): .integer(1), .simpleString("b"): .array([.null])])
            ]
        )
        #expect(try decode("~2\r\n:1\r\n:1\r\n") == [.set([.integer(1), .integer(1)])])
        #expect(
            try decode(">2\r\n+message\r\n$1\r\nx\r\n:1\r\n") == [
                .push([.simpleString("message"), .bulkString("x")]), .integer(1),
            ]
        )
    }

    @Test func anAttributeBelongsToTheValueBehindItAndShiftsNothing() throws {
        let stream = "|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n_\r\n:2\r\n+next\r\n"
        let replies = try decode(stream)
        #expect(replies.count == 2)
        guard case .attribute(let attributed) = replies[0] else {
            return #expect(Bool(false), "\(replies[0])")
        }
        #expect(attributed.attributes[.simpleString("ttl")] == .integer(3600))
        guard case .array(let elements) = attributed.value else { return #expect(Bool(false), "no array") }
        #expect(elements.count == 2)
        #expect(replies[1] == .simpleString("next"))
        #expect(Framing.ofEveryCut(stream, version: .resp3).lengths.count == 2)
        // Typed decoding looks through them.
        #expect(try replies[0].decode(as: [Int].self) == [1, 2])
    }

    /// Where each is found to be wrong, byte for byte.
    @Test(arguments: [
        ("#\r\n", 1), ("#x\r\n", 1), ("#tt\r\n", 2), ("_x\r\n", 1), ("(\r\n", 1), ("(-\r\n", 2),
        ("(12x\r\n", 3), (",\r\n", 1),
        (",1.\r\n", 3), (",-.5\r\n", 2), (",1e+\r\n", 4), (",1.5x\r\n", 4), (",1e400\r\n", 1), ("=3\r\n", 1),
        ("=5\r\ntxt;x\r\n", 7), ("=5\r\ntxt:xx\n", 9), ("!1\r\na\rx", 6), ("%-1\r\n", 1), ("~x\r\n", 1),
        ("|01\r\n", 2),
    ])
    func aFaultHasItsPlace(stream: String, offset: UInt64) {
        #expect(Framing.ofEveryCut(stream, version: .resp3).failure?.offset == offset)
        let inside = Framing.ofEveryCut(":1\r\n*2\r\n_\r\n" + stream, version: .resp3)
        #expect(inside.failure?.offset == offset + 11)
    }

    @Test(arguments: [
        ("|1\r\n+a\r\n:1\r\n>1\r\n+m\r\n", 1), ("|0\r\n|1\r\n|0\r\n+a\r\n:1\r\n>0\r\n", 2),
        ("|0\r\n>1\r\n|0\r\n+m\r\n", 1),
    ])
    func aPushMayHaveAttributes(stream: String, levels: Int) throws {
        #expect(
            Framing.ofEveryCut(stream + stream, version: .resp3).lengths == [
                stream.utf8.count, stream.utf8.count,
            ]
        )
        var value = try #require(try decode(stream).first)
        #expect(try value.encoded() == Array(stream.utf8))
        for _ in 0..<levels {
            guard case .attribute(let attributed) = value else { return #expect(Bool(false), "\(value)") }
            value = attributed.value
        }
        guard case .push = value else { return #expect(Bool(false), "\(value)") }
        // The next reply may have attributes again, and none of its own parts may be a push.
        #expect(Framing.ofEveryCut(stream + "*1\r\n>0\r\n", version: .resp3).failure != nil)
    }

    @Test func attributesAloneAreIncomplete() {
        #expect(Framing.ofEveryCut("|0\r\n", version: .resp3).waiting == 4)
        #expect(Framing.ofEveryCut("|1\r\n+a\r\n:1\r\n", version: .resp3).lengths.isEmpty)
    }

    @Test func attributesCountAsDepth() {
        let limits = RESPLimits(maxDepth: 3)
        #expect(
            Framing.ofEveryCut("|0\r\n|0\r\n|0\r\n:1\r\n", version: .resp3, limits: limits).lengths == [16]
        )
        #expect(
            Framing.ofEveryCut("|0\r\n|0\r\n|0\r\n|0\r\n", version: .resp3, limits: limits).failure != nil
        )
    }

    @Test func typedDecoding() throws {
        func value<Value: RESPDecodable>(_ stream: String, _ type: Value.Type) throws -> Value {
            try #require(try decode(stream).first).decode(as: type)
        }
        #expect(try value(",1.5\r\n", Double.self) == 1.5)
        #expect(try value("#t\r\n", Bool.self))
        #expect(try value("_\r\n", String?.self) == nil)
        #expect(try value("=7\r\ntxt:abc\r\n", String.self) == "abc")
        #expect(try value("(12345678901234567890\r\n", String.self) == "12345678901234567890")
        #expect(try value("~2\r\n+a\r\n+b\r\n", [String].self) == ["a", "b"])
        #expect(try value("%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", [String: Int].self) == ["a": 1, "b": 2])
        #expect(try value("*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n", [String: Int].self) == ["a": 1, "b": 2])
        #expect(throws: RESPDecodingError.self) { try value("*3\r\n+a\r\n:1\r\n+b\r\n", [String: Int].self) }
        #expect(throws: RESPDecodingError.self) { try value("!3\r\nERR\r\n", String.self) }
        let pair = try value("*2\r\n$1\r\n7\r\n*1\r\n+k\r\n", RESPTuple<Int, [String]>.self).values
        #expect(pair == (7, ["k"]))
        #expect(throws: RESPDecodingError.self) { try value("*1\r\n:1\r\n", RESPTuple<Int, Int>.self) }
    }

    @Test func descriptions() throws {
        let shown = try decode("%1\r\n+k\r\n~2\r\n#t\r\n,1.5\r\n").map(\.description)
        #expect(shown == ["{k: set[(true), (double) 1.5]}"])
        #expect(try decode("|1\r\n+a\r\n:1\r\n:2\r\n").map(\.description) == ["|a: (integer) 1| (integer) 2"])
    }
}

/// Values as deep as anyone allows them to be, on a thread with a small stack.
@Suite struct DeepValueTests {
    @Test func deepValuesAreBuiltComparedHashedPrintedEncodedAndFreedWithoutRecursion() throws {
        // Recursion would need tens of megabytes for this; a test's thread has half of one.
        let depth = 300_000
        let stream = Array(String(repeating: "*1\r\n", count: depth).utf8) + Array("|0\r\n:1\r\n".utf8)
        func build() throws -> RESPValue {
            var decoder = RESPDecoder(version: .resp3, limits: RESPLimits(maxDepth: depth + 1))
            decoder.append(stream)
            return try #require(try decoder.next())
        }
        let first = try build()
        let second = try build()
        #expect((first == second) == true)
        #expect(first.hashValue == second.hashValue)
        #expect(first.description.utf8.count == 2 * depth + "|| (integer) 1".utf8.count)
        #expect(try first.encoded() == stream)
        var shown = ""
        dump(first, to: &shown)
        #expect(!shown.isEmpty)
    }

    @Test func aSharedPartOutlivesTheWhole() throws {
        var inner = RESPValue.array([.integer(1), .array([.integer(2)])])
        var whole: RESPValue? = .array([inner, .array([inner])])
        guard case .array(let elements) = inner else { return }
        whole = nil
        _ = whole
        inner = .null
        #expect(RESPValue.array(elements) == .array([.integer(1), .array([.integer(2)])]))
    }
}
