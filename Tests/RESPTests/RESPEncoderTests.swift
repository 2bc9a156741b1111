import RESP
import Synchronization
import Testing

/// Commands as bytes: words of every type, limits at their edge, and words that break their promise.
struct RESPEncoderTests {
    @Test(
        arguments: [
            ("text", "text"), ("", ""), ("é", "é"), ("two words\r\n", "two words\r\n"),
            ("abc".dropFirst(), "bc"), ("naïve".dropLast(2), "naï"), ([0x61, 0x62] as [UInt8], "ab"),
            ([UInt8](), ""), ([0x61, 0x62, 0x63][1...] as ArraySlice<UInt8>, "bc"), (0, "0"), (7, "7"),
            (10, "10"), (-1, "-1"), (-10, "-10"), (99, "99"), (100, "100"), (Int.max, "9223372036854775807"),
            (Int.min, "-9223372036854775808"), (Int64.max, "9223372036854775807"),
            (Int64.min, "-9223372036854775808"), (Int32.min, "-2147483648"), (Int16.min, "-32768"),
            (Int8.min, "-128"), (Int8.max, "127"), (UInt.max, "18446744073709551615"),
            (UInt64.max, "18446744073709551615"),
            (UInt64(10_000_000_000_000_000_000), "10000000000000000000"), (UInt32.max, "4294967295"),
            (UInt16.max, "65535"), (UInt8.max, "255"), (UInt8.min, "0"), (1.5, "1.5"), (-0.1, "-0.1"),
            (1e100, "1e+100"), (Double.leastNonzeroMagnitude, "5e-324"), (2.0, "2.0"),
            (Double.infinity, "inf"), (-Double.infinity, "-inf"),
        ] as [(any RESPEncodable & Sendable, String)]
    )
    func aWordIsWrittenAsText(_ word: any RESPEncodable & Sendable, _ text: String) throws {
        #expect(try RESPEncoder.encode([word]) == argv([Array(text.utf8)]))
        #expect(
            try RESPEncoder.encode(["SET", word, "x"]) == argv(["SET", text, "x"].map { Array($0.utf8) })
        )
    }

    @Test func everyPowerOfTenIsWrittenWhole() throws {
        var number: UInt64 = 1
        for _ in 0..<20 {
            for value in [number &- 1, number, number &+ 1] {
                #expect(try RESPEncoder.encode([value]) == argv([Array("\(value)".utf8)]))
            }
            number = number &* 10
        }
    }

    /// Large words are handed on as they are, and the pieces have the same bytes in the same order.
    @Test(arguments: [[0], [1], [0, 1], [1, 0, 1], [1, 1], [0, 1, 1, 0], [0, 0, 1, 0, 1, 0]])
    func aCommandInPiecesHasTheSameBytes(kinds: [Int]) throws {
        let large = String(repeating: "0123456789", count: 3000)
        let words: [any RESPEncodable] = kinds.enumerated().map { index, kind -> any RESPEncodable in
            if kind == 0 { return "small \(index)" }
            return index.isMultiple(of: 2) ? RESPWord(large) : RESPWord(Array(large.utf8))
        }
        let command = RESPWordList(words)
        let byteCount = try command.byteCount(.default)
        var bytes: [UInt8] = []
        var kept = 0
        command.encode(
            byteCount: byteCount,
            gather: { count, fill in
                bytes += [UInt8](capacity: count) { output in
                    fill(&output)
                    #expect(output.count == count)
                }
            },
            keep: { word in
                kept += 1
                switch word {
                case .bytes(let part): bytes += part
                case .text(let text): bytes += text.utf8
                }
            }
        )
        #expect(bytes == (try RESPEncoder.encode(words)))
        #expect(kept == kinds.count { $0 == 1 })
    }

    @Test func aWordMayHoldAnyBytes() throws {
        let content = (UInt8.min...UInt8.max).map { $0 } + Array("\r\n$5\r\n*1\r\n".utf8)
        #expect(try RESPEncoder.encode(["ECHO", content]) == argv([Array("ECHO".utf8), content]))
    }

    @Test(arguments: [1, 9, 10, 99, 100, 1000])
    func aCommandMayHaveManyWords(_ count: Int) throws {
        let words = (0..<count).map { Array("word \($0)".utf8) }
        #expect(try RESPEncoder.encode(words) == argv(words))
    }

    @Test func aCommandOfKnownWordsHasTheBytesOfTheSameWordsInAList() throws {
        func bytes(_ command: some RESPCommand) throws -> [UInt8] {
            let byteCount = try command.byteCount(.default)
            let bytes = [UInt8](capacity: byteCount) { output in command.encode(into: &output) }
            #expect(bytes.count == byteCount)
            return bytes
        }
        func list(_ words: String...) throws -> [UInt8] { try RESPEncoder.encode(words) }
        #expect(try bytes(RESPWordList(["SET", "", -7])) == list("SET", "", "-7"))
        #expect(try bytes(RESPWordList(taken: ["GET", -7])) == list("GET", "-7"))
        #expect(try bytes(RESPTextCommand("HSET", "ké", "")) == list("HSET", "ké", ""))
        #expect(try bytes(RESPKeyCommand("DEL", "k")) == list("DEL", "k"))
        #expect(try bytes(RESPLRange("k", -10, 4)) == list("LRANGE", "k", "-10", "4"))
        let lengths = [
            0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 15, 16, 17, 63, 64, 99, 100, 101, 999, 1000, 12_345,
        ]
        let words = lengths.map { length in
            String((0..<length).map { Character(UnicodeScalar(UInt8(33 + $0 % 90))) })
        }
        for word in words {
            #expect(try bytes(RESPHGet(word, "ké")) == list("HGET", word, "ké"))
            #expect(try bytes(RESPHMGet("k", [word, "", word])) == list("HMGET", "k", word, "", word))
        }
        #expect(try bytes(RESPHMGet("k", words)) == RESPEncoder.encode(["HMGET", "k"] + words))
    }

    @Test(arguments: [RESPLimits(maxBulkBytes: 3), RESPLimits(maxReplyBytes: 20), RESPLimits(maxWords: 1)])
    func everyKindOfCommandIsHeldAgainstTheLimits(_ limits: RESPLimits) {
        let commands: [any RESPCommand] = [
            RESPWordList(["a", "bcde", "f"]), RESPTextCommand("a", "bcde", "f"),
            RESPHGet("a", "bcde"), RESPHMGet("a", ["b", "cdef"]), RESPLRange("abcd", 1, 2),
            RESPKeyCommand("abcd", "efghi"),
        ]
        for command in commands {
            #expect(throws: RESPEncodingError.self) { try command.byteCount(limits) }
            #expect(throws: Never.self) { try command.byteCount(.default) }
        }
    }

    // MARK: Limits

    @Test func aCommandWithoutWordsIsRefused() {
        let error = #expect(throws: RESPEncodingError.self) { try RESPEncoder.encode([]) }
        #expect(error?.reason.contains("no words") == true)
        #expect(throws: RESPEncodingError.self) { try RESPWordList([]).byteCount(.default) }
    }

    @Test func aWordMayHaveAsManyBytesAsABulkString() throws {
        let limits = RESPLimits(maxBulkBytes: 4)
        #expect(try RESPEncoder.encode(["PING"], limits: limits) == argv([Array("PING".utf8)]))
        let error = #expect(throws: RESPEncodingError.self) {
            try RESPEncoder.encode(["PING", "x", "PONGS"], limits: limits)
        }
        #expect(error?.reason.contains("word 3 ") == true)
        #expect(error?.reason.contains("5 bytes") == true)
        #expect(error?.reason.contains("at most 4") == true)
    }

    @Test(arguments: [["PING"], ["A", "b"], ["GET", "0123456789"], Array(repeating: "", count: 10)])
    func aCommandMayHaveAsManyBytesAsAReply(_ words: [String]) throws {
        let expected = argv(words.map { Array($0.utf8) })
        let size = expected.count
        #expect(try RESPEncoder.encode(words, limits: .init(maxReplyBytes: size)) == expected)
        for limit in [size - 1, size - 2, size / 2, 1] {
            let error = #expect(throws: RESPEncodingError.self, "\(limit) bytes") {
                try RESPEncoder.encode(words, limits: .init(maxReplyBytes: limit))
            }
            #expect(error?.reason.hasSuffix("more than \(limit) byte\(limit == 1 ? "" : "s")") == true)
        }
    }

    @Test func theNumberOfWordsIsLimited() throws {
        let limits = RESPLimits(maxWords: 3)
        #expect(try RESPEncoder.encode(["a", "b", "c"], limits: limits).count == 25)
        let error = #expect(throws: RESPEncodingError.self) {
            try RESPEncoder.encode(["a", "b", "c", "d"], limits: limits)
        }
        #expect(error?.reason.contains("4 words; at most 3") == true)
        let one = #expect(throws: RESPEncodingError.self) {
            try RESPEncoder.encode(["a"], limits: RESPLimits(maxWords: 0))
        }
        #expect(one?.reason.contains("1 word; at most 0") == true)
    }

    // MARK: Words of one's own

    /// A word that is another at each asking.
    final class Fickle: RESPEncodable, Sendable {
        private let asked = Mutex(0)
        var respWord: RESPWord {
            asked.withLock {
                $0 += 1
                return RESPWord(String(repeating: "x", count: $0))
            }
        }
    }

    @Test func aWordIsAskedForOnceForEachCommand() throws {
        let word = Fickle()
        #expect(try RESPEncoder.encode(["a", word]) == argv([Array("a".utf8), Array("x".utf8)]))
        #expect(try RESPEncoder.encode([word]) == argv([Array("xx".utf8)]))
    }

    @Test func wordsAreWrittenAsLiterals() throws {
        let words: [RESPWord] = ["SET", "k", 42, -7]
        #expect(try RESPEncoder.encode(words) == argv(["SET", "k", "42", "-7"].map { Array($0.utf8) }))
    }
}
