import Testing

@_spi(Driver) @testable import UVLoop

/// The times that a loop tells.
@Suite struct LoopClockTests {
    /// While the coarse clock stands still nobody reads the other one.
    @Test func soonIsCountedFromTheTurnWithinATick() {
        let soon = LoopDriver.soon(coarse: 70, turnBegan: (coarse: 70, precise: 75)) {
            Issue.record("the clock was read")
            return 0
        }
        #expect(soon == 75 + LoopDriver.mostUnseen)
        // Even at the tick's end, and when that is a little late, it is not before now.
        #expect(soon >= 75 + LoopClock.coarseStep)
    }

    @Test func soonIsTheTimeOnceTheCoarseClockHasMoved() {
        #expect(LoopDriver.soon(coarse: 71, turnBegan: (coarse: 70, precise: 75)) { 5000 } == 5000)
    }

    /// A turn may be short or long: it is asked again and again while the coarse clock moves on.
    @Test func soonIsNotBeforeAndNotLongAfter() async {
        let loop = EventLoop(name: "test")
        await loop.run {
            let last = LoopClock.coarse + 4 * LoopClock.coarseStep
            var (early, late) = (0, 0)
            while true {
                let coarse = LoopClock.coarse
                guard coarse < last else { break }
                let now = LoopClock.now
                let soon = loop.core.moment.latest
                // A tick that is later than that has been missed.
                if soon < now, now - coarse <= LoopDriver.mostUnseen { early += 1 }
                if soon > LoopClock.now + LoopDriver.mostUnseen { late += 1 }
            }
            #expect(early == 0 && late == 0)
        }
        await loop.shutdown()
    }

    @Test func nowIsTheTurns() async {
        let loop = EventLoop(name: "test")
        await loop.run {
            let first = loop.core.now
            let end = LoopClock.instant(after: .milliseconds(3))
            while LoopClock.now < end {}
            #expect(loop.core.now == first)
            #expect(first <= LoopClock.now)
        }
        await loop.shutdown()
    }
}
