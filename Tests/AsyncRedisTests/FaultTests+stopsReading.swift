@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

extension FaultTests {
    /// A server that reads a first command, then nothing until it may, and then everything that was sent to it.
    ///
    /// Each command is answered with its own name.
    struct Sluggish {
        let server: ScriptedServer
        let hasReadTheFirst = Gate()
        let mayAnswerTheFirst = Gate()
        let mayReadOn = Gate()
        let commands = Collected<[String]>([])

        init() throws {
            server = try ScriptedServer {
                [hasReadTheFirst, mayAnswerTheFirst, mayReadOn, commands] connection in
                guard let first = connection.readTextCommand()?.first else { return }
                commands.update { $0.append(first) }
                hasReadTheFirst.open()
                mayAnswerTheFirst.waitOnThread()
                connection.write("+\(first)\r\n")
                mayReadOn.waitOnThread()
                while let name = connection.readCommand()?.first {
                    let text = String(decoding: name, as: UTF8.self)
                    commands.update { $0.append(text) }
                    connection.write("+\(text)\r\n")
                }
            }
        }

        func stop() {
            mayAnswerTheFirst.open()
            mayReadOn.open()
            server.stop()
        }
    }

    private static let large = [UInt8](repeating: 0x61, count: 64 << 20)

    /// Sends a large command, and waits until the socket has taken a part of it and takes no more.
    ///
    /// - Returns: the command, or nil if its time was over before.
    func fillSocket(_ redis: AsyncRedisClient, _ loop: EventLoop, within limit: Duration?) async
        -> Task<Ending, Never>?
    {
        let bytes = Self.large
        let hasEnded = Gate()
        let large = Task {
            defer { hasEnded.open() }
            return await Ending.of(within: limit ?? .zero) {
                _ = try await redis.send("SET", "k", bytes, timeout: limit)
            }
        }
        while true {
            let (handedOver, unsent) = await loop.run {
                (redis.connection.writer.bytesHandedOver, redis.connection.unsentBytes)
            }
            if handedOver > 1000, unsent > 0 { return large }
            if hasEnded.isOpen {
                #expect(await large.value.sight == Sight(.deadlineExceeded, .notSent))
                return nil
            }
            await Task.yield()
        }
    }

    @Test func aServerThatStopsReadingHoldsUpNobodyWhoIsAnswered() async throws {
        let loop = EventLoop(name: "fault")
        let sluggish = try Sluggish()
        let policy = EndpointPolicy(commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: sluggish.server.url, on: loop, policy: policy)
        let first = Task { try await redis.send("FIRST") }
        await sluggish.hasReadTheFirst.wait()

        // On a busy machine its time may be over before the socket is full: then it gets more.
        var limit = Duration.seconds(1)
        var filling = await fillSocket(redis, loop, within: limit)
        while filling == nil {
            limit *= 4
            filling = await fillSocket(redis, loop, within: limit)
        }
        let large = try #require(filling)
        let noise = SchedulingNoise(besides: "fault")
        let behind = [true, false].map { isOnLoop in
            Task {
                await Ending.of(within: .milliseconds(200)) {
                    if isOnLoop {
                        try await loop.run { _ = try await redis.send("BEHIND", timeout: .milliseconds(200)) }
                    } else {
                        _ = try await redis.send("BEHIND", timeout: .milliseconds(200))
                    }
                }
            }
        }
        // The reply gets through while most of the large command is still here.
        sluggish.mayAnswerTheFirst.open()
        #expect(try await first.value == .simpleString("FIRST"))
        #expect(await loop.run { redis.connection.unsentBytes } > 1 << 20)

        var endings: [Ending] = []
        for command in behind { endings.append(await command.value) }
        for ending in endings {
            #expect(ending.sight == Sight(.deadlineExceeded, .notSent))
            #expect(ending.error?.situation?.phase == .waitingToBeWritten)
            #expect(ending.error?.situation.map { $0.queuedBytes > 1 << 20 } == true)
        }
        endings.append(await large.value)
        let allowance = Self.grace + (await noise.stop())
        #expect(endings.last?.sight == Sight(.deadlineExceeded, .indeterminate))
        #expect(endings.last?.error?.situation?.phase == .waitingForReply)
        for ending in endings { #expect(ending.lateness <= allowance, "\(ending)") }

        // What was late has left nothing behind: the server reads the large command whole, and then the next one.
        sluggish.mayReadOn.open()
        #expect(try await redis.send("AFTER") == .simpleString("AFTER"))
        #expect(sluggish.commands.value == ["FIRST", "SET", "AFTER"])
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await redis.close()
        await loop.shutdown()
        sluggish.stop()
    }

    @Test func whatIsCancelledBehindAFullSocketIsNeverSent() async throws {
        let loop = EventLoop(name: "fault")
        let sluggish = try Sluggish()
        let policy = EndpointPolicy(commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: sluggish.server.url, on: loop, policy: policy)
        async let first = redis.send("FIRST")
        await sluggish.hasReadTheFirst.wait()
        let large = try #require(await fillSocket(redis, loop, within: nil))
        let behind = Task { await Ending.of(within: .zero) { _ = try await redis.send("BEHIND") } }
        #expect(await eventually { await loop.run { redis.connection.machine.value.inflight == 3 } })
        for (task, outcome) in [(behind, RedisError.Outcome.notSent), (large, .indeterminate)] {
            task.cancel()
            #expect(await task.value.sight == Sight(.cancelled, outcome))
        }
        sluggish.mayAnswerTheFirst.open()
        sluggish.mayReadOn.open()
        #expect(try await first == .simpleString("FIRST"))
        #expect(try await redis.send("AFTER") == .simpleString("AFTER"))
        #expect(sluggish.commands.value == ["FIRST", "SET", "AFTER"])
        await redis.close()
        await loop.shutdown()
        sluggish.stop()
    }

    @Test func anEndWithAFullSocketSaysWhatHadBeenSent() async throws {
        let loop = EventLoop(name: "fault")
        let sluggish = try Sluggish()
        let policy = EndpointPolicy(commandTimeout: nil, livenessTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: sluggish.server.url, on: loop, policy: policy)
        let first = Task { await Ending.of(within: .zero) { _ = try await redis.send("FIRST") } }
        await sluggish.hasReadTheFirst.wait()
        let large = try #require(await fillSocket(redis, loop, within: nil))
        let behind = Task { await Ending.of(within: .zero) { _ = try await redis.send("BEHIND") } }
        #expect(await eventually { await loop.run { redis.connection.machine.value.inflight == 3 } })
        sluggish.server.stop()
        var sights: [Sight?] = []
        for task in [first, large, behind] { sights.append(await task.value.sight) }
        let expected: [RedisError.Outcome] = [.indeterminate, .indeterminate, .notSent]
        #expect(sights == expected.map { Sight(.connectionLost, $0) })
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await loop.shutdown()
        sluggish.stop()
    }
}
