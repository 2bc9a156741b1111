@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

extension FaultTests {
    /// Commands that block for a tenth of a second, and what they may take on top of a policy of 200 ms.
    @Test(arguments: [
        ["BLPOP", "k", "0.1"], ["brpop", "k", "0.1"], ["BLMOVE", "a", "b", "LEFT", "LEFT", "0.1"],
        ["BZPOPMIN", "k", "0.1"], ["BLMPOP", "0.1", "1", "k", "LEFT"], ["WAIT", "1", "100"],
        ["XREAD", "BLOCK", "100", "STREAMS", "s", "$"],
        ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "100", "STREAMS", "s", ">"],
        ["XREADGROUP", "BLOCK", "100", "GROUP", "g", "c", "STREAMS", "s", ">"],
    ])
    func whatBlocksOnTheServerHasThatTimeOnTop(words: [String]) async throws {
        let loop = EventLoop(name: "fault")
        let server = try Self.mute()
        let policy = EndpointPolicy(commandTimeout: .milliseconds(200))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let noise = SchedulingNoise(besides: "fault")
        // On the loop: on the global executor an end may have to wait for what other tests do there, at each of its hops.
        let endings = await loop.run {
            async let blocking = Ending.of(within: .milliseconds(300)) {
                _ = try await redis.send(words: words)
            }
            // The caller's own word holds for all of it.
            async let limited = Ending.of(within: .milliseconds(250)) {
                _ = try await redis.send(words: words, timeout: .milliseconds(250))
            }
            return [await blocking, await limited]
        }
        let allowance = Self.grace + (await noise.stop())
        for ending in endings {
            #expect(ending.sight == Sight(.deadlineExceeded, .indeterminate))
            #expect(
                ending.lateness <= allowance && ending.lateness >= .zero,
                "\(ending), allowed \(allowance)"
            )
        }
        await loop.shutdown()
        server.stop()
    }

    @Test func whatIsNotForAClientThatOthersShareIsRefused() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try ScriptedServer { connection in
            while let name = connection.readTextCommand()?.first {
                names.update { $0.append(name) }
                connection.write("+OK\r\n")
            }
        }
        let specs = [("shared", nil), ("exclusive", true)].map { id, isExclusive in
            EndpointSpec(
                id: id,
                kind: .redis,
                host: "127.0.0.1",
                port: server.port,
                policy: EndpointPolicy(isExclusive: isExclusive)
            )
        }
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry(specs))
        let own = try await AsyncRedisClient.connect(to: server.url, on: loop)
        let shared = try await AsyncRedisClient.connect(
            to: server.url,
            on: loop,
            policy: EndpointPolicy(isExclusive: false)
        )
        let commands = [
            ["BLPOP", "k", "1"], ["WAIT", "0", "10"], ["xread", "block", "10", "streams", "s", "$"],
            ["multi"],
            ["EXEC"], ["WATCH", "k"], ["SELECT", "1"], ["AUTH", "x"], ["QUIT"], ["RESET"],
        ]
        for words in commands {
            for redis in [try io.redis("shared"), shared] {
                let ending = await Ending.of(within: .zero) { _ = try await redis.send(words: words) }
                #expect(ending.sight == Sight(.invalidCommand, .notSent))
                #expect(ending.error.map { "\($0)" }?.contains(words[0].uppercased()) == true)
            }
        }
        #expect(names.value == [])
        for redis in [own, try io.redis("exclusive")] {
            for words in commands { #expect(try await redis.send(words: words) == .simpleString("OK")) }
        }
        #expect(names.value.count == 2 * commands.count)
        await io.close()
        await loop.shutdown()
        server.stop()
    }
}
