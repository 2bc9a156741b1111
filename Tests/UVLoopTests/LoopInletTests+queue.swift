import Foundation
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

// What is on its way, and what taking it costs.

extension LoopInletTests {
    @Test func theOrderHoldsHoweverMuchIsTakenAtATime() async throws {
        let loop = EventLoop(name: "test")
        let inlet = try await idle(50, on: loop)
        await loop.run {
            var random = SplitMix64(state: 1)
            var (next, expected) = (0, 0)
            for _ in 0..<2000 {
                for _ in 0..<Int.random(in: 0..<20, using: &random) {
                    #expect((inlet.offer(next) == .accepted) == (next - expected < 50))
                    if next - expected < 50 { next += 1 }
                }
                let taken = inlet.take(atMost: Int.random(in: 0..<20, using: &random))
                #expect(taken == Array(expected..<expected + taken.count))
                expected += taken.count
            }
            #expect(inlet.take() == Array(expected..<next))
            inlet.close()
        }
        await loop.shutdown()
    }

    @Test func whatIsTakenIsLetGoWhileOthersAreLeft() async throws {
        let loop = EventLoop(name: "test")
        try await loop.run {
            let inlet = try LoopInlet<Token>(on: loop, capacity: 10, arrived: {})
            weak var first: Token?
            do {
                let token = Token()
                first = token
                #expect(inlet.offer(token) == .accepted)
            }
            for _ in 0..<9 { #expect(inlet.offer(Token()) == .accepted) }
            #expect(first != nil)
            #expect(inlet.take(atMost: 1).count == 1)
            #expect(first == nil)
            inlet.close()
        }
        await loop.shutdown()
    }

    /// By the processor's time, which does not depend on who else wants it: if all that is left moved up each time, it would
    /// take near a hundred times as long.
    @Test func takingOneCostsTheSameHoweverManyAreLeft() async throws {
        let loop = EventLoop(name: "test")
        let few = 1000
        let many = 500_000
        let inlet = try await idle(many, on: loop)
        await loop.run {
            func timeForTakingAFew() -> UInt64 {
                let start = threadTime()
                for _ in 0..<few { #expect(inlet.take(atMost: 1).count == 1) }
                return threadTime() - start
            }
            var (alone, inFront) = (UInt64.max, UInt64.max)
            for _ in 0..<3 {
                for number in 0..<few { _ = inlet.offer(number) }
                alone = min(alone, timeForTakingAFew())
            }
            for number in 0..<many { _ = inlet.offer(number) }
            for _ in 0..<3 { inFront = min(inFront, timeForTakingAFew()) }
            #expect(inFront < 10 * alone)
            inlet.close()
        }
        await loop.shutdown()
    }

    /// How long the calling thread has run, in nanoseconds.
    private func threadTime() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
