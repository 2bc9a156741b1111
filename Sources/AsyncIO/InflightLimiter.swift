@_spi(Driver) public import UVLoop

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
    /// What waits for the endpoint.
    public let backlog: Backlog

    @usableFromInline
    struct State: ~Copyable {
        @usableFromInline var inflight = 0
        @usableFromInline var peakInflight = 0
        @usableFromInline var line = RingBuffer<any PermitWaiter>()
        @usableFromInline var isServing = false
    }

    @usableFromInline let state = LoopBound(State())

    /// How many of them are taken.
    public var inflight: Int { state.value.inflight }
    /// The most that were ever taken at once.
    package var peakInflight: Int { state.value.peakInflight }
    /// How many places the line for permits has.
    public var waiting: Int { state.value.line.count }

    /// Makes a limiter with all its permits free, for one endpoint.
    public convenience init(_ policy: EndpointPolicy) {
        self.init(
            capacity: policy.maxInflight,
            mostWaiting: .init(commands: policy.maxWaiting, bytes: policy.maxQueuedBytes)
        )
    }

    /// Makes a limiter with all its permits free.
    public init(capacity: Int, mostWaiting: Backlog.Amount = .init(commands: .max, bytes: .max)) {
        precondition(capacity >= 1, "checked where endpoints are registered")
        self.capacity = capacity
        backlog = Backlog(most: mostWaiting, mostToBeSent: capacity)
    }

    /// Takes a permit if one is free and nobody is waiting for it.
    @inlinable
    public func tryAcquire() -> Bool {
        guard state.value.inflight < capacity, state.value.line.isEmpty else { return false }
        state.value.inflight += 1
        if state.value.inflight > state.value.peakInflight { state.value.peakInflight = state.value.inflight }
        return true
    }

    /// Joins the line for one permit.
    ///
    /// A waiter may stand in it several times.
    public func wait(_ waiter: any PermitWaiter) {
        state.value.line.append(waiter)
        serveLine()
    }

    /// Gives a permit back.
    @inlinable
    public func release() {
        precondition(state.value.inflight > 0, "a permit was released twice")
        state.value.inflight -= 1
        if !state.value.line.isEmpty { serveLine() }
    }

    /// Lets go of the memory that a long line needed, if nobody stands in it.
    package func giveMemoryBack() { state.value.line.giveMemoryBack() }

    @usableFromInline
    func serveLine() {
        // A waiter that releases before it returns is served by the loop that asked it, not deeper in the stack.
        guard !state.value.isServing else { return }
        state.value.isServing = true
        defer { state.value.isServing = false }
        while inflight < capacity, let waiter = state.value.line.popFirst() {
            // Counted first: the waiter may send, and even release, before it returns.
            state.value.inflight += 1
            let taken = inflight
            if waiter.takePermit() {
                state.value.peakInflight = max(peakInflight, taken)
            } else {
                state.value.inflight -= 1
            }
        }
    }
}
