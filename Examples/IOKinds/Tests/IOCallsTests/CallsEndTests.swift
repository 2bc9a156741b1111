@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@testable import IOCalls
@_spi(Driver) import UVLoop

/// Holds a server without keeping it alive.
private final class Weak: @unchecked Sendable {
    // Safe to share: a weak reference is for any thread, and it is set once, before others look.
    weak var server: FakeServer?
}

/// How calls end early, and how their client ends.
@Suite struct CallsEndTests: CallsSuite {
    let loop = EventLoop(name: "calls-test")
    let limiter = InflightLimiter(capacity: 2)

    @Test func anAbandonedCallHoldsItsPermitUntilItIsOver() async {
        let server = await server()
        let (first, second, third) = (
            await call("a", server), await call("b", server), await call("c", server)
        )
        first.cancel()
        let end = await first.value
        #expect(throws: KindError<Fake>.self) { try end.get() }
        if case .failure(let error) = end {
            #expect(error.code == .cancelled)
            #expect(error.outcome == .indeterminate)
        }
        await loop.run { [limiter] in
            #expect(server.log == ["start a", "start b", "abandon a"])
            #expect(limiter.inflight == 2)
            server.finish("a")
            #expect(server.log.last == "start c")
            server.finish("b")
            server.finish("c")
            #expect(limiter.inflight == 0)
        }
        _ = await (second.value, third.value)
        await loop.shutdown()
    }

    @Test func aCallThatEndsWhileItWaitsIsNeverStarted() async {
        let server = await server(seats: [1])
        let first = await call("a", server)
        let second = await call("b", server)
        let third = await call("c", server, timeout: .milliseconds(10))
        second.cancel()
        for (task, code) in [(second, KindError<Fake>.Code.cancelled), (third, .deadlineExceeded)] {
            guard case .failure(let error) = await task.value else {
                Issue.record("it was answered")
                continue
            }
            #expect(error.code == code)
            #expect(error.outcome == .notSent)
        }
        await loop.run { server.finish("a") }
        _ = await first.value
        await loop.run { #expect(server.log == ["start a"]) }
        await loop.shutdown()
    }

    @Test func theEndTellsEachOnceAndGivesEveryPermitBack() async {
        let server = await server()
        let tasks = [await call("a", server), await call("b", server), await call("c", server)]
        server.calls.shutdown()
        var outcomes: [CallOutcome] = []
        for task in tasks {
            guard case .failure(let error) = await task.value else { continue }
            #expect(error.code == .clientClosed)
            outcomes.append(error.outcome)
        }
        #expect(outcomes == [.indeterminate, .indeterminate, .notSent])
        await loop.run { [limiter] in
            #expect(limiter.inflight == 2)
            #expect(server.log.suffix(2).sorted() == ["abandon a", "abandon b"])
            server.finish("a")
            server.finish("b")
            #expect(server.log.last == "stop")
            #expect(limiter.inflight == 0)
        }
        await loop.shutdown()
    }

    @Test func theServerLivesUntilItHasLetGoOfEveryCall() async {
        let left = Weak()
        func abandonACall() async -> Calls<FakeServer> {
            let server = await server()
            left.server = server
            let task = await call("a", server)
            task.cancel()
            _ = await task.value
            // Its call has been told already: the end has nobody to abandon.
            server.calls.shutdown()
            return server.calls
        }
        let calls = await abandonACall()
        await loop.run { [limiter] in
            #expect(limiter.inflight == 1)
            calls.server?.finish("a")
            #expect(limiter.inflight == 0)
        }
        #expect(await eventually { left.server == nil })
        await loop.shutdown()
    }

    @Test func closeWaitsForAnswers() async {
        let server = await server()
        let task = await call("a", server)
        let isClosed = Gate()
        let closing = Task {
            await server.calls.close(timeout: .seconds(3600))
            isClosed.open()
        }
        #expect(await eventually { server.calls.hasEnded })
        do throws(KindError<Fake>) {
            _ = try await server.calls.perform("b", timeout: nil)
            Issue.record("it was accepted")
        } catch {
            #expect(error.code == .clientClosed)
        }
        #expect(!isClosed.isOpen)
        await loop.run { server.finish("a") }
        #expect((try? await task.value.get()) == "answer to a")
        await closing.value
        await loop.run { #expect(server.log == ["start a", "stop"]) }
        await loop.shutdown()
    }

    @Test func closeHasItsTimeoutAlsoOnceTheClientHasEnded() async {
        let server = await server()
        await loop.run { server.stopsLater = true }
        server.calls.shutdown()
        func close(_ timeout: Duration) -> (Task<Void, Never>, Gate) {
            let isClosed = Gate()
            let task = Task {
                await server.calls.close(timeout: timeout)
                isClosed.open()
            }
            return (task, isClosed)
        }
        let (first, isFirstClosed) = close(.milliseconds(20))
        #expect(await eventually { isFirstClosed.isOpen })
        await loop.run {
            #expect(server.log == ["stop"])
            #expect(!server.calls.hasStopped)
        }
        let (second, isSecondClosed) = close(.seconds(3600))
        #expect(await eventually { await loop.run { !server.calls.closeWaiters.isEmpty } })
        #expect(!isSecondClosed.isOpen)
        await loop.shutdown()
        // There is no timer on a loop that is gone.
        let (third, isThirdClosed) = close(.seconds(3600))
        #expect(await eventually { isThirdClosed.isOpen })
        loop.post { server.calls.stopped() }
        for task in [first, second, third] { await task.value }
    }

    /// What was abandoned is never over: nothing but time, or the end of time, ends a close that waits for it.
    @Test(arguments: [true, false])
    func aCloseThatWaitsEndsAfterAShutdownToo(isLoops: Bool) async {
        let server = await server()
        let task = await call("a", server)
        let isClosed = Gate()
        let closing = Task {
            await server.calls.close(timeout: isLoops ? .seconds(3600) : .milliseconds(100))
            isClosed.open()
        }
        #expect(await eventually { await loop.run { !server.calls.closeWaiters.isEmpty } })
        if isLoops { await loop.shutdown() } else { server.calls.shutdown() }
        guard case .failure(let error) = await task.value else {
            Issue.record("it was answered")
            return
        }
        #expect(error.code == (isLoops ? .loopShutDown : .clientClosed))
        #expect(await eventually { isClosed.isOpen })
        loop.post {
            #expect(!server.calls.hasStopped)
            server.finish("a")
        }
        await closing.value
        await loop.shutdown()
    }

    @Test func theLoopsShutdownEndsThem() async {
        let server = await server()
        let tasks = [await call("a", server), await call("b", server), await call("c", server)]
        await loop.shutdown()
        var outcomes: [CallOutcome] = []
        for task in tasks {
            guard case .failure(let error) = await task.value else { continue }
            #expect(error.code == .loopShutDown)
            outcomes.append(error.outcome)
        }
        #expect(outcomes == [.indeterminate, .indeterminate, .notSent])
        do throws(KindError<Fake>) {
            _ = try await server.calls.perform("d", timeout: nil)
            Issue.record("it was accepted")
        } catch {
            #expect(error.code == .loopShutDown)
        }
    }

    @Test(arguments: [true, false])
    func anIdleClientHearsThatItsLoopShutsDown(hasServed: Bool) async {
        let server = await server()
        if hasServed {
            let task = await call("a", server)
            await loop.run { server.finish("a") }
            _ = await task.value
        }
        // Nothing waits and nothing runs: nobody looks any more.
        #expect(await eventually { await loop.run { !server.calls.isTicking } })
        await loop.shutdown()
        #expect(server.calls.hasEnded)
        await server.calls.close(timeout: .seconds(3600))
        #expect(await loop.run { server.log.last } == "stop")
    }
}
