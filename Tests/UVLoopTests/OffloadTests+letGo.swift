import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

extension OffloadTests {
    /// Which thread frees what a body holds and gives: it may take seconds, and is never the loop's.
    @Suite struct LetGo {
        /// Tells where it dies.
        private final class Mortal: Sendable {
            private let loop: EventLoop
            private let diedOnLoop: Collected<[Bool]>

            init(_ loop: EventLoop, _ diedOnLoop: Collected<[Bool]>) {
                self.loop = loop
                self.diedOnLoop = diedOnLoop
            }

            deinit {
                let isOnLoop = loop.isOnLoop
                diedOnLoop.update { $0.append(isOnLoop) }
            }
        }

        private let loop = EventLoop(name: "test")
        private let diedOnLoop = Collected<[Bool]>([])

        @Test func whatATaskTakesIsItsOwn() async throws {
            for _ in 0..<100 { _ = try await loop.offload { [loop, diedOnLoop] in Mortal(loop, diedOnLoop) } }
            // The loop has let go of all there was.
            await loop.shutdown()
            #expect(diedOnLoop.value == Array(repeating: false, count: 100))
        }

        @Test func whatNobodyWaitsForDiesWithTheBody() async {
            let (begun, gate) = (Gate(), Gate())
            let task = Task { [loop, diedOnLoop] in
                try await loop.offload {
                    begun.open()
                    gate.waitOnThread()
                    return Mortal(loop, diedOnLoop)
                }
            }
            await begun.wait()
            task.cancel()
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .cancelled)
            gate.open()
            await loop.shutdown()
            #expect(diedOnLoop.value == [false])
        }

        @Test func whatADriversBodyHoldsDiesWithIt() async {
            let (gate, over) = (Gate(), Gate())
            await loop.run { [loop, diedOnLoop] in
                let held = Mortal(loop, diedOnLoop)
                let body: @Sendable () -> Void = { withExtendedLifetime(held) { gate.waitOnThread() } }
                _ = try? LoopOffload(on: loop, body: body, over: { _ in over.open() })
            }
            // Now the body alone holds it.
            gate.open()
            await over.wait()
            await loop.shutdown()
            #expect(diedOnLoop.value == [false])
        }

        @Test func aValueIsGivenOnceAndTakenOnce() {
            let handover = Handover<Int>()
            handover.give(1)
            handover.give(2)
            #expect(handover.take() == 1)
            #expect(handover.take() == nil)
            handover.give(3)
            #expect(handover.take() == nil)
        }
    }
}
