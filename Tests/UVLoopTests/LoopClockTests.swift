import Testing

@_spi(Driver) @testable import UVLoop

/// The times that a loop tells.
@Suite struct LoopClockTests {
    /// A turn may be short or long: it is asked again and again for several steps of the coarse clock.
    @Test func soonIsNeverBeforeNowNorLongAfter() async {
        let loop = EventLoop(name: "test")
        await loop.run {
            let end = LoopClock.instant(after: .milliseconds(40))
            var (early, late) = (0, 0)
            while LoopClock.now < end {
                let before = LoopClock.now
                let soon = loop.core.soon
                let after = LoopClock.now
                if soon < before { early += 1 }
                if soon > after + LoopDriver.mostUnseen { late += 1 }
            }
            #expect(early == 0)
            #expect(late == 0)
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
