/// Who waits for a permit of an ``InflightLimiter``.
package protocol PermitWaiter: AnyObject {
    /// A permit is free and it is this waiter's turn.
    ///
    /// - Returns: whether the permit was taken; if not, the next in line is asked.
    func takePermit() -> Bool
}

/// Bounds how many commands an endpoint has in flight at a time: backpressure, not a rate limit.
///
/// A permit is acquired before a command is sent and released exactly once, when the command's reply has come or its
/// connection has ended. Permits are given out first come, first served. It belongs to its loop's thread.
package final class InflightLimiter: @unchecked Sendable {
    // Safe to share: it is made anywhere, and from then on touched on its loop's thread only.

    /// How many permits there are.
    package let capacity: Int
    /// How many of them are taken.
    package private(set) var inflight = 0
    /// The most that were ever taken at once.
    package private(set) var peakInflight = 0

    private var line = RingBuffer<any PermitWaiter>()

    package init(capacity: Int) {
        precondition(capacity >= 1, "checked where endpoints are registered")
        self.capacity = capacity
    }

    /// How many places the line for permits has.
    package var waiting: Int { line.count }

    /// Takes a permit if one is free and nobody is waiting for it.
    @inline(__always)
    package func tryAcquire() -> Bool {
        guard inflight < capacity, line.isEmpty else { return false }
        take()
        return true
    }

    /// Joins the line for one permit.
    ///
    /// A waiter may stand in it several times.
    package func wait(_ waiter: any PermitWaiter) {
        line.append(waiter)
        serveLine()
    }

    /// Gives a permit back.
    @inline(__always)
    package func release() {
        precondition(inflight > 0, "a permit was released twice")
        inflight -= 1
        if !line.isEmpty { serveLine() }
    }

    @inline(__always)
    private func take() {
        inflight += 1
        if inflight > peakInflight { peakInflight = inflight }
    }

    private func serveLine() {
        while inflight < capacity, let waiter = line.popFirst() {
            // Counted first: the waiter may send, and even release, before it returns.
            take()
            if !waiter.takePermit() { inflight -= 1 }
        }
    }
}
