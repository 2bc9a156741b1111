@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@testable import IOCalls
@_spi(Driver) import UVLoop

/// Who waits, who runs, and who has a permit.
@Suite struct CallsTests: CallsSuite {
    let loop = EventLoop(name: "calls-test")
    let limiter = InflightLimiter(capacity: 2)

    @Test func timesForCLibrariesAreRoundedUpAndFit() {
        #expect(Duration.nanoseconds(1).clampedMilliseconds == 1)
        #expect(Duration.microseconds(1001).clampedMilliseconds == 2)
        #expect(Duration.seconds(Int64.max).clampedMilliseconds == Int(Int32.max))
    }

    @Test func anErrorKeepsItsCauseAndIsLegible() {
        let error = KindError<Fake>(
            .connectFailed,
            .notSent,
            endpoint: "e",
            "naïve\u{1b}[2J\nwords\u{9b}",
            ioError: IOError(errno: 2)
        )
        let other = error.with(.indeterminate)
        #expect(other.ioError?.name == "ENOENT")
        #expect(other.message == error.message)
        #expect("\(other)" == "Fake e: naïve\\x1b[2J\\x0awords\\x9b (sent: it may have run)")
    }

    @Test func permitsGoToThoseThatCameFirst() async {
        let server = await server()
        var tasks: [Task<Result<String, KindError<Fake>>, Never>] = []
        for name in ["a", "b", "c", "d"] { tasks.append(await call(name, server)) }
        await loop.run { [limiter] in
            #expect(server.log == ["start a", "start b"])
            server.finish("b")
            #expect(server.log == ["start a", "start b", "start c"])
            server.finish("a")
            #expect(server.log == ["start a", "start b", "start c", "start d"])
            #expect(limiter.inflight == 2)
            server.finish("d")
            server.finish("c")
            #expect(limiter.inflight == 0)
        }
        for (task, name) in zip(tasks, ["a", "b", "c", "d"]) {
            #expect((try? await task.value.get()) == "answer to \(name)")
        }
        await loop.shutdown()
    }

    @Test func aSeatServesOneAtATimeAndNoLaneStarvesAnother() async {
        let server = await server(seats: [1, 1])
        var tasks = [await call("r1", server), await call("r2", server), await call("r3", server)]
        tasks.append(await call("w1", server, lane: 1))
        tasks.append(await call("w2", server, lane: 1))
        await loop.run {
            #expect(server.log == ["start r1", "start w1"])
            server.finish("w1")
            server.finish("r1")
            #expect(server.log == ["start r1", "start w1", "start w2", "start r2"])
            server.finish("r2")
            server.finish("r3")
            server.finish("w2")
        }
        for task in tasks { _ = await task.value }
        await loop.shutdown()
    }

    @Test func aCallThatIsPutBackIsTheFirstAgainAndItsSeatIsLost() async {
        let server = await server(seats: [2])
        let tasks = [await call("a", server), await call("b", server), await call("c", server)]
        await loop.run { [limiter] in
            let second = server.started.remove(at: 1)
            server.calls.putBack(second)
            server.calls.putBack(second)
            server.calls.finish(second, .success("an answer of nobody's"))
            #expect(limiter.inflight == 1)
            #expect(limiter.backlog.all.commands == 2)
            server.finish("a")
            server.finish("b")
            server.finish("c")
            #expect(server.log == ["start a", "start b", "start b", "start c"])
            #expect(limiter.inflight == 0)
            #expect(limiter.backlog.all == .init())
        }
        for (task, name) in zip(tasks, ["a", "b", "c"]) {
            #expect((try? await task.value.get()) == "answer to \(name)")
        }
        await loop.shutdown()
    }

    @Test func withOnePermitTheLanesAreServedInTheOrderOfTheirCalls() async {
        let limiter = InflightLimiter(capacity: 1)
        let loop = loop
        let server = await loop.run {
            let server = FakeServer(.patient, lanes: 2, limiter, loop)
            for lane in 0..<2 { server.calls.addSeats(9, lane: lane) }
            return server
        }
        var tasks: [Task<Result<String, KindError<Fake>>, Never>] = []
        let names = ["r1", "r2", "w1", "r3", "w2"]
        for name in names { tasks.append(await call(name, server, lane: name.hasPrefix("w") ? 1 : 0)) }
        await loop.run { for name in names { server.finish(name) } }
        for task in tasks { _ = await task.value }
        await loop.run { #expect(server.log == names.map { "start \($0)" }) }
        await loop.shutdown()
    }

    @Test func whatWaitsIsCountedToTheEdge() async {
        let policy = EndpointPolicy(maxInflight: 2, maxWaiting: 1, commandTimeout: nil)
        let limiter = InflightLimiter(policy)
        let server = await server(policy, limiter: limiter)
        let accepted = [await call("a", server), await call("b", server), await call("c", server)]
        do throws(KindError<Fake>) {
            _ = try await server.calls.perform("d", timeout: nil)
            Issue.record("it was accepted")
        } catch {
            #expect(error.code == .overloaded)
            #expect(error.outcome == .notSent)
        }
        await loop.run { for name in ["a", "b", "c"] { server.finish(name) } }
        for task in accepted { #expect((try? await task.value.get())?.hasPrefix("answer") == true) }
        await loop.shutdown()
    }

    /// Wherever the task runs; and what has waited leaves its room behind.
    @Test(arguments: [true, false])
    func bytesThatWaitAreCountedToTheEdge(onLoop: Bool) async {
        let policy = EndpointPolicy(maxInflight: 1, maxQueuedBytes: 10, commandTimeout: nil)
        let limiter = InflightLimiter(policy)
        let (server, other) = (
            await server(policy, limiter: limiter), await server(policy, limiter: limiter)
        )
        let (first, second) = (await call("running-now", server), await call("12345678", other))
        @Sendable func end(of name: String, _ timeout: Duration) async -> KindError<Fake>? {
            do throws(KindError<Fake>) {
                _ = try await server.calls.perform(name, timeout: timeout)
                return nil
            } catch {
                return error
            }
        }
        func endThere(_ name: String, _ timeout: Duration) async -> KindError<Fake>? {
            onLoop ? await loop.run { await end(of: name, timeout) } : await end(of: name, timeout)
        }
        for _ in 0..<3 {
            let refused = await endThere("123", .seconds(60))
            #expect(refused?.code == .overloaded)
            #expect(refused?.outcome == .notSent)
            // It has room, and waits, and leaves it to the next.
            #expect(await endThere("12", .milliseconds(1))?.code == .deadlineExceeded)
        }
        await loop.run { server.finish("running-now") }
        _ = await first.value
        await loop.run { other.finish("12345678") }
        _ = await second.value
        await loop.run { #expect(limiter.backlog.all == .init()) }
        await loop.shutdown()
    }

    @Test func theLoopIsNotFloodedByTasksElsewhere() async throws {
        let policy = EndpointPolicy(maxInflight: 1, maxWaiting: 3, commandTimeout: nil)
        let limiter = InflightLimiter(policy)
        let server = await server(policy, limiter: limiter)
        let (isHeld, mayGoOn) = (Gate(), Gate())
        loop.post {
            isHeld.open()
            mayGoOn.waitOnThread()
        }
        await isHeld.wait()
        let refused = Collected(0)
        let tasks = (0..<20).map { number in
            Task {
                do throws(KindError<Fake>) {
                    _ = try await server.calls.perform("\(number)", timeout: nil)
                } catch {
                    refused.update { $0 += error.code == .overloaded ? 1 : 0 }
                }
            }
        }
        // Nothing of them has reached the loop: one for its permit, and three that wait.
        #expect(await eventually { refused.value == 16 })
        mayGoOn.open()
        await loop.run { server.answersAtOnce = true }
        #expect(
            await eventually {
                await loop.run {
                    for number in 0..<20 { server.finish("\(number)") }
                    return limiter.inflight == 0 && limiter.backlog.all == .init()
                }
            }
        )
        for task in tasks { await task.value }
        #expect(refused.value == 16)
        await loop.shutdown()
    }

    @Test func answersThatComeAtOnceDoNotPileUpOnTheStack() async throws {
        let server = await server(seats: [0])
        await loop.run { server.answersAtOnce = true }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<20_000 {
                group.addTask { _ = try await server.calls.perform("\(number)", timeout: nil) }
            }
            #expect(await eventually { await loop.run { server.calls.waitingCount } == 20_000 })
            await loop.run { server.calls.addSeats(1) }
            try await group.waitForAll()
        }
        await loop.run { [limiter] in #expect(limiter.inflight == 0) }
        await loop.shutdown()
    }
}
