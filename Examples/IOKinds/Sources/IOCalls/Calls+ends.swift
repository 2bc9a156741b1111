@_spi(Driver) import AsyncIO
import Synchronization
@_spi(Driver) import UVLoop

// Time, and ends.

extension Calls {
    // MARK: One call's end

    func resume(_ call: Item, _ result: Item.End) {
        guard let waiter = call.waiter else { return }
        call.waiter = nil
        order.store(true, ordering: .releasing)
        waiter.resume(result)
    }

    func end(_ call: Item, _ error: Failure) { resume(call, .failure(error)) }

    /// Why a call that waits or runs has to end now, as if it had not been sent; nil if it may go on.
    func lateness(of call: Item, _ now: UInt64) -> Failure? {
        guard let waiter = call.waiter else { return nil }
        if let failure { return failure.with(.notSent) }
        if waiter.isCancelled {
            return Failure(.cancelled, .notSent, endpoint: endpoint, "the task was cancelled")
        }
        guard call.deadline <= now else { return nil }
        let goal = call.isRunning ? "for its answer" : "for its turn"
        let message = "the call's time ran out while it was waiting \(goal), with \(running.count) running"
        return Failure(.deadlineExceeded, .notSent, endpoint: endpoint, message)
    }

    private func abandon(_ call: Item, _ error: Failure) {
        // Taken first: the server may finish the call before it returns.
        guard let waiter = call.waiter else { return }
        call.waiter = nil
        let outcome = server?.abandon(call) ?? .indeterminate
        order.store(true, ordering: .releasing)
        waiter.resume(.failure(error.with(outcome)))
    }

    /// Begins to look at the time.
    ///
    /// - Returns: false if the loop has been shut down.
    @discardableResult
    package func startTicking() -> Bool {
        guard !isTicking, !hasStopped else { return true }
        ticker =
            ticker
            ?? LoopTimer(
                on: loop,
                fired: { [weak self] in self?.tick() },
                loopWillShutDown: { [weak self] in self?.loopWillShutDown() }
            )
        guard let ticker else {
            end(shutDown)
            return false
        }
        isTicking = true
        ticker.start(after: Self.tickMilliseconds, every: Self.tickMilliseconds)
        return true
    }

    private func loopWillShutDown() {
        ticker = nil
        isTicking = false
        // The last look: what has been answered by now is.
        _ = server?.tick(LoopClock.now)
        end(shutDown)
        // Without a timer nobody else would end their wait.
        tellClosers()
    }

    /// Ends calls whose time has run out or whose task has been cancelled, and all of them once the client has ended.
    ///
    /// The next look goes on where this one stopped.
    private func look(atMost limit: Int, _ now: UInt64) {
        // At the end there may be no timer for another look.
        let limit = failure == nil ? limit : .max
        for lane in lanes.indices {
            var looks = min(limit, lanes[lane].waiting.count)
            while looks > 0, stepsLeft > 0, let call = lanes[lane].waiting.lookAtNext() {
                looks -= 1
                guard let error = lateness(of: call, now) else { continue }
                lanes[lane].waiting.remove(call)
                waitsNoMore(call)
                end(call, error)
                countStep()
            }
        }
        var looks = min(limit, running.count)
        while looks > 0, stepsLeft > 0, let call = running.lookAtNext() {
            looks -= 1
            guard let error = lateness(of: call, now) else { continue }
            abandon(call, error)
            countStep()
        }
    }

    /// Looks at the time.
    ///
    /// - Parameter limit: how many calls to look at in each line.
    func tick(atMost limit: Int = maxLooks) {
        let now = LoopClock.now
        look(atMost: limit, now)
        let wantsMore = server?.tick(now) ?? false
        if closeDeadline <= now { closeTimedOut() }
        goOnEnding()
        if !wantsMore, running.isEmpty, waitingCount == 0, closeWaiters.isEmpty {
            ticker?.stop()
            isTicking = false
        }
    }

    // MARK: The client's end

    /// Whether the client has ended or been closed; from any thread.
    package var hasEnded: Bool { isClosed.load(ordering: .acquiring) }

    var closed: Failure {
        Failure(.clientClosed, .notSent, endpoint: endpoint, "the client has been closed")
    }

    /// The error of a client whose loop has been shut down.
    package var shutDown: Failure {
        Failure(.loopShutDown, .notSent, endpoint: endpoint, "the event loop has been shut down")
    }

    /// Accepts nothing more, and returns when what was accepted has ended and the server has stopped, or after `timeout`.
    ///
    /// From any thread. What has not ended by then fails. It also returns when the loop is shut down, where there is no time.
    package func close(timeout: Duration) async {
        isClosed.store(true, ordering: .releasing)
        let deadline = LoopClock.instant(after: timeout)
        await SuspendedTask<Void>.suspend(servedBy: loop) { task in
            let begin: @Sendable () -> Void = { [self] in beginClose(deadline, task) }
            if loop.isOnLoop { begin() } else { loop.post(begin) }
        }
        _ = order.load(ordering: .acquiring)
    }

    private func beginClose(_ deadline: UInt64, _ task: SuspendedTask<Void>) {
        guard !hasStopped else { return task.resume(()) }
        closeWaiters.append(task)
        closeDeadline = min(closeDeadline, deadline)
        // Without a timer nobody would end the wait.
        if !startTicking() { tellClosers() }
        goOnEnding()
    }

    private func closeTimedOut() {
        closeDeadline = .max
        end(closed)
        tellClosers()
    }

    private func tellClosers() {
        let waiters = closeWaiters
        closeWaiters = []
        order.store(true, ordering: .releasing)
        for waiter in waiters { waiter.resume(()) }
    }

    /// Ends the client at once; every call that waits or runs fails.
    ///
    /// From any thread.
    package func shutdown() {
        isClosed.store(true, ordering: .releasing)
        let body: @Sendable () -> Void = { [self] in end(closed) }
        if loop.isOnLoop { body() } else { loop.post(body) }
    }

    /// Ends the client, once: calls that wait fail with `error`, calls that run are abandoned.
    ///
    /// In the order they came, as many as the loop's turn may end at once, and the others in the turns that follow.
    package func end(_ error: Failure) {
        guard failure == nil else { return }
        failure = error
        isClosed.store(true, ordering: .releasing)
        for lane in lanes.indices { lanes[lane].waiting.rewind() }
        running.rewind()
        look(atMost: .max, LoopClock.now)
        goOnEnding()
    }

    /// What is left of the end once the last call has been let go.
    func goOnEnding() {
        guard running.isEmpty, waitingCount == 0, !hasStopped, !isStopping else { return }
        if failure == nil, !closeWaiters.isEmpty { return end(closed) }
        guard failure != nil else { return }
        isStopping = true
        guard let server else { return stopped() }
        server.stop()
    }

    /// The server has let go of everything.
    package func stopped() {
        hasStopped = true
        server = nil
        ticker?.close()
        ticker = nil
        isTicking = false
        tellClosers()
    }
}
