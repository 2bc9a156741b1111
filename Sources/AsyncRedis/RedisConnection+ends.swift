@_spi(Driver) import AsyncIO
import RESP
import Synchronization
@_spi(Driver) import UVLoop

// Time, and ends.

extension RedisConnection {
    // MARK: Ticks

    // Deadlines, cancellations and the connection's own time limits are looked at with the loop's ticks. A command that has
    // ended is found at the second look after it came at the latest.

    func startTicker() {
        restTimer?.stop()
        core.driver.ticks.join(self)
    }

    /// How long nothing is sent before a connection's memory for commands is let go: it rests for a moment between any two
    /// commands of a task that sends one after the other.
    private static let idleNanoseconds: UInt64 = 100_000_000

    func restTicker(until instant: UInt64) {
        let now = now
        guard bytesSentAtRest == writer.bytesAccepted else {
            bytesSentAtRest = writer.bytesAccepted
            return rest(until: min(instant, now + Self.idleNanoseconds), now)
        }
        giveMemoryBack()
        rest(until: instant, now)
    }

    /// Has ticks come from `instant` on; there are none at the end of time.
    private func rest(until instant: UInt64, _ now: UInt64) {
        core.driver.ticks.leave(self)
        guard instant < .max else {
            restTimer?.stop()
            return
        }
        if restTimer == nil {
            restTimer = LoopTimer(on: core.driver, fired: { [unowned self] in restIsOver() })
        }
        // A started millisecond does not count; libuv adds its own time to a timeout, so leave it room.
        let milliseconds = min((instant > now ? instant - now : 0) / 1_000_000 + 1, UInt64.max / 4)
        restTimer?.start(after: milliseconds)
    }

    private func restIsOver() {
        core.driver.ticks.join(self)
        tick()
    }

    /// An idle connection holds nothing for commands and replies, however many and large they were.
    private func giveMemoryBack() {
        machine.value.giveMemoryBack()
        framer.value.giveMemoryBack()
        if held.isEmpty { held.giveMemoryBack() }
        inbox.giveMemoryBack()
        limiter.giveMemoryBack()
        writer.rest()
    }

    // MARK: The end

    /// Accepts nothing more and ends when everything accepted has been answered, or at `deadline`.
    func close(deadline: UInt64, _ done: @escaping () -> Void) {
        guard failure == nil else { return done() }
        endWaiters.append(done)
        inbox.close(.closed(endpoint))
        drain(until: deadline)
    }

    /// Ends at once; every command that waits fails.
    func shutDown() {
        end(.closed(endpoint))
    }

    func connectionStands() {
        let waiters = connectWaiters
        connectWaiters = []
        for waiter in waiters { waiter(nil) }
    }

    func tearDown(_ failure: RedisError) {
        self.failure = failure
        connector?.cancel()
        connector = nil
        closeStream()
        core.driver.ticks.leave(self)
        restTimer?.close()
        restTimer = nil
        held.giveMemoryBack()

        let notSent = failure.with(.notSent)
        inbox.close(notSent)
        order.store(true, ordering: .releasing)
        for waiter in connectWaiters { waiter(notSent) }
        connectWaiters = []
    }

    func connectionEnded() {
        for waiter in endWaiters { waiter() }
        endWaiters = []
    }
}

extension RedisConnection: LoopTicked {
    func loopTicked() { tick() }
}

// MARK: - Errors

extension RedisConnection {
    // Asked for on any thread: of what belongs to the loop's it looks only at `failure`, and only for what was closed.
    func failure(of refused: Machine.Refusal) -> RedisError {
        switch refused {
        case .closed:
            (failure ?? .closed(endpoint)).with(.notSent)
        case .tooManyWaiting:
            .overloaded(
                "no more than \(policy.maxWaiting) commands may wait: send fewer at a time, or raise maxWaiting",
                endpoint
            )
        case .tooManyBytes:
            .overloaded(
                "beside what waits there is no room for the command, with \(policy.maxQueuedBytes) bytes in all: send less "
                    + "at a time, or raise maxQueuedBytes",
                endpoint
            )
        }
    }

    /// How many bytes of commands on the wire the kernel has not taken.
    var unsentBytes: Int { Int(writer.bytesAccepted - writer.bytesHandedOver) }

    func failure(of command: Machine.Ended) -> RedisError {
        let now = LoopClock.now
        let silence =
            machine.value.readAt == 0
            ? nil : Duration.nanoseconds(now > machine.value.readAt ? now - machine.value.readAt : 0)
        let situation = RedisError.Situation(
            phase: command.phase,
            commandsAhead: command.commandsAhead,
            queuedBytes: unsentBytes + held.count,
            timeSinceLastRead: silence,
            replyBytesReceived: unfinishedBytes
        )
        switch command.reason {
        case .cancelled: return .cancelled(command.outcome, endpoint, situation)
        case .deadlineExceeded: return .deadlineExceeded(command.outcome, endpoint, situation)
        }
    }

    func failure(_ failure: RedisError, ofCommandThatIs outcome: RedisError.Outcome) -> RedisError {
        failure.with(outcome)
    }

    func failure(_ cause: Machine.EndCause, _ reply: Reply?) -> RedisError {
        let words = reply?.errorMessage ?? []
        switch cause {
        case .closed:
            return .closed(endpoint)
        case .timeOut(.connect):
            let message = "connecting to \(target) took longer than it may"
            return RedisError(.connectTimedOut, .notSent, endpoint: endpoint, message, ioError: .timedOut)
        case .timeOut(.close):
            let message = "the client was closed, and the time for its last replies ran out"
            return RedisError(.clientClosed, .notSent, endpoint: endpoint, message)
        case .timeOut(.liveness):
            let silence = policy.livenessTimeout.map { "\($0)" } ?? "too long"
            return lost("no byte came for \(silence) while replies were due", .timedOut)
        case .handshakeRefused(let index):
            return handshake.refusal(of: index, words, endpoint: endpoint)
        case .farewell:
            return lost("the server ended the connection: \(String(forPerson: words))", nil, words)
        case .unsolicited:
            return violated("the server sent a reply that no command asked for")
        case .sentAfterItsEnd:
            return violated("a command that had ended was sent all the same")
        }
    }

    private func violated(_ message: String) -> RedisError {
        RedisError(
            .protocolViolation,
            .indeterminate,
            endpoint: endpoint,
            "\(message); the connection was ended"
        )
    }

    func lost(_ message: String, _ cause: IOError?, _ serverMessage: [UInt8]? = nil) -> RedisError {
        RedisError(
            .connectionLost,
            .indeterminate,
            endpoint: endpoint,
            message,
            ioError: cause,
            serverMessage: serverMessage
        )
    }
}
