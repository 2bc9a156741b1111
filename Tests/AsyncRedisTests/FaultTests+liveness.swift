@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

extension FaultTests {
    /// Two late commands hold all permits, and nothing comes: whoever waits behind them is told when the connection is dead.
    @Test func tombstonesThatFillTheCapacityEndTheConnection() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try Self.mute(names)
        let liveness = Duration.milliseconds(200)
        let policy = EndpointPolicy(maxInflight: 2, commandTimeout: nil, livenessTimeout: liveness)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let noise = SchedulingNoise(besides: "fault")
        let start = ContinuousClock.now
        for name in ["LATE", "CANCELLED"] {
            let task = Task {
                await Ending.of(within: .milliseconds(30)) {
                    _ = try await redis.send(words: [name], timeout: name == "LATE" ? .milliseconds(30) : nil)
                }
            }
            #expect(await eventually { names.value.contains(name) })
            if name == "CANCELLED" { task.cancel() }
            let code: RedisError.Code = name == "LATE" ? .deadlineExceeded : .cancelled
            #expect(await task.value.sight == Sight(code, .indeterminate))
        }
        #expect(await loop.run { redis.connection.limiter.inflight } == 2)
        let waiting = [true, false].map { isOnLoop in
            Task {
                await Ending.of(within: .zero) {
                    if isOnLoop {
                        try await loop.run { _ = try await redis.send("WAITING") }
                    } else {
                        _ = try await redis.send("WAITING")
                    }
                }
            }
        }
        for task in waiting { #expect(await task.value.sight == Sight(.connectionLost, .notSent)) }
        let lateness = ContinuousClock.now - start - liveness
        let allowance = Self.grace + (await noise.stop())
        #expect(lateness <= allowance, "\(lateness)")
        #expect(redis.hasEnded)
        #expect(await loop.run { redis.connection.limiter.inflight + redis.connection.limiter.waiting } == 0)
        #expect(names.value == ["LATE", "CANCELLED"])
        await loop.shutdown()
        server.stop()
    }

    @Test func bytesThatComeAreLifeWhoeverTheyAreFor() async throws {
        let loop = EventLoop(name: "fault")
        let isDone = Collected(false)
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            connection.write("$100000000\r\n")
            connection.trickle("x", while: { !isDone.value })
        }
        let policy = EndpointPolicy(maxInflight: 1, livenessTimeout: .milliseconds(100))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        // Several times the liveness time, and twice the whole way through a deadline.
        for _ in 0..<2 {
            let ending = await Ending.of(within: .milliseconds(300)) {
                _ = try await redis.send("GET", "large", timeout: .milliseconds(300))
            }
            #expect(ending.error?.code == .deadlineExceeded)
            #expect(ending.error?.situation.map { $0.replyBytesReceived > 0 } == true)
            #expect(!redis.hasEnded)
        }
        // Now it stays silent in the middle of the reply.
        isDone.update { $0 = true }
        let ending = await Ending.of(within: .zero) {
            _ = try await redis.send("PING", timeout: .seconds(3600))
        }
        #expect(ending.error?.code == .connectionLost)
        await loop.shutdown()
        server.stop()
    }

    @Test func repliesThatComeOneByteAtATimeAreRight() async throws {
        let loop = EventLoop(name: "fault")
        let server = try ScriptedServer { connection in
            while let words = connection.readTextCommand(), let question = words.last {
                let reply = "*2\r\n$\(question.utf8.count)\r\n\(question)\r\n:\(question.utf8.count)\r\n"
                connection.write(reply, chunk: 1)
            }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let question = "question \(number)"
                    let ask: @concurrent @Sendable () async -> Void = {
                        let reply = try? await redis.send("ECHO", question, timeout: .seconds(3600))
                        #expect(
                            reply == .array([.bulkString(question), .integer(Int64(question.utf8.count))])
                        )
                    }
                    if number.isMultiple(of: 2) { await loop.run(ask) } else { await ask() }
                }
            }
        }
        await redis.close()
        await loop.shutdown()
        server.stop()
    }

    @Test func anIdleConnectionIsProbedOnlyIfAskedFor() async throws {
        let loop = EventLoop(name: "fault")
        let commands = Collected<[[String]]>([])
        let hasBeenProbed = Gate()
        let server = try ScriptedServer { connection in
            var count = 0
            while let words = connection.readTextCommand() {
                commands.update { $0.append(["\(connection.index)"] + words) }
                connection.write("+PONG\r\n")
                count += 1
                if connection.index == 1, count == 5 { hasBeenProbed.open() }
            }
        }
        let left = try await AsyncRedisClient.connect(to: server.url, on: loop)
        _ = try await left.send("FIRST")
        let probed = try await AsyncRedisClient.connect(
            to: server.url,
            on: loop,
            policy: EndpointPolicy(idleProbeInterval: .milliseconds(20))
        )
        await hasBeenProbed.wait()
        // All that time the other was idle as well.
        _ = try await left.send("LAST")
        #expect(commands.value.filter { $0[0] == "0" } == [["0", "FIRST"], ["0", "LAST"]])
        #expect(
            commands.value.filter { $0[0] == "1" }.prefix(5)
                == Array(repeating: ["1", "PING"], count: 5)[...]
        )
        #expect(try await probed.send("PING") == .simpleString("PONG"))
        await left.close()
        await probed.close()
        await loop.shutdown()
        server.stop()
    }

    @Test func aProbeThatIsNotAnsweredEndsTheConnection() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try Self.mute(names)
        let (interval, liveness) = (Duration.milliseconds(40), Duration.milliseconds(80))
        let policy = EndpointPolicy(livenessTimeout: liveness, idleProbeInterval: interval)
        let noise = SchedulingNoise(besides: "fault")
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let start = ContinuousClock.now
        let hasEnded = await eventually { redis.hasEnded }
        let lateness = ContinuousClock.now - start - interval - liveness
        #expect(hasEnded)
        let allowance = Self.grace + (await noise.stop())
        #expect(lateness <= allowance, "\(lateness)")
        #expect(names.value == ["PING"])
        let ending = await Ending.of(within: .zero) { _ = try await redis.send("PING") }
        #expect(ending.sight == Sight(.connectionLost, .notSent))
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await loop.shutdown()
        server.stop()
    }

    @Test func aServerWithTooManyClientsSaysSoToEverybody() async throws {
        let loop = EventLoop(name: "fault")
        let farewell = "ERR max number of clients reached"
        let server = try ScriptedServer { connection in
            // As a server does: its word comes with the connection, whatever the client has to say.
            connection.write("-\(farewell)\r\n")
            while connection.readSome() != nil {}
        }
        let spec = EndpointSpec(id: "full", kind: .redis, host: "127.0.0.1", port: server.port)
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let redis = try io.redis("full")
        let endings = [
            await Ending.of(within: .zero) { _ = try await redis.send("SET", "k", "v") },
            await Ending.of(within: .zero) { _ = try await redis.send("SET", "k", "v") },
        ]
        for ending in endings {
            #expect(ending.error?.code == .connectionLost)
            #expect(ending.error.map { "\($0)" }?.contains(farewell) == true)
            #expect(ending.error?.serverMessage == Array(farewell.utf8))
        }
        #expect(endings[1].error?.outcome == .notSent)
        await io.close()
        await loop.shutdown()
        server.stop()
    }

    /// Nobody takes the connection, or nobody answers the login.
    @Test(arguments: [Fault.neverAccepts, .staysSilentInHandshake])
    func connectingHasATimeOfItsOwn(fault: Fault) async throws {
        let loop = EventLoop(name: "fault")
        let server = try FaultyServer(fault)
        let limit = Duration.milliseconds(100)
        let spec = EndpointSpec(
            id: "faulty",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            credentials: fault == .neverAccepts ? nil : EndpointCredentials(password: "x"),
            policy: EndpointPolicy(connectTimeout: limit, commandTimeout: nil)
        )
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let noise = SchedulingNoise(besides: "fault")
        let redis = try io.redis("faulty")
        let start = ContinuousClock.now
        async let onLoop = loop.run { await Ending.of(within: .zero) { _ = try await redis.send("PING") } }
        async let elsewhere = Ending.of(within: .zero) { _ = try await redis.send("PING") }
        let endings = [await onLoop, await elsewhere]
        let lateness = ContinuousClock.now - start - limit
        for ending in endings { #expect(ending.sight == Sight(.connectTimedOut, .notSent)) }
        let allowance = Self.grace + (await noise.stop())
        #expect(lateness <= allowance, "\(lateness)")
        await loop.shutdown()
        server.stop()
    }
}
