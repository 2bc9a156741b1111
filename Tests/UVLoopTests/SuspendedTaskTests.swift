import Glibc
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

        /// How many jobs come to an executor while `body` runs here.
        func jobs(of executor: CountingExecutor, meanwhile body: () async throws -> Void) async rethrows
            -> Int
        {
            let before = executor.jobs
            try await body()
            assertIsolated()
            return executor.jobs - before
        }

        /// How many jobs have come to an executor when a child task runs that is made after a suspension.
        func jobsForChild(of executor: CountingExecutor) async -> Int {
            await SuspendedTask<Void>.suspend(servedBy: loop) { $0.resume(()) }
            return await withTaskGroup(of: Int.self) { group in
                // Behind the group's own way to that executor.
                let before = executor.jobs
                group.addTask { @concurrent in executor.jobs - before }
                return await group.next() ?? 0
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

    enum Resumer: CaseIterable { case itself, loop, foreignThread }

    /// On a closed loop on the threads that do its work.
    @Test(arguments: Resumer.allCases, [true, false])
    func anActorOfTheServingLoopComesBackWithoutAWayRound(resumer: Resumer, isRunning: Bool) async {
        let loop = EventLoop(name: "home")
        if !isRunning { await loop.shutdown() }
        let executor = CountingExecutor()
        let jobs = await withTaskExecutorPreference(executor) {
            await OnLoop(loop)
                .jobs(of: executor) {
                    for number in 0..<100 {
                        let value = await SuspendedTask<Int>.suspend(servedBy: loop) { task in
                            switch resumer {
                            case .itself: task.resume(number)
                            case .loop: loop.post { task.resume(number) }
                            case .foreignThread: onForeignThread { task.resume(number) }
                            }
                        }
                        #expect(value == number)
                        #expect(loop.isOnLoop)
                    }
                }
        }
        #expect(jobs == 0, "by way of the executor that its task prefers")
        await loop.shutdown()
    }

    enum Wait: CaseIterable { case sleep, offload, shutdown }

    @Test(arguments: Wait.allCases)
    func anActorWaitsForItsLoopWithoutAWayRound(wait: Wait) async throws {
        let loop = EventLoop(name: "home")
        let executor = CountingExecutor()
        let jobs = try await withTaskExecutorPreference(executor) {
            try await OnLoop(loop)
                .jobs(of: executor) {
                    switch wait {
                    case .sleep: try await loop.sleep(for: .milliseconds(1))
                    case .offload: try await loop.offload {}
                    case .shutdown: await loop.shutdown()
                    }
                }
        }
        #expect(jobs == 0, "by way of the executor that its task prefers")
        await loop.shutdown()
    }

    @Test func anActorsTaskPrefersAfterwardsWhatItPreferredBefore() async {
        let executor = CountingExecutor()
        let jobs = await withTaskExecutorPreference(executor) { [loop] in
            await OnLoop(loop).jobsForChild(of: executor)
        }
        #expect(jobs > 0, "a child task did not go where its parent prefers to be")
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

    #if DEBUG
        // Each is on its loop: what is posted runs only once the task has been suspended, and ends a process that was not stopped.

        @Test func aSecondResumptionStopsADebugBuild() async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                await Self.suspendOnLoop { task in
                    task.resume(())
                    task.resume(())
                }
            }
            #expect(told(result, "a suspended task was resumed twice"))
        }

        @Test func aQuestionAfterTheResumptionStopsADebugBuild() async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                await Self.suspendOnLoop { task in
                    task.resume(())
                    #expect(!task.isCancelled)
                }
            }
            #expect(told(result, "a suspended task was asked about after it was resumed"))
        }

        @Test func aTaskThatIsForgottenStopsADebugBuild() async {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                await Self.suspendOnLoop { _ in }
            }
            #expect(told(result, "nobody has a suspended task any more, and it was not resumed"))
        }

        private static func suspendOnLoop(_ body: @Sendable (SuspendedTask<Void>) -> Void) async {
            let loop = EventLoop(name: "suspended-test")
            await loop.run {
                await SuspendedTask<Void>.suspend(servedBy: loop) { task in
                    loop.post { exit(EXIT_SUCCESS) }
                    body(task)
                }
            }
        }

        private func told(_ result: ExitTest.Result?, _ message: String) -> Bool {
            guard let result else { return false }
            return String(decoding: result.standardErrorContent, as: UTF8.self).contains(message)
        }
    #endif
}
