import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// A task goes on where it was suspended, whoever resumes it.
@Suite struct SuspendedTaskTests {
    private let loop = EventLoop(name: "suspended-test")

    /// Suspends the caller; another thread resumes it with `value`, at once or after it has gone to sleep.
    private func suspend(_ value: String, _ elsewhere: EventLoop) async -> String {
        await SuspendedTask<String>.suspend { task in elsewhere.post { task.resume(value) } }
    }

    private actor Plain {
        func check(_ suspend: (String) async -> String) async -> Bool {
            for number in 0..<100 {
                let value = await suspend("\(number)")
                assertIsolated()
                guard value == "\(number)" else { return false }
            }
            return true
        }
    }

    private actor OnLoop {
        let loop: EventLoop
        init(_ loop: EventLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe loop.serialExecutor.asUnownedSerialExecutor()
        }

        func check(_ suspend: (String) async -> String) async -> Bool {
            for number in 0..<100 {
                let value = await suspend("\(number)")
                assertIsolated()
                guard value == "\(number)", loop.isOnLoop else { return false }
            }
            return true
        }
    }

    @MainActor private func checkOnMainActor(_ elsewhere: EventLoop) async -> Bool {
        for number in 0..<100 {
            let value = await suspend("\(number)", elsewhere)
            MainActor.assertIsolated()
            guard value == "\(number)" else { return false }
        }
        return true
    }

    @Test func anActorsTaskGoesOnOnItsActor() async {
        let elsewhere = EventLoop(name: "elsewhere")
        #expect(await Plain().check { await suspend($0, elsewhere) })
        #expect(await OnLoop(loop).check { await suspend($0, elsewhere) })
        #expect(await checkOnMainActor(elsewhere))
        // Also with a preference that has no say where an actor is.
        #expect(await loop.run { await Plain().check { await suspend($0, elsewhere) } })
        await elsewhere.shutdown()
    }

    @Test func aTaskOfTheLoopGoesOnOnTheLoop() async {
        let elsewhere = EventLoop(name: "elsewhere")
        let stays = await loop.run { [loop] in
            for number in 0..<100 {
                let value = await suspend("\(number)", elsewhere)
                guard value == "\(number)", loop.isOnLoop else { return false }
            }
            return true
        }
        #expect(stays)
        let isElsewhere = await Task.detached { [loop] in
            let value = await suspend("x", loop)
            return value == "x" && !loop.isOnLoop
        }.value
        #expect(isElsewhere, "a task without a preference goes on on the pool, not where it was resumed")
        await elsewhere.shutdown()
    }

    @Test func aSuspendedTaskKnowsThatItIsCancelled() async {
        let suspended = Gate()
        let handedOut = Collected<SuspendedTask<Bool>?>(nil)
        let task = Task {
            await SuspendedTask<Bool>.suspend { task in
                handedOut.update { $0 = task }
                suspended.open()
            }
        }
        await suspended.wait()
        #expect(handedOut.value?.isCancelled == false)
        task.cancel()
        #expect(handedOut.value?.isCancelled == true)
        handedOut.value?.resume(true)
        #expect(await task.value)
    }
}
