import RESP
import Testing

@testable import AsyncRedis

/// What commands do to those behind them, by their words.
@Suite struct CommandRulesTests {
    private static let second: UInt64 = 1_000_000_000

    private func effect(_ words: String) -> CommandEffect {
        RESPWordList(words.split(separator: " ").map { String($0) }).effect
    }

    @Test(arguments: [
        "GET k", "SET BLPOP 1", "CLIENT ID", "SCRIPT LOAD x", "XREAD STREAMS s 0",
        "XREAD COUNT 1 STREAMS block 0",
        "XREADGROUP GROUP block c STREAMS s >", "XREADGROUP GROUP g block STREAMS s >", "P", "WAITED 1 2",
        "1234", "HELL", "HELLOO", "\u{1}HELLO", "\u{0}HELLO", "AAAA", "ZZZZZZZZZZZZ", "XREADGROUPSX", "mültï",
        "SUBSCRIBE\u{0}",
    ])
    func mostDoNothing(words: String) {
        #expect(effect(words) == .none)
    }

    @Test(
        arguments: [
            ("BLPOP a b 1.5", second + second / 2), ("bzpopmax k 0", .max), ("BLMPOP 2 1 k LEFT", 2 * second),
            ("brpop a 1", second), ("BLMOVE a b LEFT LEFT 1", second), ("brpoplpush a b 1", second),
            ("BZPOPMIN k 1", second), ("bzmpop 1 1 k MIN", second),
            ("WAIT 1 100", second / 10), ("WAITAOF 1 0 100", second / 10),
            ("XREAD BLOCK 0 STREAMS s $", .max),
            ("XREADGROUP GROUP streams me BLOCK 3000 STREAMS st >", 3 * second),
            // The server refuses these at once.
            ("BLPOP k soon", 0), ("BLPOP k -1", 0), ("WAIT 1", 0), ("XREAD BLOCK x STREAMS s $", 0),
        ] as [(String, UInt64)]
    )
    func someBlock(words: String, nanoseconds: UInt64) {
        #expect(effect(words) == .blocks(nanoseconds))
    }

    @Test(
        arguments: [
            ("multi", .opens), ("Asking", .opensForNext), ("client caching YES", .opensForNext),
            ("EXEC", .closes), ("discard", .closes),
            ("RESET", .closes),
            ("Watch k", .none), ("unwatch", .none), ("SELECT 1", .none), ("auth x", .none), ("QUIT", .none),
            ("readonly", .none), ("READWRITE", .none),
        ] as [(String, GroupStep)]
    )
    func someChangeTheConnection(words: String, step: GroupStep) {
        #expect(effect(words) == .changesConnection(step))
    }

    @Test(arguments: [
        "subscribe a", "PSUBSCRIBE a", "ssubscribe a", "unsubscribe", "PUNSUBSCRIBE", "sunsubscribe",
        "MONITOR", "sync",
        "PSYNC ? -1", "replconf x", "HELLO 3", "client Reply off", "script debug yes",
    ])
    func someCannotBeMatched(words: String) {
        #expect(effect(words) == .breaksMatching)
    }

    /// A name may come as bytes, too.
    @Test func bytesAreANameAsTextIs() {
        #expect(RESPWordList([Array("Monitor".utf8)]).effect == .breaksMatching)
        #expect(RESPWordList([[0x4d, 0xff, 0x4e, 0x49] as [UInt8]]).effect == .none)
        #expect(RESPWordList([]).effect == .none)
    }
}
