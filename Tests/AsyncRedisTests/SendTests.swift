@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

/// Commands by their words.
@Suite struct SendTests {
    private let loop = EventLoop(name: "send-test")

    /// A word that counts how often it is asked for.
    private final class Word: RESPEncodable, Sendable {
        private let word: RESPWord
        private let asked = Collected(0)
        var timesAsked: Int { asked.value }

        init(_ word: RESPWord) { self.word = word }

        var respWord: RESPWord {
            asked.update { $0 += 1 }
            return word
        }
    }

    /// Short and long, text, bytes and numbers.
    private static let words: [RESPWord] = [
        "text", "", "ké", RESPWord(String(repeating: "long ", count: 10_000)),
        RESPWord([UInt8](repeating: 0xff, count: 3)),
        RESPWord([UInt8](repeating: 1, count: 50_000)), 0, -12, RESPWord(UInt64.max),
    ]

    /// Whatever they are made of, and however many there are, words arrive as they are, and each is asked for once.
    @Test(arguments: [true, false])
    func wordsArriveAsTheyAre(isOnLoop: Bool) async throws {
        let received = Collected<[[UInt8]]>([])
        let server = try ScriptedServer { connection in
            while let words = connection.readCommand() {
                received.update { $0 = words }
                connection.write("+OK\r\n")
            }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let loop = loop
        for name in ["GET", "INCR", "EVALSHA_RO"] as [RESPWord] {
            for second in Self.words {
                for others in [[]] + Self.words.map({ [$0] }) + [[second, second]] {
                    let words = ([name, second] + others).map { Word($0) }
                    let send: @concurrent @Sendable () async throws -> RESPValue = {
                        try await redis.send(words: words)
                    }
                    let reply = isOnLoop ? try await loop.run(send) : try await send()
                    #expect(reply == .simpleString("OK"))
                    let sent = ([name, second] + others).map { Self.bytes($0) }
                    #expect(received.value == sent)
                    #expect(words.allSatisfy { $0.timesAsked == 1 })
                }
            }
        }
        await redis.close()
        server.stop()
        await loop.shutdown()
    }

    private static func bytes(_ word: RESPWord) -> [UInt8] {
        // One word as a command: `*1`, its length, and behind that its bytes.
        let encoded = (try? RESPEncoder.encode([word])) ?? []
        let headers = encoded.split(separator: 0x0a, maxSplits: 2, omittingEmptySubsequences: false)
        return Array(headers[2].dropLast(2))
    }
}
