@_spi(Driver) import AsyncIO
@_spi(Driver) import UVLoop

/// Performs what a connection's machine decides: `RedisConnection` on a socket and the tasks that wait, a simulation on
/// models of them.
///
/// What has to be done for an event, and in which order, stands here once for both. A performer lends its hands: it moves
/// bytes, tells waiters, and knows the time.
protocol ConnectionPerformer: PermitWaiter {
    associatedtype Waiter
    associatedtype Reply
    /// How a command, or the connection, failed.
    associatedtype Failure
    typealias Machine = ConnectionStateMachine<Waiter>

    var machine: LoopBound<Machine> { get }
    var limiter: InflightLimiter { get }
    /// The limiter's.
    var backlog: Backlog { get }
    /// The time.
    var now: UInt64 { get }
    /// A time that may lag behind, and costs less to read.
    var earlierNow: UInt64 { get }

    // MARK: Tasks

    func isCancelled(_ waiter: Waiter) -> Bool
    func succeed(_ waiter: Waiter, _ reply: consuming Reply)
    func fail(_ waiter: Waiter, _ failure: Failure)
    func failure(of refused: Machine.Refusal) -> Failure
    func failure(of ended: Machine.Ended) -> Failure
    /// What the connection's failure is to a command of it.
    func failure(_ failure: Failure, ofCommandThatIs outcome: RedisError.Outcome) -> Failure

    // MARK: Bytes

    /// The stream's output.
    var output: Machine.Output { get }
    /// Gives the first bytes of those that wait to the stream.
    func sendHeld(_ byteCount: Int)
    /// Drops the first bytes of those that wait.
    func dropHeld(_ byteCount: Int)
    /// Drops bytes of those that wait.
    func dropHeld(_ ranges: [Range<Int>])
    /// Takes bytes back from the stream.
    ///
    /// - Returns: false if some of them have left.
    func takeBack(_ ranges: [Range<UInt64>]) -> Bool
    /// Gives a command of its own to the stream.
    ///
    /// - Returns: how many bytes it has; nil if there is none.
    func sendProbe() -> Int?

    // MARK: Ticks

    /// Ticks come from now on.
    func startTicker()
    /// The next tick comes at `instant`, and if that is `UInt64.max` none does.
    func restTicker(until instant: UInt64)

    // MARK: The connection's life

    /// Commands are answered from now on.
    func connectionStands()
    /// Takes out what tasks elsewhere have handed in by now: says first how much that is, and then for each what it is and
    /// how its bytes are written.
    func emptyInbox(
        arrived: (Backlog.Amount) -> Void,
        each: (Waiter, Machine.Request, (CommandPlace) -> Void) -> Void
    )
    /// Refuses everything from now on, and lets the stream, the ticker and the bytes that wait go.
    func tearDown(_ failure: Failure)
    /// All commands have been told.
    func connectionEnded()
    /// The failure of the connection for a decision of the machine.
    func failure(_ cause: Machine.EndCause, _ reply: Reply?) -> Failure
}

/// Where a command's bytes go.
enum CommandPlace {
    /// To the stream.
    case stream
    /// Behind those that wait.
    case held
}

// MARK: - Commands

extension ConnectionPerformer {
    /// Lets a command in, or ends it.
    ///
    /// - Parameters:
    ///   - backlog: what waits for the endpoint in front of it.
    ///   - now: the time, which may lag behind.
    ///   - write: puts its bytes where they belong, if it is let in.
    @inline(__always)
    func submit(
        _ waiter: Waiter,
        _ request: Machine.Request,
        behind backlog: Backlog.Amount,
        now: UInt64,
        write: (CommandPlace) -> Void
    ) {
        let hasPermit = machine.value.mayAskForPermit && limiter.tryAcquire()
        let admission = machine.value.submit(
            waiter,
            request,
            isCancelled: isCancelled(waiter),
            hasPermit: hasPermit,
            backlog: backlog,
            output: output,
            now: now
        )
        switch admission {
        case .send:
            write(.stream)
            settle()
            if machine.value.startsTicking() { startTicker() }
        case .hold:
            // A permit may be free behind commands that have ended: the bytes are to be there before it is asked for.
            write(.held)
            settle()
            if machine.value.startsTicking() { startTicker() }
            standInLine()
        case .refuse(let refusal):
            if hasPermit { limiter.release() }
            fail(waiter, failure(of: refusal))
        case .end(let ended):
            if hasPermit { limiter.release() }
            fail(waiter, failure(of: ended))
        }
    }

    /// Lets in what tasks elsewhere have handed in by now.
    func takeArrivals() {
        let backlog = backlog
        let now = earlierNow
        emptyInbox(
            arrived: { backlog.arrive($0) },
            each: { waiter, request, write in
                submit(waiter, request, behind: backlog.inFrontOfArrivals, now: now, write: write)
                // Afterwards: nobody elsewhere finds less than there is.
                backlog.dealWithArrival(bytes: request.byteCount)
            }
        )
    }

    /// Tells the endpoint's backlog what waits here.
    @inline(__always)
    func settle() {
        backlog.change(by: machine.value.backlogChange(output))
    }

    private func standInLine() {
        while machine.value.takesPlaceInLine() { limiter.wait(self) }
    }

    /// Sends the first command that waits.
    ///
    /// The caller holds a permit.
    ///
    /// - Returns: whether there was one, which then has the permit.
    private func promoteNext() -> Bool {
        defer { settle() }
        while true {
            let next = machine.value.promoteNext(position: output.accepted, now: now) { isCancelled($0) }
            switch next {
            case .none:
                return false
            case .skip(let byteCount):
                dropHeld(byteCount)
            case .end(let ended, let byteCount):
                let failure = failure(of: ended)
                dropHeld(byteCount)
                fail(ended.waiter, failure)
            case .send(let byteCount):
                sendHeld(byteCount)
                return true
            }
        }
    }

    func takePermit() -> Bool {
        machine.value.turnInLineCame()
        if promoteNext() { return true }
        // Those that waited have ended instead, and may have been the last.
        endIfDrained()
        return false
    }
}

// MARK: - The stream

extension ConnectionPerformer {
    /// The stream is connected, and the handshake, commands of these sizes, has been given to it.
    func connected(handshake sizes: [Int]) {
        let isReady = machine.value.connected(handshake: sizes, now: now)
        settle()
        if isReady { becameReady() }
    }

    private func becameReady() {
        connectionStands()
        while machine.value.mayPromote, limiter.tryAcquire() {
            if !promoteNext() { limiter.release() }
        }
        standInLine()
        endIfDrained()
    }

    /// A reply has come, which is made where it goes: what it holds of the stream's bytes is counted once.
    @inline(__always)
    func received(_ reply: @autoclosure () -> Reply, _ kind: Machine.ReplyKind) {
        switch machine.value.replyReceived(kind, handedOver: output.handedOver) {
        case .deliver(let waiter):
            succeed(waiter, reply())
            limiter.release()
            endIfDrained()
        case .discard:
            limiter.release()
            endIfDrained()
        case .handshakeReply: break
        case .handshakeDone: becameReady()
        case .end(let cause): end(failure(cause, reply()))
        }
    }

    /// The stream is about to hand its output to the kernel.
    func willWrite(_ now: UInt64) {
        guard let expiry = machine.value.willWrite(now: now, handedOver: output.handedOver) else { return }
        perform(expiry)
    }

    /// The kernel has taken some of the output.
    func wrote(isAll: Bool) {
        if isAll { machine.value.wroteAll() }
        settle()
    }
}

// MARK: - Time

extension ConnectionPerformer {
    /// How many commands on the wire, and how many that wait, are looked at in one tick.
    static var maxSweep: Int { 131_072 }

    /// Looks at the commands' time limits, at their tasks, and at the connection's own time limits.
    func tick(atMost limit: Int = maxSweep) {
        let now = now
        let expiry = machine.value.expire(
            now: now,
            handedOver: output.handedOver,
            atMost: limit,
            isCancelled: { isCancelled($0) }
        )
        perform(expiry)
        guard !machine.value.isOver else { return }
        let wasTicking = machine.value.isTicking
        let verdict = machine.value.tick(now)
        if !wasTicking, machine.value.isTicking { startTicker() }
        switch verdict {
        case .goOn: break
        case .rest(let instant): restTicker(until: instant)
        case .probe: probe()
        case .end(let cause): end(failure(cause, nil))
        }
    }

    /// Asks an idle server for a sign of life.
    private func probe() {
        // Without a free permit others have commands in flight to the same server.
        guard limiter.tryAcquire() else { return }
        let position = output.accepted
        guard let byteCount = sendProbe() else { return limiter.release() }
        machine.value.probeSent(byteCount: byteCount, position: position, now: now)
        settle()
    }

    /// Tells commands that ended before their replies, and lets go of their bytes and permits.
    private func perform(_ expiry: Machine.Expiry) {
        // Told last, when all that is theirs has been let go; described first, as it was.
        let failures = expiry.ended.map { failure(of: $0) }
        dropHeld(expiry.dropWaiting)
        guard !expiry.ended.isEmpty else { return }
        let isTakenBack = takeBack(expiry.takeBack)
        settle()
        for _ in 0..<expiry.permitsFreed { limiter.release() }
        for (ended, failure) in zip(expiry.ended, failures) { fail(ended.waiter, failure) }
        guard isTakenBack else { return end(failure(.sentAfterItsEnd, nil)) }
        endIfDrained()
    }
}

// MARK: - The end

extension ConnectionPerformer {
    /// Accepts nothing more and ends when everything accepted has been answered, or at `deadline`.
    func drain(until deadline: UInt64) {
        // What other threads have handed in by now has been accepted.
        takeArrivals()
        switch machine.value.close(deadline: deadline) {
        case .none: break
        case .endNow: end(failure(.closed, nil))
        case .drain: if machine.value.startsTicking() { startTicker() }
        }
    }

    private func endIfDrained() {
        if machine.value.isDrained { end(failure(.closed, nil)) }
    }

    /// Ends the connection, once.
    ///
    /// Every command that waits fails, first come first.
    func end(_ failure: Failure) {
        let handedOver = output.handedOver
        guard var leftover = machine.value.end(handedOver: handedOver) else { return }
        tearDown(failure)
        settle()
        let indeterminate = self.failure(failure, ofCommandThatIs: .indeterminate)
        let notSent = self.failure(failure, ofCommandThatIs: .notSent)
        while let command = leftover.next() {
            if let waiter = command.waiter {
                fail(waiter, command.outcome == .indeterminate ? indeterminate : notSent)
            }
            if command.hadPermit { limiter.release() }
        }
        takeArrivals()
        connectionEnded()
    }
}
