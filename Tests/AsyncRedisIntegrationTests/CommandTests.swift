import AsyncRedis
import TestSupport
import Testing

/// The commands against a real Redis, with the data that the local CI script seeds.
@Suite(.enabled(if: RealRedis.isThere, "set REDIS_URL to run the integration tests"))
struct CommandTests {
    private let loop = EventLoop(name: "integration")
    private let redis: AsyncRedisClient

    init() async throws {
        redis = try await AsyncRedisClient.connect(to: RealRedis.url ?? "", on: loop, policy: .patient)
    }

    private func error(_ body: () async throws -> Void) async -> RedisError? {
        await #expect(throws: RedisError.self) { try await body() }
    }

    @Test func hgetPresentAbsentEmptyAndBinary() async throws {
        #expect(try await redis.hget("user:1", "name") == "Ada")
        #expect(try await redis.hget("user:1", "no such field") == nil)
        #expect(try await redis.hget("no such key", "name") == nil)
        #expect(try await redis.hget("user:1", "empty") == "")
        #expect(try await redis.hget("user:1", "avatar", as: [UInt8].self) == [0xff, 0x00, 0x0d, 0x0a, 0xfe])
        #expect(try await redis.hget("user:1", "no such field", as: [UInt8].self) == nil)
        #expect(try await redis.hget("user:1", "age", as: Int.self) == 36)
    }

    @Test func bytesThatAreNotUTF8AreAnErrorAsTextAndReadableAsBytes() async throws {
        let failure = await error { _ = try await redis.hget("user:1", "latin") }
        #expect(failure?.code == .unexpectedReply)
        #expect(failure?.outcome == .answered)
        #expect(try await redis.hget("user:1", "latin", as: [UInt8].self) == [0x63, 0x61, 0x66, 0xe9])
    }

    @Test func theWrongTypeIsTheServersError() async throws {
        for body in [
            { _ = try await redis.hget("plain", "f") }, { _ = try await redis.hmget("plain", ["f"]) },
            { _ = try await redis.lrange("plain", 0, -1) },
        ] as [() async throws -> Void] {
            let failure = await error(body)
            #expect(failure?.code == .wrongType)
            #expect(failure?.outcome == .rejected)
        }
        #expect(try await redis.send("GET", "plain") == .bulkString("a plain string"))
    }

    @Test func lrangeAndHmget() async throws {
        #expect(try await redis.lrange("follow:1", 0, 4) == ["f0", "f1", "f2", "f3", "f4"])
        #expect(try await redis.lrange("follow:1", -2, -1) == ["f8", "f9"])
        #expect(try await redis.lrange("follow:1", 50, 60) == [])
        #expect(try await redis.lrange("no such key", 0, 4) == [])
        #expect(try await redis.lrange("follow:1", 0, 0, as: [UInt8].self) == [Array("f0".utf8)])
        #expect(try await redis.hmget("user:1", ["name", "age", "nope", "empty"]) == ["Ada", "36", nil, ""])
        #expect(try await redis.hmget("no such key", ["a", "b"]) == [nil, nil])
        #expect(try await redis.hmget("user:1", ["age", "nope"], as: Int.self) == [36, nil])
    }

    @Test func anyCommandByItsWords() async throws {
        let key = "integration:\(UInt64.random(in: 0 ... .max))"
        let binary: [UInt8] = Array(0...255)
        #expect(try await redis.send("SET", key, binary) == .simpleString("OK"))
        #expect(try await redis.send("GET", key, as: [UInt8].self) == binary)
        #expect(try await redis.send("APPEND", key, "") == .integer(256))
        #expect(try await redis.send("EXPIRE", key, 100, as: Bool.self))
        #expect(try await redis.send("DEL", key) == .integer(1))
        #expect(try await redis.send("GET", key) == .null)
        let nested = try await redis.send("EVAL", "return {1, {'a', {}}, false}", 0)
        #expect(nested == .array([.integer(1), .array([.bulkString("a"), .array([])]), .null]))
        let unknown = await error { _ = try await redis.send("NOSUCHCOMMAND", [0xff, 0x00] as [UInt8]) }
        #expect(unknown?.code == .generic)
        #expect(unknown?.outcome == .rejected)
    }

    @Test func aHundredConcurrentPages() async throws {
        for onLoop in [true, false] {
            let body: @Sendable () async throws -> Void = { [redis] in
                try await withThrowingTaskGroup(of: [String].self) { group in
                    for _ in 0..<100 { group.addTask { try await redis.lrange("follow:1", 0, 4) } }
                    var pages = 0
                    for try await page in group {
                        #expect(page == ["f0", "f1", "f2", "f3", "f4"])
                        pages += 1
                    }
                    #expect(pages == 100)
                }
            }
            if onLoop { try await loop.run(body) } else { try await body() }
        }
    }

    @Test func aMegabyteBothWays() async throws {
        let key = "integration:large:\(UInt64.random(in: 0 ... .max))"
        let large = (0..<(5 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask { [redis] in _ = try await redis.send("SET", "\(key):\(number)", large) }
            }
            try await group.waitForAll()
        }
        for number in 0..<4 {
            let value = try await redis.send("GET", "\(key):\(number)", as: [UInt8].self)
            #expect(value == large)
            _ = try await redis.send("DEL", "\(key):\(number)")
        }
    }

    @Test func theUnixSocketServesTheSame() async throws {
        let path = try #require(RealRedis.socketPath, "the local CI script sets REDIS_UNIX_SOCKET")
        let client = try await AsyncRedisClient.connect(to: "unix://\(path)?db=0", on: loop, policy: .patient)
        #expect(try await client.hget("user:1", "name") == "Ada")
        await client.close()
    }

    @Test func databasesAreSeparate() async throws {
        let (host, port) = RealRedis.hostAndPort
        let other = try await AsyncRedisClient.connect(
            to: "redis://\(host):\(port)/7",
            on: loop,
            policy: .patient
        )
        #expect(try await other.hget("user:1", "name") == nil)
        await other.close()
        let beyond = await error {
            _ = try await AsyncRedisClient.connect(
                to: "redis://\(host):\(port)/9999",
                on: loop,
                policy: .patient
            )
        }
        #expect(beyond?.code == .handshakeFailed)
    }

    @Test func loginWithAUser() async throws {
        let (host, port) = RealRedis.hostAndPort
        let client = try await AsyncRedisClient.connect(
            to: "redis://tester:secret@\(host):\(port)",
            on: loop,
            policy: .patient
        )
        #expect(try await client.send("ACL", "WHOAMI") == .bulkString("tester"))
        await client.close()
        let wrong = await error {
            _ = try await AsyncRedisClient.connect(
                to: "redis://tester:guessed@\(host):\(port)",
                on: loop,
                policy: .patient
            )
        }
        #expect(wrong?.code == .handshakeFailed)
        #expect("\(wrong!)".contains("WRONGPASS"))
        #expect(!"\(wrong!)".contains("guessed"))
    }
}
