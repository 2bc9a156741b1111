@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// What callers see of a real server's faults, and by when.
@Suite(.serialized, .enabled(if: RealRedis.isThere, "set REDIS_URL to run the integration tests"))
struct ServerFaultTests {
    typealias Ending = TimedEnd<RedisError>

    /// How long after its deadline a command may take to end.
    static let grace = Duration.milliseconds(20)
    static let limit = Duration.milliseconds(150)

    /// A server, a loop, and its clients of that server; what is left of them is looked at when a test is done.
    struct Stage {
        let server: OwnRedisServer
        let loop = EventLoop(name: "server-fault")
        let io: AsyncIOClients
        let descriptors: Int

        /// What the calls of a test do not limit themselves is never to be what ends them.
        static let patient = EndpointPolicy(commandTimeout: .seconds(60))

        init(_ server: OwnRedisServer, _ policy: EndpointPolicy = patient) throws {
            self.server = server
            descriptors = openDescriptors()
            let spec = EndpointSpec(
                id: "own",
                kind: .redis,
                host: "127.0.0.1",
                port: server.port,
                policy: policy
            )
            io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        }

        /// Ends the clients and the loop: no permit is taken then, and no descriptor or thread is left.
        func leave() async throws {
            let limiter = try io.redis("own").connection.limiter
            io.shutdown()
            let taken = await loop.run { limiter.inflight + limiter.waiting }
            #expect(taken == 0)
            await loop.shutdown()
            // A little room for what the runtime makes at its first use.
            #expect(await eventually { openDescriptors() <= descriptors + 2 })
            #expect(await eventually { !threadNames().contains("server-fault") })
        }
    }

    /// Runs one command on the loop and one elsewhere, each with so much time, and holds their ends against it.
    func endings(
        within limit: Duration,
        _ loop: EventLoop,
        _ command: @concurrent @Sendable @escaping () async throws -> Void
    ) async -> [Ending] {
        let noise = SchedulingNoise(besides: "server-fault")
        async let onLoop = loop.run { await Ending.of(within: limit, command) }
        async let elsewhere = Ending.of(within: limit, command)
        let endings = [await onLoop, await elsewhere]
        let allowance = Self.grace + (await noise.stop())
        for ending in endings { #expect(ending.lateness <= allowance, "\(ending)") }
        return endings
    }

    // MARK: Silence

    @Test func aStoppedServerIsWaitedForAsLongAsTheCallSaysAndGoesOnLater() async throws {
        let stage = try Stage(
            try OwnRedisServer(),
            EndpointPolicy(maxInflight: 2, commandTimeout: .seconds(60))
        )
        let redis = try stage.io.redis("own")
        _ = try await redis.send("SET", "n", 0)
        stage.server.stopAnswering()
        let sent = await endings(within: Self.limit, stage.loop) {
            _ = try await redis.send("INCR", "n", timeout: Self.limit)
        }
        #expect(
            sent.allSatisfy { $0.error?.code == .deadlineExceeded && $0.error?.outcome == .indeterminate }
        )
        // The two that were sent have both permits.
        let unsent = await endings(within: Self.limit, stage.loop) {
            _ = try await redis.send("INCR", "n", timeout: Self.limit)
        }
        #expect(unsent.allSatisfy { $0.error?.code == .deadlineExceeded && $0.error?.outcome == .notSent })
        stage.server.answerAgain()
        // As their outcomes say: two may have run, and have; two were never sent.
        #expect(try await redis.send("GET", "n", as: Int.self) == 2)
        try await stage.leave()
    }

    @Test func aStoppedServerIsGivenUpAfterTheLivenessTime() async throws {
        let policy = EndpointPolicy(commandTimeout: nil, livenessTimeout: Self.limit)
        let stage = try Stage(try OwnRedisServer(), policy)
        let redis = try stage.io.redis("own")
        _ = try await redis.send("PING")
        stage.server.stopAnswering()
        let ended = await endings(within: Self.limit, stage.loop) { _ = try await redis.send("PING") }
        #expect(ended.allSatisfy { $0.error?.code == .connectionLost && $0.error?.outcome == .indeterminate })
        #expect(redis.hasEnded)
        stage.server.answerAgain()
        #expect(try await stage.io.redis("own").send("PING") == .simpleString("PONG"))
        try await stage.leave()
    }

    @Test func aPausedServerAnswersEverybodyInTheEnd() async throws {
        let stage = try Stage(try OwnRedisServer())
        let redis = try stage.io.redis("own")
        _ = try await redis.send("SET", "n", 0)
        _ = try await redis.send("CLIENT", "PAUSE", 500, "ALL")
        let ended = await endings(within: Self.limit, stage.loop) {
            _ = try await redis.send("INCR", "n", timeout: Self.limit)
        }
        #expect(
            ended.allSatisfy { $0.error?.code == .deadlineExceeded && $0.error?.outcome == .indeterminate }
        )
        #expect(ended.allSatisfy { $0.error?.situation?.phase == .waitingForReply })
        // Behind them, and not harmed by them.
        #expect(try await redis.send("GET", "n", as: Int.self) == 2)
        try await stage.leave()
    }

    @Test func aServerThatSleepsAnswersEverybodyInTheEnd() async throws {
        let stage = try Stage(try OwnRedisServer("--enable-debug-command", "yes"))
        let redis = try stage.io.redis("own")
        _ = try await redis.send("SET", "n", 0)
        let asleep = Task { try await redis.send("DEBUG", "SLEEP", "0.5") }
        #expect(await eventually { await stage.loop.run { redis.connection.machine.value.inflight == 1 } })
        let ended = await endings(within: Self.limit, stage.loop) {
            _ = try await redis.send("INCR", "n", timeout: Self.limit)
        }
        #expect(
            ended.allSatisfy { $0.error?.code == .deadlineExceeded && $0.error?.outcome == .indeterminate }
        )
        #expect(ended.allSatisfy { $0.error?.situation.map { $0.commandsAhead > 0 } == true })
        #expect(try await asleep.value == .simpleString("OK"))
        #expect(try await redis.send("GET", "n", as: Int.self) == 2)
        try await stage.leave()
    }

    // MARK: Ends

    @Test func aKilledServerEndsEverythingAtOnceAndIsFoundAgain() async throws {
        let stage = try Stage(
            try OwnRedisServer(),
            EndpointPolicy(maxInflight: 2, commandTimeout: .seconds(60))
        )
        let redis = try stage.io.redis("own")
        _ = try await redis.send("PING")
        stage.server.stopAnswering()
        let commands = (0..<6).map { number in
            Task { await Ending.of(within: .zero) { _ = try await redis.send("ECHO", number) } }
        }
        let isPlaced = await eventually {
            await stage.loop.run {
                redis.connection.machine.value.inflight == 2
                    && redis.connection.machine.value.waitingCount == 4
            }
        }
        #expect(isPlaced)
        let noise = SchedulingNoise(besides: "server-fault")
        stage.server.kill()
        let killed = ContinuousClock.now
        var outcomes: [RedisError.Outcome?] = []
        for command in commands {
            let error = await command.value.error
            #expect(error?.code == .connectionLost)
            outcomes.append(error?.outcome)
        }
        #expect(ContinuousClock.now - killed <= Self.grace + (await noise.stop()))
        #expect(outcomes.count { $0 == .indeterminate } == 2 && outcomes.count { $0 == .notSent } == 4)

        let down = await Ending.of(within: .zero) { _ = try await stage.io.redis("own").send("PING") }
        #expect(down.error?.code == .connectFailed && down.error?.outcome == .notSent)
        try stage.server.start()
        #expect(try await stage.io.redis("own").send("PING") == .simpleString("PONG"))
        try await stage.leave()
    }

    @Test func aClientThatTheServerKillsIsReplacedForTheNextCaller() async throws {
        let stage = try Stage(try OwnRedisServer())
        let redis = try stage.io.redis("own")
        let id = try await redis.send("CLIENT", "ID", as: Int.self)
        // Its own connection is closed by the server when it has answered.
        let other = try await AsyncRedisClient.connect(
            to: stage.server.url,
            on: stage.loop,
            policy: Stage.patient
        )
        _ = try await other.send("CLIENT", "PAUSE", 60_000, "WRITE")
        let held = Task { await Ending.of(within: .zero) { _ = try await redis.send("SET", "k", "v") } }
        #expect(await eventually { await stage.loop.run { redis.connection.machine.value.inflight == 1 } })
        #expect(try await other.send("CLIENT", "KILL", "ID", id, as: Int.self) == 1)
        let ending = await held.value
        #expect(ending.error?.code == .connectionLost && ending.error?.outcome == .indeterminate)
        #expect(redis.hasEnded)
        let next = try stage.io.redis("own")
        #expect(next !== redis)
        #expect(try await next.send("PING") == .simpleString("PONG"))
        await other.close()
        try await stage.leave()
    }
}
