import Foundation
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Blocking bodies on libuv's thread pool.
///
/// One after the other: the pool is the process's, and two tests that fill it would wait for each other.
@Suite(.serialized) enum OffloadTests {
    /// Occupies every thread of the pool until the gate is opened.
    final class FullPool: Sendable {
        private static let size =
            ProcessInfo.processInfo.environment["UV_THREADPOOL_SIZE"].flatMap { Int($0) } ?? 4
        private let loop: EventLoop
        private let gate: Gate
        private let bodies: [Task<Void, Never>]

        init() async {
            let (loop, gate) = (EventLoop(name: "full-pool"), Gate())
            (self.loop, self.gate) = (loop, gate)
            let begun = (0..<Self.size).map { _ in Gate() }
            bodies = begun.map { begun in
                Task {
                    try? await loop.offload {
                        begun.open()
                        gate.waitOnThread()
                    }
                }
            }
            for begun in begun { await begun.wait() }
        }

        func drain() async {
            gate.open()
            for body in bodies { await body.value }
            await loop.shutdown()
        }
    }

    /// Whether a task ends although no thread of the pool is free.
    static func isOver(_ task: Task<Void, Never>) async -> Bool {
        let end = Gate()
        Task {
            await task.value
            end.open()
        }
        return await eventually { end.isOpen }
    }

    /// What comes back, and what a cancellation leaves.
    @Suite struct Ends {
        private struct Failure: Error, Equatable { let number: Int }

        @Test func theBodyRunsElsewhereAndItsTaskStaysOnTheLoop() async throws {
            let loop = EventLoop(name: "test")
            let value = try await loop.run {
                let value = try await loop.offload {
                    #expect(!loop.isOnLoop)
                    return 42
                }
                #expect(loop.isOnLoop)
                return value
            }
            #expect(value == 42)
            #expect(try await loop.offload { "from elsewhere" } == "from elsewhere")
            await loop.shutdown()
        }

        @Test func theBodysErrorComesBackWithItsType() async {
            let loop = EventLoop(name: "test")
            do throws(OffloadError<Failure>) {
                try await loop.offload { () throws(Failure) in throw Failure(number: 7) }
                Issue.record("nothing was thrown")
            } catch {
                #expect(error.code == .bodyFailed)
                #expect(error.failure == Failure(number: 7))
                #expect(error.hasBegun)
            }
            await loop.shutdown()
        }

        @Test func theLoopGoesOnWhileABodyBlocks() async throws {
            let loop = EventLoop(name: "test")
            try await loop.offload {
                let gate = Gate()
                // It would never be opened if the body were in the loop's way.
                loop.post { gate.open() }
                gate.waitOnThread()
            }
            await loop.shutdown()
        }

        @Test func manyAtOnceEachGetTheirOwn() async throws {
            let loop = EventLoop(name: "test")
            try await loop.run {
                try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                    for number in 0..<1000 {
                        group.addTask { (number, try await loop.offload { number * 2 }) }
                    }
                    for try await (number, double) in group { #expect(double == number * 2) }
                }
            }
            await loop.shutdown()
        }

        // MARK: Cancellation

        @Test func cancelledWhileQueuedItNeverRuns() async throws {
            let loop = EventLoop(name: "test")
            let pool = await FullPool()
            let hasRun = Collected(false)
            let task = Task { try await loop.offload { hasRun.update { $0 = true } } }
            // The queue is entered on the loop.
            #expect(await eventually { await loop.run { loop.core.driver.residentCount } == 1 })
            task.cancel()
            // It ends although no thread of the pool is free.
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .cancelled)
            #expect(error?.hasBegun == false)
            await pool.drain()
            // Whatever was queued behind it has run by now.
            try await loop.offload {}
            #expect(!hasRun.value)
            await loop.shutdown()
        }

        @Test func cancelledWhileItRunsTheAwaitEndsAndTheBodyGoesOn() async throws {
            let loop = EventLoop(name: "test")
            let (begun, gate, ended) = (Gate(), Gate(), Gate())
            let task = Task {
                try await loop.offload {
                    begun.open()
                    gate.waitOnThread()
                    ended.open()
                }
            }
            await begun.wait()
            task.cancel()
            // The body waits for a gate that is opened after this only.
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .cancelled)
            #expect(error?.hasBegun == true)
            #expect(!ended.isOpen)
            gate.open()
            await ended.wait()
            await loop.shutdown()
        }

        @Test func cancelledBeforeItIsCalledItNeverRuns() async {
            let loop = EventLoop(name: "test")
            let hasRun = Collected(false)
            let gate = Gate()
            let task = Task {
                await gate.wait()
                try await loop.offload { hasRun.update { $0 = true } }
            }
            task.cancel()
            gate.open()
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .cancelled)
            #expect(error?.hasBegun == false)
            await loop.shutdown()
            #expect(!hasRun.value)
        }

        @Test func whatABodyHoldsIsLetGoHoweverItEnds() async throws {
            let loop = EventLoop(name: "test")
            weak var ran: Token?
            weak var neverRan: Token?
            try await {
                let token = Token()
                ran = token
                try await loop.offload { withExtendedLifetime(token) {} }
            }()
            let pool = await FullPool()
            await {
                let token = Token()
                neverRan = token
                let task = Task { try await loop.offload { withExtendedLifetime(token) {} } }
                _ = await eventually { await loop.run { loop.core.driver.residentCount } == 1 }
                task.cancel()
                _ = await task.result
            }()
            await pool.drain()
            await loop.shutdown()
            #expect(await eventually { ran == nil && neverRan == nil })
        }
    }
}
