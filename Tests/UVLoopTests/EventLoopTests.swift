import Synchronization
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Running tasks, actors and closures on a loop.
@Suite struct EventLoopTests {
    private struct Failure: Error, Equatable {}

    @Test func runExecutesOnTheLoopAndReturnsItsValue() async {
        let loop = EventLoop(name: "test")
        #expect(!loop.isOnLoop)
        let value = await loop.run {
            #expect(loop.isOnLoop)
            return 42
        }
        #expect(value == 42)
        await loop.shutdown()
    }

    private actor Worker {
        private let loop: EventLoop
        init(on loop: EventLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe loop.serialExecutor.asUnownedSerialExecutor()
        }

        func work(until end: Flag, begun: Gate) async {
            while !end.isSet {
                await SuspendedTask<Void>.suspend(servedBy: loop) { task in
                    loop.post { task.resume(()) }
                }
                begun.open()
            }
        }
    }

    /// For ThreadSanitizer: what is made elsewhere for streams of the loop is no race with the loop's own work.
    @Test func writersAreMadeElsewhereWhileTheLoopWorks() async {
        let loop = EventLoop(name: "test")
        let (begun, end) = (Gate(), Flag())
        async let work: Void = Worker(on: loop).work(until: end, begun: begun)
        await begun.wait()
        await Task.detached { for _ in 0..<50_000 { _ = loop.core.makeWriter() } }.value
        end.set()
        await work
        await loop.shutdown()
    }

    @Test func errorsPropagateWithTheirType() async {
        let loop = EventLoop(name: "test")
        do throws(Failure) {
            try await loop.run { () async throws(Failure) in throw Failure() }
            Issue.record("nothing was thrown")
        } catch {
            #expect(error == Failure())
        }
        await loop.shutdown()
    }

    @MainActor @Test func runLeavesTheCallersActor() async {
        let loop = EventLoop(name: "test")
        await loop.run { #expect(loop.isOnLoop) }
        MainActor.assertIsolated()
        await loop.shutdown()
    }

    @Test func runOnTheLoopItselfAndChildTasksStayOnIt() async {
        let loop = EventLoop(name: "test")
        await loop.run {
            await loop.run { #expect(loop.isOnLoop) }
            let sum = await withTaskGroup(of: Int.self) { group in
                for number in 1...100 {
                    group.addTask {
                        #expect(loop.isOnLoop)
                        await Task.yield()
                        #expect(loop.isOnLoop)
                        return number
                    }
                }
                return await group.reduce(0, +)
            }
            #expect(sum == 5050)
            #expect(loop.isOnLoop)
        }
        await loop.shutdown()
    }

    @Test func aTaskResumedFromAnotherThreadComesBackToTheLoop() async {
        let loop = EventLoop(name: "test")
        await loop.run {
            await withCheckedContinuation { continuation in
                Task.detached { continuation.resume() }
            }
            #expect(loop.isOnLoop)
        }
        await loop.shutdown()
    }

    @Test func postsOfOneThreadRunInOrder() async {
        let loop = EventLoop(name: "test")
        let seen = Collected<[[Int]]>(Array(repeating: [], count: 8))
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask {
                    for number in 0..<1000 {
                        loop.post {
                            #expect(loop.isOnLoop)
                            seen.update { $0[thread].append(number) }
                        }
                    }
                }
            }
        }
        // Posted after all the others.
        let gate = Gate()
        loop.post { gate.open() }
        await gate.wait()
        #expect(seen.value == Array(repeating: Array(0..<1000), count: 8))
        await loop.shutdown()
    }

    @Test func aPostInsideAPostRunsLaterOnTheLoop() async {
        let loop = EventLoop(name: "test")
        let order = Collected<[Int]>([])
        let gate = Gate()
        loop.post {
            loop.post {
                order.update { $0.append(2) }
                gate.open()
            }
            order.update { $0.append(1) }
        }
        await gate.wait()
        #expect(order.value == [1, 2])
        await loop.shutdown()
    }

    /// An actor that lives on a loop.
    private actor Counter {
        private let loop: EventLoop
        private var count = 0
        init(_ loop: EventLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe loop.serialExecutor.asUnownedSerialExecutor()
        }
        func increment() -> Bool {
            count += 1
            return loop.isOnLoop
        }
        func value() -> Int { count }
        nonisolated func incrementAssumingIsolation() {
            assumeIsolated { $0.count += 1 }
        }
    }

    @Test func anActorOfTheLoopRunsOnItAlone() async {
        let loop = EventLoop(name: "test")
        let counter = Counter(loop)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<1000 { group.addTask { await counter.increment() } }
            for await wasOnLoop in group { #expect(wasOnLoop) }
        }
        #expect(await counter.value() == 1000)
        await loop.shutdown()
    }

    @Test func isolationIsKnownInPostsAndInLibuvCallbacks() async {
        let loop = EventLoop(name: "test")
        let counter = Counter(loop)
        let gate = Gate()
        loop.post {
            // `assumeIsolated` traps unless the executor says that this is the actor's place.
            counter.incrementAssumingIsolation()
            let holder = TimerHolder()
            holder.timer = LoopTimer(on: loop.core.driver) {
                counter.incrementAssumingIsolation()
                holder.timer?.close()
                gate.open()
            }
            holder.timer?.start(after: 1)
        }
        await gate.wait()
        #expect(await counter.value() == 2)
        await loop.shutdown()
    }

    /// Holds a timer that stays on its loop.
    private final class TimerHolder {
        var timer: LoopTimer?
    }

    @Test func taskAndActorExecutorsAreTwoObjects() {
        let loop = EventLoop(name: "test")
        let areOne = ObjectIdentifier(loop.serialExecutor) == ObjectIdentifier(loop.taskExecutor)
        #expect(!areOne)
    }

    @Test func tasksThatKeepTheLoopBusyDoNotStarveItsTimers() async throws {
        let loop = EventLoop(name: "test")
        let isOver = Flag()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await loop.run {
                    while !isOver.isSet { await Task.yield() }
                }
            }
            group.addTask { isOver.postUntilSet(on: loop) }
            // Returns only if the loop looks at its timers between the others' turns.
            try? await loop.sleep(for: .milliseconds(20))
            isOver.set()
        }
        await loop.shutdown()
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
        func postUntilSet(on loop: EventLoop) {
            if !isSet { loop.post { self.postUntilSet(on: loop) } }
        }
    }

    @Test func theThreadCarriesTheLoopsName() async {
        let loop = EventLoop(name: "a-very-long-loop-name")
        await loop.run {}
        #expect(threadNames().contains("a-very-long-loo"))
        await loop.shutdown()
    }
}
