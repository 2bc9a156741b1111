@_spi(Driver) import AsyncIO
import TestSupport
import Testing

/// Permits: as many as there are, first come first served, each given back once.
struct InflightLimiterTests {
    /// Notes its name when its turn comes.
    final class Waiter: PermitWaiter {
        let name: Int
        private let turn: (Int) -> Bool

        init(_ name: Int, turn: @escaping (Int) -> Bool) {
            self.name = name
            self.turn = turn
        }

        func takePermit() -> Bool { turn(name) }
    }

    @Test(arguments: [1, 2, 64])
    func asManyPermitsAsTheCapacityAndNoMore(_ capacity: Int) {
        let limiter = InflightLimiter(capacity: capacity)
        #expect(limiter.capacity == capacity && limiter.inflight == 0)
        for taken in 1...capacity {
            #expect(limiter.tryAcquire())
            #expect(limiter.inflight == taken)
        }
        #expect(!limiter.tryAcquire())
        #expect(!limiter.tryAcquire())
        #expect(limiter.inflight == capacity && limiter.waiting == 0)
        limiter.release()
        #expect(limiter.inflight == capacity - 1)
        #expect(limiter.tryAcquire())
        #expect(!limiter.tryAcquire())
    }

    @Test func aWaiterGetsAFreePermitAtOnce() {
        let limiter = InflightLimiter(capacity: 1)
        var served: [Int] = []
        let waiter = Waiter(1) {
            served.append($0); return true
        }
        limiter.wait(waiter)
        #expect(served == [1])
        #expect(limiter.inflight == 1 && limiter.waiting == 0)
    }

    @Test(arguments: [1, 3])
    func aReleasedPermitGoesToTheFirstInLine(_ capacity: Int) {
        let limiter = InflightLimiter(capacity: capacity)
        for _ in 0..<capacity { #expect(limiter.tryAcquire()) }
        var served: [Int] = []
        for name in 0..<50 {
            limiter.wait(
                Waiter(name) {
                    served.append($0); return true
                }
            )
        }
        #expect(served == [] && limiter.waiting == 50)
        for turn in 1...50 {
            limiter.release()
            #expect(served == Array(0..<turn))
            #expect(limiter.inflight == capacity && limiter.waiting == 50 - turn)
        }
        for _ in 0..<capacity { limiter.release() }
        #expect(limiter.inflight == 0 && served.count == 50)
    }

    @Test func aWaiterThatDeclinesPassesItsTurnOn() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        var asked: [Int] = []
        for name in 0..<6 {
            limiter.wait(
                Waiter(name) {
                    asked.append($0); return $0 == 2 || $0 == 5
                }
            )
        }
        limiter.release()
        #expect(asked == [0, 1, 2])
        #expect(limiter.inflight == 1 && limiter.waiting == 3)
        limiter.release()
        #expect(asked == [0, 1, 2, 3, 4, 5])
        #expect(limiter.inflight == 1 && limiter.waiting == 0)
        limiter.release()
        #expect(limiter.inflight == 0)
    }

    @Test func aPermitThatEverybodyDeclinesIsFree() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        for name in 0..<3 { limiter.wait(Waiter(name) { _ in false }) }
        limiter.release()
        #expect(limiter.inflight == 0 && limiter.waiting == 0)
        #expect(limiter.tryAcquire())
    }

    @Test func theSameWaiterMayStandInLineSeveralTimes() {
        let limiter = InflightLimiter(capacity: 2)
        #expect(limiter.tryAcquire() && limiter.tryAcquire())
        var served: [Int] = []
        let twice = Waiter(1) {
            served.append($0); return true
        }
        let once = Waiter(2) {
            served.append($0); return true
        }
        for waiter in [twice, once, twice] { limiter.wait(waiter) }
        for _ in 0..<3 { limiter.release() }
        #expect(served == [1, 2, 1])
        #expect(limiter.inflight == 2)
    }

    /// The permit that a waiter is asked about is nobody else's, nor is it when the waiter declines.
    @Test func aNewcomerCannotOvertakeTheLine() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        var order: [String] = []
        let first = Waiter(1) { _ in
            order.append("first declines")
            if limiter.tryAcquire() { order.append("newcomer") }
            return false
        }
        let second = Waiter(2) { _ in
            order.append("second")
            return true
        }
        limiter.wait(first)
        limiter.wait(second)
        #expect(!limiter.tryAcquire())
        limiter.release()
        #expect(order == ["first declines", "second"])
        #expect(limiter.inflight == 1)
    }

    @Test func aPermitGivenBackDuringATurnGoesToTheLineToo() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        var order: [String] = []
        let first = Waiter(1) { _ in
            order.append("first")
            limiter.release()
            if limiter.tryAcquire() { order.append("newcomer") }
            return true
        }
        let second = Waiter(2) { _ in
            order.append("second")
            return true
        }
        limiter.wait(first)
        limiter.wait(second)
        limiter.release()
        #expect(order == ["first", "second"])
        #expect(limiter.inflight == 1 && limiter.waiting == 0)
    }

    /// A waiter may send, be answered and release before it returns.
    @Test func aWaiterMayReleaseBeforeItReturns() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        var served: [Int] = []
        for name in 0..<5 {
            let waiter = Waiter(name) {
                served.append($0)
                limiter.release()
                return true
            }
            limiter.wait(waiter)
        }
        limiter.release()
        #expect(served == [0, 1, 2, 3, 4])
        #expect(limiter.inflight == 0 && limiter.waiting == 0)
    }

    @Test func theLimiterRemembersItsPeak() {
        let limiter = InflightLimiter(capacity: 5)
        #expect(limiter.peakInflight == 0)
        for _ in 0..<3 { #expect(limiter.tryAcquire()) }
        for _ in 0..<3 { limiter.release() }
        #expect(limiter.peakInflight == 3)
        for _ in 0..<2 { #expect(limiter.tryAcquire()) }
        #expect(limiter.peakInflight == 3)
        for _ in 0..<3 { #expect(limiter.tryAcquire()) }
        #expect(!limiter.tryAcquire())
        #expect(limiter.peakInflight == 5)
    }

    @Test func aPermitThatWasDeclinedIsNoPeak() {
        let limiter = InflightLimiter(capacity: 5)
        #expect(limiter.tryAcquire())
        limiter.wait(Waiter(1) { _ in false })
        #expect(limiter.inflight == 1)
        #expect(limiter.peakInflight == 1)
    }

    @Test func aWaiterIsLetGoAfterItsTurn() {
        let limiter = InflightLimiter(capacity: 1)
        #expect(limiter.tryAcquire())
        weak var waiter: Waiter?
        do {
            let strong = Waiter(1) { _ in true }
            waiter = strong
            limiter.wait(strong)
        }
        #expect(waiter != nil, "the line keeps who waits")
        limiter.release()
        #expect(waiter == nil)
    }

    /// The same steps against a line that is an array and a number.
    @Test(arguments: 0..<20)
    func manyStepsKeepTheBalance(_ seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let capacity = Int.random(in: 1...8, using: &random)
        let limiter = InflightLimiter(capacity: capacity)
        var inflight = 0
        var line: [(name: Int, declines: Bool)] = []
        var expected: [Int] = []
        var served: [Int] = []
        var peak = 0
        func serve() {
            while inflight < capacity, !line.isEmpty {
                let next = line.removeFirst()
                expected.append(next.name)
                if !next.declines { inflight += 1 }
            }
        }
        for step in 0..<2000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let free = inflight < capacity && line.isEmpty
                try #require(limiter.tryAcquire() == free)
                if free { inflight += 1 }
            case 1:
                // Waiting begins where no permit is free, as the client does it.
                guard inflight == capacity else { continue }
                let declines = Bool.random(using: &random)
                line.append((step, declines))
                limiter.wait(
                    Waiter(step) {
                        served.append($0); return !declines
                    }
                )
            default:
                guard inflight > 0 else { continue }
                inflight -= 1
                serve()
                limiter.release()
            }
            peak = max(peak, inflight)
            try #require(limiter.inflight == inflight && limiter.waiting == line.count)
            try #require(limiter.peakInflight == peak)
        }
        #expect(served == expected)
        while inflight > 0 {
            inflight -= 1
            serve()
            limiter.release()
        }
        #expect(limiter.inflight == 0 && limiter.waiting == 0 && served == expected)
    }
}
