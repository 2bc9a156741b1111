/// Who waits for a permit of an ``InflightLimiter``.
@_spi(Driver) public protocol PermitWaiter: AnyObject {
    /// A permit is free and it is this waiter's turn.
    ///
    /// - Returns: whether the permit was taken; if not, the next in line is asked.
    func takePermit() -> Bool
}

/// Bounds how many commands an endpoint has in flight at a time: backpressure, not a rate limit.
///
/// A permit is acquired before a command is sent and released exactly once, when the command's reply has come or its
/// connection has ended. Permits are given out first come, first served. It belongs to its loop's thread.
@_spi(Driver) public final class InflightLimiter: @unchecked Sendable {
    // Safe to share: it is made anywhere, and from then on touched on its loop's thread only.

    /// How many permits there are.
    public let capacity: Int
    /// How many of them are taken.
    public private(set) var inflight = 0
    /// The most that were ever taken at once.
    public private(set) var peakInflight = 0

    private var line = RingBuffer<any PermitWaiter>()
    private var isServing = false

    /// Makes a limiter with all its permits free.
    public init(capacity: Int) {
        precondition(capacity >= 1, "checked where endpoints are registered")
        self.capacity = capacity
    }

    /// How many places the line for permits has.
    public var waiting: Int { line.count }

    /// Takes a permit if one is free and nobody is waiting for it.
    public func tryAcquire() -> Bool {
        guard inflight < capacity, line.isEmpty else { return false }
        inflight += 1
        peakInflight = max(peakInflight, inflight)
        return true
    }

    /// Joins the line for one permit.
    ///
    /// A waiter may stand in it several times.
    public func wait(_ waiter: any PermitWaiter) {
        line.append(waiter)
        serveLine()
    }

    /// Gives a permit back.
    public func release() {
        precondition(inflight > 0, "a permit was released twice")
        inflight -= 1
        if !line.isEmpty { serveLine() }
    }

    private func serveLine() {
        // A waiter that releases before it returns is served by the loop that asked it, not deeper in the stack.
        guard !isServing else { return }
        isServing = true
        defer { isServing = false }
        while inflight < capacity, let waiter = line.popFirst() {
            // Counted first: the waiter may send, and even release, before it returns.
            inflight += 1
            let taken = inflight
            if waiter.takePermit() {
                peakInflight = max(peakInflight, taken)
            } else {
                inflight -= 1
            }
        }
    }
}
