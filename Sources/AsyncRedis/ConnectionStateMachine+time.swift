@_spi(Driver) import AsyncIO
@_spi(Driver) import struct UVLoop.RingBuffer

extension ConnectionStateMachine {
    // MARK: Liveness

    /// Bytes have come.
    @inline(__always)
    mutating func bytesRead(_ now: UInt64) {
        readAt = now
        expectNothingBefore(now)
    }

    /// Silence counts from now on.
    @inline(__always)
    mutating func expectNothingBefore(_ now: UInt64) {
        // The time of a command that comes in may lag behind that of bytes that came.
        progressAt = max(progressAt, now)
        isSuspected = false
    }

    enum Verdict: Hashable {
        /// Look again soon.
        case goOn
        /// Nothing has a time limit before this instant: no tick is needed until then, or until the next command.
        case rest(until: UInt64)
        /// Send a probe, if a permit is free, and look again soon.
        case probe
        case end(EndCause)
    }

    /// What ran out of time.
    enum TimeOut: Hashable {
        case connect, close, liveness
    }

    /// There is something to look at from now on: whether ticks have to be started for it.
    @inline(__always)
    mutating func startsTicking() -> Bool {
        if isTicking || isOver { return false }
        isTicking = true
        return true
    }

    /// Looks at the connection's own time limits, at each tick.
    mutating func tick(_ now: UInt64) -> Verdict {
        let verdict = verdict(now)
        if case .rest = verdict { isTicking = false } else { isTicking = true }
        return verdict
    }

    /// Lets go of memory that nothing is kept in, as while the connection rests.
    mutating func giveMemoryBack() {
        wire.giveMemoryBack()
        waiting.giveMemoryBack()
    }

    private mutating func verdict(_ now: UInt64) -> Verdict {
        switch phase {
        case .closed: return .rest(until: .max)
        case .connecting, .handshake: if settings.connectDeadline <= now { return .end(.timeOut(.connect)) }
        case .ready, .closing: break
        }
        if isDrained { return .end(.closed) }
        if closeDeadline <= now { return .end(.timeOut(.close)) }
        if !wire.isEmpty, isSilentForTooLong(now) {
            // The process itself may have been stopped: look at the socket once more before the verdict.
            if isSuspected { return .end(.timeOut(.liveness)) }
            isSuspected = true
        }
        guard case .ready = phase, isIdle else { return .goOn }
        let probeAt = progressAt.saturatingAdd(settings.idleProbe)
        guard group == .closed else { return .rest(until: .max) }
        return probeAt <= now ? .probe : .rest(until: probeAt)
    }

    private func isSilentForTooLong(_ now: UInt64) -> Bool {
        // What the server was asked to wait for is no silence; for ever only as long as somebody waits for it.
        let allowed =
            wire.first.map { $0.waiter == nil && $0.blockingTime == .max ? 0 : $0.blockingTime } ?? 0
        let limit = progressAt.saturatingAdd(settings.liveness).saturatingAdd(allowed)
        return now > limit
    }
}

extension ConnectionStateMachine.Settings {
    /// When a command that is called at `now` has to be over: the earliest of all limits that apply to it.
    ///
    /// - Parameters:
    ///   - timeout: what the call says; nil for nothing.
    ///   - blockingTime: what the server is asked to wait for. It comes on top of the endpoint's own limit, not of what the
    ///     caller said.
    ///   - ambient: the task's limit.
    @inline(__always)
    func deadline(calledAt now: UInt64, timeout: Duration?, blockingTime: UInt64, ambient: UInt64) -> UInt64 {
        let own = now.saturatingAdd(commandTimeout).saturatingAdd(blockingTime)
        guard let timeout else { return min(own, ambient) }
        return timeout > .zero ? min(own, ambient, now.saturatingAdd(timeout.nanoseconds)) : 0
    }
}

extension UInt64 {
    /// The sum, or the largest number there is.
    @inline(__always)
    func saturatingAdd(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
