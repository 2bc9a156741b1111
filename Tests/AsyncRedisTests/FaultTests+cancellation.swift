@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

extension FaultTests {
    #if DEBUG
        /// One is on the wire, and so many wait for its permit.
        ///
        /// Unoptimised, looking through them takes twenty times as long.
        private static let crowd = 5000
    #else
        /// One is on the wire, and so many wait for its permit.
        private static let crowd = 100_000
    #endif
    /// They have to be told, one by one, and each goes on: in the time that one may be late there is time for so many.
    private static let crowdOfOneMoment = crowd / 50

    @Test func aCancelledAwaitEndsHoweverManyWait() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try Self.mute(names)
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: nil, livenessTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let endings = Collected<[Ending]>([])
        // A command's time begins when it is cancelled.
        let cancelledAt = Collected(ContinuousClock.now)
        var tasks: [Task<Void, Never>] = []
        for index in 0...Self.crowd {
            tasks.append(
                Task(executorPreference: loop.taskExecutor) {
                    do {
                        _ = try await redis.send("PING", index)
                    } catch {
                        let lateness = ContinuousClock.now - cancelledAt.value
                        endings.update { $0.append(Ending(error: error as? RedisError, lateness: lateness)) }
                    }
                }
            )
        }
        let isCrowded = await eventually {
            await loop.run { redis.connection.machine.value.waitingCount } == Self.crowd
        }
        #expect(isCrowded)

        let noise = SchedulingNoise(besides: "fault")
        for index in [0, 1, Self.crowd / 2, Self.crowd * 2 / 3, Self.crowd - 1, Self.crowd] {
            cancelledAt.update { $0 = .now }
            tasks[index].cancel()
            await tasks[index].value
        }
        let allowance = Self.grace + (await noise.stop())
        let outcomes = endings.value.map(\.sight)
        let waited = [Sight?](repeating: Sight(.cancelled, .notSent), count: 5)
        #expect(outcomes == [Sight(.cancelled, .indeterminate)] + waited)
        for ending in endings.value { #expect(isSanitized || ending.lateness <= allowance, "\(ending)") }
        #expect(endings.value.last?.error?.situation.map { $0.commandsAhead > Self.crowd - 10 } == true)

        // The others are as they were, until the end takes all of them.
        #expect(await loop.run { redis.connection.machine.value.waitingCount } == Self.crowd - 5)
        redis.shutdown()
        for task in tasks { await task.value }
        #expect(endings.value.count == Self.crowd + 1)
        #expect(endings.value.dropFirst(6).allSatisfy { $0.sight == Sight(.clientClosed, .notSent) })
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        #expect(names.value == ["PING"])
        await loop.shutdown()
        server.stop()
    }

    @Test func aCrowdWhoseTimeRunsOutInOneMomentEndsInTime() async throws {
        let loop = EventLoop(name: "fault")
        let names = Collected<[String]>([])
        let server = try Self.mute(names)
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: nil, livenessTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let limit = Duration.seconds(3)
        let noise = SchedulingNoise(besides: "fault")
        let due = ContinuousClock.now + limit
        let endings = await withIOTimeout(limit) {
            await loop.run {
                await withTaskGroup(of: Ending.self) { group in
                    for _ in 0..<Self.crowdOfOneMoment {
                        group.addTask {
                            do throws(RedisError) {
                                _ = try await redis.send("PING")
                                return Ending(error: nil, lateness: .zero)
                            } catch {
                                return Ending(error: error, lateness: ContinuousClock.now - due)
                            }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
            }
        }
        let allowance = Self.grace + (await noise.stop())
        let worst = endings.map(\.lateness).max() ?? .zero
        #expect(worst <= allowance)
        #expect(endings.count { $0.sight == Sight(.deadlineExceeded, .notSent) } == Self.crowdOfOneMoment - 1)
        redis.shutdown()
        await loop.shutdown()
        server.stop()
    }

    @Test func aStormOfCancellationsLeavesEveryoneElseHisOwnReply() async throws {
        let loop = EventLoop(name: "fault")
        let server = try ScriptedServer { connection in
            while let words = connection.readTextCommand(), let question = words.last {
                connection.write("$\(question.utf8.count)\r\n\(question)\r\n")
            }
        }
        let policy = EndpointPolicy(maxInflight: 16, commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let ends = Collected<[RedisError.Outcome?: Int]>([:])
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<6000 {
                group.addTask {
                    let question = "question \(number)"
                    let ask: @concurrent @Sendable () async -> Void = {
                        do throws(RedisError) {
                            let reply = try await redis.send("ECHO", question)
                            #expect(reply == .bulkString(question))
                            ends.update { $0[nil, default: 0] += 1 }
                        } catch {
                            #expect(error.code == .cancelled)
                            ends.update { $0[error.outcome, default: 0] += 1 }
                        }
                    }
                    let task = Task {
                        if number.isMultiple(of: 2) { await loop.run(ask) } else { await ask() }
                    }
                    if number % 3 == 0 {
                        await Task.yield()
                        task.cancel()
                    }
                    await task.value
                }
            }
        }
        #expect(ends.value.values.reduce(0, +) == 6000)
        #expect(ends.value[nil, default: 0] >= 4000)
        // Whoever was cancelled with his command on the wire has left a tombstone, whose reply is still to come.
        #expect(try await redis.send("ECHO", "last") == .bulkString("last"))
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await redis.close()
        await loop.shutdown()
        server.stop()
    }
}
