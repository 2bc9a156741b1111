import TestSupport
import Testing

@_spi(Driver) @testable import AsyncIO
@testable import AsyncRedis
@testable import RESP
@_spi(Driver) import UVLoop

/// What a connection holds once it has been idle for a while, whatever it did before.
@Suite struct IdleTests {
    private let loop = EventLoop(name: "idle-test")

    @Test func aSocketThatWasFullIsNotWatchedAnyMore() async throws {
        let mayRead = Gate()
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            connection.write("+PONG\r\n")
            mayRead.waitOnThread()
            while connection.readCommand() != nil { connection.write("+OK\r\n") }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        _ = try await redis.send("PING")
        let core = loop.core
        // The timer that ends the rest is made by then.
        #expect(await eventually { await loop.run { redis.connection.restTimer != nil } })
        let before = await loop.run { core.driver.residentCount }
        async let large = redis.send("SET", "k", [UInt8](repeating: 0x61, count: 16 << 20))
        let isWatched = await eventually { await loop.run { core.driver.residentCount } == before + 1 }
        #expect(isWatched)
        mayRead.open()
        #expect(try await large == .simpleString("OK"))
        #expect(await eventually { await loop.run { core.driver.residentCount } == before })
        // And it can be full again.
        let more = try await redis.send("SET", "k", [UInt8](repeating: 0x61, count: 16 << 20))
        #expect(more == .simpleString("OK"))
        #expect(await eventually { await loop.run { core.driver.residentCount } == before })
        await redis.close()
        server.stop()
        await loop.shutdown()
    }

    @Test func aLongLineForPermitsIsForgotten() async throws {
        let server = try ScriptedServer { connection in
            while connection.readCommand() != nil { connection.write("+PONG\r\n") }
        }
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: .seconds(60))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let limiter = redis.connection.limiter
        let longest = try await loop.run {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        _ = try await redis.send("PING")
                        return limiter.state.value.line.capacity
                    }
                }
                return try await group.reduce(0, max)
            }
        }
        #expect(longest >= 99)
        #expect(await eventually { await loop.run { limiter.state.value.line.capacity } == 0 })
        await redis.close()
        server.stop()
        await loop.shutdown()
    }

    @Test func theLevelsOfADeepReplyAreForgotten() async throws {
        let server = try ScriptedServer { connection in
            while connection.readCommand() != nil {
                connection.write(String(repeating: "*1\r\n", count: 100) + ":1\r\n")
            }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let levels = try await loop.run {
            _ = try await redis.send("DEEP")
            return redis.connection.framer.value.outer.capacity
        }
        #expect(levels >= 100)
        #expect(await eventually { await loop.run { redis.connection.framer.value.outer.capacity } == 0 })
        await redis.close()
        server.stop()
        await loop.shutdown()
    }
}
