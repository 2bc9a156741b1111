import TestSupport
import Testing

@testable import UVLoop

/// The end of a loop.
///
/// `uv_loop_close` returning anything but 0 traps in the loop itself, so each test here checks it.
@Suite(.serialized) struct ShutdownTests {
    @Test func shutdownIsIdempotentFromEverywhere() async {
        let loop = EventLoop(name: "test")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { await loop.shutdown() } }
            for _ in 0..<20 { group.addTask { await loop.run { await loop.shutdown() } } }
        }
        await loop.shutdown()
        #expect(!loop.isOnLoop)
    }

    @Test func shutdownOnTheLoopItselfReturns() async {
        let loop = EventLoop(name: "test")
        let value = await loop.run {
            await loop.shutdown()
            return 1
        }
        #expect(value == 1)
    }

    @Test func workPostedBeforeDuringAndAfterRunsOnce() async {
        for _ in 0..<50 {
            let loop = EventLoop(name: "test")
            let count = Collected(0)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<100 { loop.post { count.update { $0 += 1 } } }
                    }
                }
                group.addTask { await loop.shutdown() }
            }
            let gate = Gate()
            loop.post { gate.open() }
            await gate.wait()
            #expect(count.value == 400)
        }
    }

    @Test func tasksGoOnAfterwards() async {
        let loop = EventLoop(name: "test")
        let total = await withTaskGroup(of: Int.self) { group in
            for number in 0..<100 {
                group.addTask {
                    await loop.run {
                        for _ in 0..<20 { await Task.yield() }
                        return number
                    }
                }
            }
            group.addTask {
                await loop.shutdown()
                return 0
            }
            return await group.reduce(0, +)
        }
        #expect(total == 4950)
        #expect(await loop.run { 7 } == 7)
    }

    @Test func aTaskThatYieldsForEverDoesNotKeepOthersFromTheirTurnAfterwards() async {
        let loop = EventLoop(name: "test")
        let yielding = Task(executorPreference: loop.taskExecutor) {
            while !Task.isCancelled { await Task.yield() }
        }
        await loop.shutdown()
        let gate = Gate()
        loop.post { gate.open() }
        // Both would wait for ever behind the one that yields.
        await gate.wait()
        #expect(await loop.run { 7 } == 7)
        yielding.cancel()
        await yielding.value
    }

    /// An actor that lives on a loop, and notices when two threads are in it.
    private actor Guarded {
        private let loop: EventLoop
        private var isInside = false
        private(set) var calls = 0
        init(_ loop: EventLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe loop.serialExecutor.asUnownedSerialExecutor()
        }
        func enter() -> Bool {
            guard !isInside else { return false }
            isInside = true
            for _ in 0..<100 { calls += 1 }
            isInside = false
            return true
        }
    }

    @Test func actorsStaySerialAfterwards() async {
        let loop = EventLoop(name: "test")
        let actor = Guarded(loop)
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    if number == 300 { await loop.shutdown() }
                    return await actor.enter()
                }
            }
            for await wasAlone in group { #expect(wasAlone) }
        }
        #expect(await actor.calls == 100_000)
    }

    @Test func aLoopThatNobodyHoldsEndsItsThread() async {
        let gate = Gate()
        do {
            let loop = EventLoop(name: "dropped-loop")
            loop.post { gate.open() }
        }
        await gate.wait()
        #expect(await eventually { !threadNames().contains("dropped-loop") })
    }

    @Test func threadsAndDescriptorsReturnToWhereTheyWere() async {
        let before = openDescriptors()
        for _ in 0..<20 {
            let loop = EventLoop(name: "counted-loop")
            try? await loop.sleep(for: .milliseconds(1))
            await loop.shutdown()
        }
        #expect(await eventually { !threadNames().contains("counted-loop") })
        // Other suites run beside this one: allow for a few of theirs, not for three times twenty of ours.
        #expect(await eventually { openDescriptors() < before + 30 })
    }
}
