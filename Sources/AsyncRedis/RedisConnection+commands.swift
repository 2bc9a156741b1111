@_spi(Driver) import AsyncIO
import RESP
@_spi(Driver) import UVLoop

/// The bytes of commands that wait, one after the other.
struct HeldBytes {
    private(set) var buffer = WriteBuffer()
    /// Where the first command that still waits begins.
    private(set) var start = 0

    /// Bytes in front of the first command are dropped when they are more than this, and the larger part.
    private static let maxSlack = 64 * 1024

    /// Lets the first `byteCount` bytes go.
    mutating func dropFirst(_ byteCount: Int) {
        start += byteCount
        if start == buffer.count {
            buffer = WriteBuffer()
            start = 0
        } else if start > Self.maxSlack, start > buffer.count / 2 {
            // Each byte moves once at most for each time the buffer doubles.
            buffer.remove([0..<start])
            start = 0
        }
    }

    /// Takes bytes out, given by their places from the first command that waits.
    mutating func remove(_ ranges: [Range<Int>]) {
        buffer.remove(ranges.map { ($0.lowerBound + start)..<($0.upperBound + start) })
        dropFirst(0)
    }
}

// MARK: - Commands in

extension RedisConnection {
    /// How many commands on the wire, and how many that wait, are looked at in one tick.
    private static let maxSweep = 8192

    /// When a command that is called now has to be over.
    var deadlineOfNewCommand: UInt64 { policy.commandTimeout.map { LoopClock.instant(after: $0) } ?? .max }

    /// Takes a command of a task on the loop.
    @inline(__always)
    func submit(_ command: some RESPCommand, byteCount: Int, _ waiter: CommandWaiter) {
        guard let hasPermit = admit(waiter, byteCount) else { return }
        let deadline = deadlineOfNewCommand
        if hasPermit, let stream {
            let position = stream.bytesAccepted
            stream.send(byteCount) { command.encode(into: &$0) }
            sent(waiter, byteCount, deadline, position)
        } else {
            held.buffer.append(byteCount) { command.encode(into: &$0) }
            queued(waiter, byteCount, deadline)
        }
    }

    /// Takes the commands of tasks elsewhere.
    func takeInbox() {
        let batch = inbox.take()
        var start = 0
        for entry in batch.entries {
            let source = entry.own ?? batch.bytes
            let bytes = entry.own == nil ? start..<(start + entry.byteCount) : 0..<entry.byteCount
            if entry.own == nil { start = bytes.upperBound }
            guard let hasPermit = admit(entry.waiter, entry.byteCount) else { continue }
            if hasPermit, let stream {
                let position = stream.bytesAccepted
                stream.send(from: source, bytes)
                sent(entry.waiter, entry.byteCount, entry.deadline, position)
            } else {
                held.buffer.append(from: source, bytes)
                queued(entry.waiter, entry.byteCount, entry.deadline)
            }
        }
        inbox.recycle(batch)
    }

    /// Lets a command in, with a permit or without, or ends it and returns nil.
    @inline(__always)
    private func admit(_ waiter: CommandWaiter, _ byteCount: Int) -> Bool? {
        if waiter.isCancelled {
            resume(waiter, .failure(error(for: .cancelled, .notSent)))
            return nil
        }
        let hasPermit = machine.mayAskForPermit && limiter.tryAcquire()
        let unsent = stream?.bytesGathered ?? 0
        guard let refusal = machine.refusal(byteCount: byteCount, hasPermit: hasPermit, unsentBytes: unsent)
        else {
            return hasPermit
        }
        if hasPermit { limiter.release() }
        resume(waiter, .failure(error(for: refusal)))
        return nil
    }

    @inline(__always)
    private func sent(_ waiter: CommandWaiter, _ byteCount: Int, _ deadline: UInt64, _ position: UInt64) {
        machine.sent(
            waiter,
            byteCount: byteCount,
            deadline: deadline,
            position: position,
            now: core.driver.now
        )
        if !isTicking { startTicking() }
    }

    private func queued(_ waiter: CommandWaiter, _ byteCount: Int, _ deadline: UInt64) {
        machine.queued(waiter, byteCount: byteCount, deadline: deadline)
        if machine.mayPromote { standInLine() }
        if !isTicking { startTicking() }
    }

    // MARK: Waiting commands out

    /// Takes a place in the limiter's line for each command that waits and has none.
    ///
    /// The place of a command that ended while it waited serves the next one.
    func standInLine() {
        while placesInLine < machine.waitingCount {
            placesInLine += 1
            limiter.wait(self)
        }
    }

    /// Sends the first command that waits.
    ///
    /// The caller holds a permit.
    ///
    /// - Returns: whether there was one, which then has the permit.
    func promoteNext() -> Bool {
        guard let stream else { return false }
        while true {
            let next = machine.promoteNext(position: stream.bytesAccepted, now: LoopClock.now) {
                $0.isCancelled
            }
            switch next {
            case .none:
                return false
            case .skip(let byteCount):
                held.dropFirst(byteCount)
            case .end(let waiter, let reason, let byteCount):
                held.dropFirst(byteCount)
                resume(waiter, .failure(error(for: reason, .notSent)))
            case .send(let byteCount):
                stream.send(from: held.buffer, held.start..<(held.start + byteCount))
                held.dropFirst(byteCount)
                return true
            }
        }
    }

    // MARK: Early ends

    /// Ends commands that are late, or whose tasks have been cancelled.
    func expireCommands(_ now: UInt64) {
        let expiry = machine.expire(
            now: now,
            bytesHandedOver: stream?.bytesHandedOver ?? 0,
            atMost: Self.maxSweep,
            isCancelled: { $0.isCancelled }
        )
        for command in expiry.ended {
            resume(command.waiter, .failure(error(for: command.end, command.outcome)))
        }
        held.remove(expiry.dropWaiting)
        if let stream, !stream.takeBack(expiry.takeBack) {
            let message = "a command that had ended was sent all the same; the connection was ended"
            return end(RedisError(.protocolViolation, .indeterminate, endpoint: endpoint, message))
        }
        for _ in 0..<expiry.permitsFreed { limiter.release() }
        if !expiry.ended.isEmpty { endIfDrained() }
    }

    // MARK: Errors

    private func error(
        for end: ConnectionStateMachine<CommandWaiter>.EarlyEnd,
        _ outcome: RedisError.Outcome
    ) -> RedisError {
        switch end {
        case .cancelled: .cancelled(outcome, endpoint)
        case .deadlineExceeded:
            RedisError(
                .deadlineExceeded,
                outcome,
                endpoint: endpoint,
                "no reply came within the command's time"
            )
        }
    }

    /// The error for a command that is not accepted.
    func error(for refusal: ConnectionStateMachine<CommandWaiter>.Refusal) -> RedisError {
        switch refusal {
        case .closed:
            (failure ?? .closed(endpoint)).with(.notSent)
        case .tooManyWaiting:
            .overloaded(
                "\(policy.maxWaiting) commands wait already: send fewer at a time, or raise maxWaiting",
                endpoint
            )
        case .tooManyBytes:
            .overloaded(
                "\(policy.maxQueuedBytes) bytes of commands wait already: send less at a time, or raise maxQueuedBytes",
                endpoint
            )
        }
    }
}

// MARK: - Told by the limiter

extension RedisConnection: PermitWaiter {
    func takePermit() -> Bool {
        placesInLine -= 1
        return promoteNext()
    }
}
