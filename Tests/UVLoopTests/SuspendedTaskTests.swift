import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// A task goes on where it was suspended, whoever resumes it.
@Suite struct SuspendedTaskTests {
    private let loop = EventLoop(name: "suspended-test")

    /// Suspends the caller; another thread resumes it with `value`, at once or after it has gone to sleep.
    private func suspend(_ value: String, _ elsewhere: EventLoop) async -> String {
        await SuspendedTask<String>.suspend(servedBy: elsewhere) { task in
            elsewhere.post { task.resume(value) }
        }
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

        /// Makes a child task, after it was suspended.
        func makesChild() async -> Bool {
            await SuspendedTask<Void>.suspend(servedBy: loop) { task in loop.post { task.resume(()) } }
            return await withTaskGroup(of: Bool.self) { group in
                group.addTask { @concurrent in true }
                return await group.next() ?? false
            }
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

    @Test(arguments: [true, false])
    func anActorOfTheServingLoopComesBackWithoutAWayRound(isRunning: Bool) async {
        let loop = EventLoop(name: "home")
        // Later, on the threads that do a closed loop's work.
        if !isRunning { await loop.shutdown() }
        let executor = CountingExecutor()
        await withTaskExecutorPreference(executor) {
            let home = OnLoop(loop)
            #expect(
                await home.check { value in
                    let before = executor.jobs
                    let gone = await suspend(value, loop)
                    return executor.jobs == before ? gone : "by way of the executor it prefers"
                }
            )
            let before = executor.jobs
            #expect(await home.makesChild())
            #expect(executor.jobs > before, "a child task goes where its parent prefers to be, as before")
        }
        await loop.shutdown()
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
        let task = Task { [loop] in
            await SuspendedTask<Bool>.suspend(servedBy: loop) { task in
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
