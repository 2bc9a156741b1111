@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

/// Where a command's time can be limited, in milliseconds; nil for no limit there.
struct Limits: Sendable, CustomTestStringConvertible {
    var policy: Int64?
    var outer: Int64?
    var inner: Int64?
    var call: Int64?
    /// Which of them is to end the command.
    let earliest: Int64

    var testDescription: String {
        [("policy", policy), ("outer", outer), ("inner", inner), ("call", call)]
            .compactMap { name, time in time.map { "\(name) \($0) ms" } }.joined(separator: ", ")
    }

    static let all = [
        Limits(policy: 60, earliest: 60), Limits(call: 60, earliest: 60), Limits(outer: 60, earliest: 60),
        Limits(policy: 60, call: 240, earliest: 60), Limits(policy: 240, call: 60, earliest: 60),
        Limits(policy: 240, outer: 60, call: 360, earliest: 60),
        Limits(policy: 240, outer: 360, call: 60, earliest: 60),
        Limits(policy: 60, outer: 240, inner: 360, call: 480, earliest: 60),
        Limits(outer: 60, inner: 240, earliest: 60), Limits(outer: 240, inner: 60, earliest: 60),
        Limits(policy: 360, outer: 480, inner: 240, call: 60, earliest: 60),
    ]
}

extension FaultTests {
    /// A server that reads what comes, answers nothing and keeps the commands' names.
    static func mute(_ names: Collected<[String]> = Collected([])) throws -> ScriptedServer {
        try ScriptedServer { connection in
            while let name = connection.readTextCommand()?.first { names.update { $0.append(name) } }
        }
    }

    /// Holds a measured time against the limit it should have had, before which it must not end.
    private func check(_ ending: Ending, _ noise: Duration, _ what: String = "") {
        #expect(ending.error?.code == .deadlineExceeded)
        #expect(ending.lateness <= Self.grace + noise, "\(what) \(ending)")
        #expect(ending.lateness >= .zero, "\(what) \(ending)")
    }

    @Test(arguments: Limits.all, [true, false])
    func theEarliestLimitEndsACommand(limits: Limits, isOnLoop: Bool) async throws {
        let loop = EventLoop(name: "fault")
        let server = try Self.mute()
        let policy = EndpointPolicy(commandTimeout: limits.policy.map { .milliseconds($0) })
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let noise = SchedulingNoise(besides: "fault")
        let forever = Duration.seconds(3600)
        let call: @concurrent @Sendable () async throws -> Void = {
            _ = try await redis.send("PING", timeout: limits.call.map { .milliseconds($0) })
        }
        let ending = await Ending.of(within: .milliseconds(limits.earliest)) {
            try await withIOTimeout(limits.outer.map { .milliseconds($0) } ?? forever) {
                try await withIOTimeout(limits.inner.map { .milliseconds($0) } ?? forever) {
                    if isOnLoop { try await loop.run(call) } else { try await call() }
                }
            }
        }
        check(ending, await noise.stop())
        await loop.shutdown()
        server.stop()
    }

    @Test func theDefaultLimitIsTwoSeconds() async throws {
        let loop = EventLoop(name: "fault")
        let server = try Self.mute()
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        let noise = SchedulingNoise(besides: "fault")
        let ending = await Ending.of(within: .seconds(2)) { _ = try await redis.hget("k", "f") }
        check(ending, await noise.stop())
        await loop.shutdown()
        server.stop()
    }

    @Test func aTasksLimitIsItsChildrensToo() async throws {
        let loop = EventLoop(name: "fault")
        let server = try Self.mute()
        let policy = EndpointPolicy(commandTimeout: .milliseconds(240))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let noise = SchedulingNoise(besides: "fault")
        let (inherited, own) = (Duration.milliseconds(60), Duration.milliseconds(240))
        let endings = await withIOTimeout(inherited) {
            async let child = Ending.of(within: inherited) { _ = try await redis.send("PING") }
            async let onLoop = loop.run {
                await Ending.of(within: inherited) { _ = try await redis.send("PING") }
            }
            let unstructured = Task {
                await Ending.of(within: inherited) { _ = try await redis.send("PING") }
            }
            // Which has no parent, and so no limit of one.
            let detached = Task.detached { await Ending.of(within: own) { _ = try await redis.send("PING") } }
            return [await child, await onLoop, await unstructured.value, await detached.value]
        }
        // What is used up of a task's limit is used up for its later commands too.
        let second = await Ending.of(within: inherited) {
            try await withIOTimeout(inherited) {
                _ = try? await redis.send("PING", timeout: .milliseconds(30))
                _ = try await redis.send("PING")
            }
        }
        let measured = await noise.stop()
        for (index, ending) in endings.enumerated() { check(ending, measured, "\(index)") }
        check(second, measured)
        await loop.shutdown()
        server.stop()
    }

    @Test func aLimitThatIsOverSendsNothing() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try ScriptedServer { connection in
            while let name = connection.readTextCommand()?.first {
                names.update { $0.append(name) }
                connection.write("+OK\r\n")
            }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        for isOnLoop in [true, false] {
            let late: @concurrent @Sendable () async throws -> Void = {
                _ = try await redis.send("LATE", timeout: .zero)
            }
            let ambient: @concurrent @Sendable () async throws -> Void = {
                try await withIOTimeout(.zero) { _ = try await redis.send("LATE") }
            }
            for call in [late, ambient] {
                let ending = await Ending.of(within: .zero) {
                    if isOnLoop { try await loop.run(call) } else { try await call() }
                }
                #expect(ending.sight == Sight(.deadlineExceeded, .notSent))
            }
        }
        _ = try await redis.send("PING")
        #expect(names.value == ["PING"])
        await loop.shutdown()
        server.stop()
    }
}
