@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

extension FaultTests {
    private func situation(_ command: () async throws -> Void) async -> RedisError.Situation? {
        let ending = await Ending.of(within: .zero, command)
        #expect(ending.error?.code == .deadlineExceeded)
        let situation = ending.error?.situation
        // The sentence for a person says all of it.
        let sentence = ending.error?.description
        #expect(sentence?.contains(situation?.description ?? "none") == true)
        return situation
    }

    @Test func aDeadlineErrorNamesTheConnection() async throws {
        let loop = EventLoop(name: "fault")
        let listener = try SilentListener()
        let spec = EndpointSpec(id: "never", kind: .redis, host: "127.0.0.1", port: listener.port)
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let redis = try io.redis("never")
        await loop.run {
            async let first = situation { _ = try await redis.send("PING", timeout: .milliseconds(80)) }
            await Task.yield()
            let second = await situation { _ = try await redis.send("PING", timeout: .milliseconds(40)) }
            #expect(await first?.commandsAhead == 0)
            #expect(second?.commandsAhead == 1)
            #expect(second?.phase == .waitingForConnection)
            #expect(second?.timeSinceLastRead == nil)
            #expect(second.map { $0.queuedBytes > 0 } == true)
            #expect(second?.replyBytesReceived == 0)
        }
        io.shutdown()
        await loop.shutdown()
    }

    @Test func aDeadlineErrorNamesTheServersSilence() async throws {
        let loop = EventLoop(name: "fault")
        let mayTrickle = Gate()
        let server = try ScriptedServer { connection in
            // Two answers at once, the third one half, and then nothing.
            for _ in 0..<2 { if connection.readCommand() != nil { connection.write("+OK\r\n") } }
            _ = connection.readCommand()
            mayTrickle.waitOnThread()
            connection.write("$1000\r\nhello")
            while connection.readSome() != nil {}
        }
        let policy = EndpointPolicy(maxInflight: 2)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        for _ in 0..<2 { _ = try await redis.send("PING") }
        await loop.run {
            let silence = Duration.milliseconds(60)
            async let head = situation { _ = try await redis.send("GET", "large", timeout: silence) }
            await Task.yield()
            async let next = situation { _ = try await redis.send("PING", timeout: silence) }
            await Task.yield()
            async let waiting = situation { _ = try await redis.send("PING", timeout: silence) }
            let situations = [await head, await next, await waiting]
            #expect(situations.map(\.?.phase) == [.waitingForReply, .waitingForReply, .waitingForPermit])
            #expect(situations.map(\.?.commandsAhead) == [0, 1, 2])
            for situation in situations {
                #expect(situation?.timeSinceLastRead.map { $0 > .milliseconds(30) } == true)
                #expect(situation?.replyBytesReceived == 0)
            }
            mayTrickle.open()
            #expect(await eventually { await loop.run { redis.connection.unfinishedBytes == 12 } })
            let behindALargeReply = await situation {
                _ = try await redis.send("PING", timeout: .milliseconds(40))
            }
            #expect(behindALargeReply?.phase == .waitingForPermit)
            #expect(behindALargeReply?.replyBytesReceived == 12)
            #expect(behindALargeReply?.queuedBytes == "*1\r\n$4\r\nPING\r\n".utf8.count)
        }
        redis.shutdown()
        await loop.shutdown()
        server.stop()
    }
}
