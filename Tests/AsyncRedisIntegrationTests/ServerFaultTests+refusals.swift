@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

extension ServerFaultTests {
    // MARK: The server says no

    @Test func aServerThatIsLoadingSaysSo() async throws {
        let stage = try Stage(try OwnRedisServer("--enable-debug-command", "yes"))
        let redis = try stage.io.redis("own")
        let admin = try await AsyncRedisClient.connect(
            to: stage.server.url,
            on: stage.loop,
            policy: Stage.patient
        )
        // A kilobyte for each of 200 keys, 10 ms for each of them, and a look at the clients after each kilobyte.
        _ = try await admin.send("DEBUG", "POPULATE", 200, "k", 1000)
        _ = try await admin.send("CONFIG", "SET", "rdbcompression", "no")
        _ = try await admin.send("CONFIG", "SET", "key-load-delay", 10_000)
        _ = try await admin.send("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
        let reloaded = Task { try await admin.send("DEBUG", "RELOAD") }
        // Until it begins to load, it answers; then not any more.
        var refusal: RedisError?
        while refusal == nil {
            refusal = await Ending.of(within: .zero) {
                _ = try await redis.send("GET", "k:1")
            }.error
        }
        #expect(refusal?.code == .loading && refusal?.outcome == .rejected)
        // It is an answer like another: the connection lives, and the next one is in time.
        let ended = await endings(within: .seconds(1), stage.loop) { _ = try await redis.send("GET", "k:1") }
        #expect(ended.allSatisfy { $0.error?.code == .loading })
        #expect(!redis.hasEnded)
        #expect(try await reloaded.value == .simpleString("OK"))
        #expect(try await redis.send("GET", "k:1", as: [UInt8].self).count == 1000)
        await admin.close()
        try await stage.leave()
    }

    @Test func aServerOutOfMemoryRefusesWritesAndAnswersReads() async throws {
        let stage = try Stage(try OwnRedisServer("--maxmemory", "1mb", "--maxmemory-policy", "noeviction"))
        let redis = try stage.io.redis("own")
        let value = [UInt8](repeating: 0x61, count: 10_000)
        var refusal: RedisError?
        for number in 0..<200 where refusal == nil {
            refusal = await Ending.of(within: .zero) { _ = try await redis.send("SET", "k:\(number)", value) }
                .error
        }
        #expect(refusal?.code == .outOfMemory && refusal?.outcome == .rejected)
        let ended = await endings(within: .seconds(1), stage.loop) {
            _ = try await redis.send("SET", "k", value)
        }
        #expect(ended.allSatisfy { $0.error?.code == .outOfMemory && $0.error?.outcome == .rejected })
        #expect(try await redis.send("GET", "none") == .null)
        #expect(!redis.hasEnded)
        try await stage.leave()
    }

    @Test func aServerWithTooManyClientsSaysSoAndServesTheNextWhenThereIsRoom() async throws {
        let stage = try Stage(try OwnRedisServer("--maxclients", "2"))
        var others: [AsyncRedisClient] = []
        for _ in 0..<2 {
            others.append(
                try await AsyncRedisClient.connect(
                    to: stage.server.url,
                    on: stage.loop,
                    policy: Stage.patient
                )
            )
            _ = try await others.last?.send("PING")
        }
        // Without a login or a database its word is the first thing that comes.
        let ended = await endings(within: .seconds(2), stage.loop) {
            _ = try await stage.io.redis("own").send("SET", "k", "v")
        }
        for ending in ended {
            #expect(ending.error?.code == .connectionLost)
            #expect(ending.error.map { "\($0)" }?.contains("max number of clients") == true)
        }
        await others.popLast()?.close()
        // The server notices a closed connection when it reads from it.
        let isServed = await eventually { (try? await stage.io.redis("own").send("PING")) != nil }
        #expect(isServed)
        #expect(try await others[0].send("EXISTS", "k", as: Int.self) == 0)
        await others[0].close()
        try await stage.leave()
    }

    // MARK: A client of one's own

    @Test func aClientOfOnesOwnBlocksAsLongAsItAsks() async throws {
        let stage = try Stage(try OwnRedisServer(), EndpointPolicy(commandTimeout: .milliseconds(500)))
        let shared = try stage.io.redis("own")
        let policy = EndpointPolicy(commandTimeout: .milliseconds(500))
        let own = try await AsyncRedisClient.connect(to: stage.server.url, on: stage.loop, policy: policy)
        let refused = await Ending.of(within: .zero) { _ = try await shared.send("BLPOP", "queue", 1) }
        #expect(refused.error?.code == .invalidCommand && refused.error?.outcome == .notSent)

        // The server's own answer to a wait in vain comes in time, although later than the policy's half second.
        let start = ContinuousClock.now
        #expect(try await own.send("BLPOP", "queue", 1) == .null)
        #expect(ContinuousClock.now - start >= .seconds(1))

        let popped = Task { try await own.send("BLPOP", "queue", 60) }
        #expect(
            await eventually {
                let clients = try? await shared.send("CLIENT", "LIST", as: String.self)
                return clients?.contains("cmd=blpop") == true
            }
        )
        #expect(try await shared.send("RPUSH", "queue", "job") == .integer(1))
        #expect(try await popped.value == .array([.bulkString("queue"), .bulkString("job")]))

        // A caller's own limit holds, whatever the command asks for; the pop it leaves behind is the server's to end.
        let noise = SchedulingNoise(besides: "server-fault")
        let limited = await Ending.of(within: Self.limit) {
            _ = try await own.send("BLPOP", "queue", 60, timeout: Self.limit)
        }
        #expect(limited.error?.code == .deadlineExceeded && limited.error?.outcome == .indeterminate)
        #expect(limited.lateness <= Self.grace + (await noise.stop()))
        own.shutdown()
        try await stage.leave()
    }

    @Test func aTransactionOnAClientOfOnesOwn() async throws {
        let stage = try Stage(try OwnRedisServer())
        let own = try await AsyncRedisClient.connect(
            to: stage.server.url,
            on: stage.loop,
            policy: Stage.patient
        )
        #expect(try await own.send("MULTI") == .simpleString("OK"))
        #expect(try await own.send("INCR", "n") == .simpleString("QUEUED"))
        #expect(try await own.send("INCR", "n") == .simpleString("QUEUED"))
        #expect(try await own.send("EXEC") == .array([.integer(1), .integer(2)]))
        // One that another client's write has made void, and one with a mistake in it.
        let shared = try stage.io.redis("own")
        _ = try await own.send("WATCH", "n")
        _ = try await shared.send("INCR", "n")
        _ = try await own.send("MULTI")
        _ = try await own.send("INCR", "n")
        #expect(try await own.send("EXEC") == .null)
        _ = try await own.send("MULTI")
        let mistake = await Ending.of(within: .zero) { _ = try await own.send("NOSUCHCOMMAND") }
        #expect(mistake.error?.outcome == .rejected)
        let aborted = await Ending.of(within: .zero) { _ = try await own.send("EXEC") }
        #expect(aborted.error?.code == .server("EXECABORT") && aborted.error?.outcome == .rejected)
        #expect(try await own.send("GET", "n", as: Int.self) == 3)
        await own.close()
        try await stage.leave()
    }
}
