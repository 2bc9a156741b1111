@_spi(Driver) import AsyncIO
import RESP
@_spi(Driver) import UVLoop

/// One connection to a Redis server: performs what its state machine decides.
///
/// It belongs to its loop's thread.
final class RedisConnection: @unchecked Sendable {
    // Safe to share: `core`, `inbox`, `endpoint` and `limits` are; everything else is touched on the loop's thread only.
    let core: LoopCore
    let inbox = CommandInbox()
    /// What errors call the endpoint.
    let endpoint: String
    let limits: RESPLimits
    private let target: StreamTarget
    private let greeting: RedisGreeting
    private let policy: EndpointPolicy
    let limiter: InflightLimiter

    private var machine: ConnectionStateMachine<CommandWaiter>
    private var framer: RESPFramer
    private var stream: ByteStream?
    private var connector: StreamConnector?

    /// The bytes of waiting commands, from `heldStart` on.
    private var held = WriteBuffer()
    private var heldStart = 0

    private var ticker: LoopTimer?
    private var isTicking = false
    /// When something last showed that the server is alive, or nothing was expected of it.
    private var progressAt: UInt64 = 0
    /// When an attempt to connect, or a close that drains, has to be over.
    private var phaseDeadline = UInt64.max

    private var connectWaiters: [(RedisError?) -> Void] = []
    private var endWaiters: [() -> Void] = []
    private var failure: RedisError?

    /// How often deadlines, cancellations and liveness are looked at while commands are under way.
    private static let tickMilliseconds: UInt64 = 10
    /// How many commands on the wire, and how many that wait, are looked at in one tick.
    private static let maxSweep = 8192

    init(
        core: LoopCore,
        endpoint: String,
        target: StreamTarget,
        greeting: RedisGreeting,
        policy: EndpointPolicy,
        limiter: InflightLimiter,
        limits: RESPLimits
    ) {
        self.core = core
        self.endpoint = endpoint
        self.target = target
        self.greeting = greeting
        self.policy = policy
        self.limiter = limiter
        self.limits = limits
        framer = RESPFramer(limits: limits)
        machine = ConnectionStateMachine(maxWaiting: policy.maxWaiting, maxQueuedBytes: policy.maxQueuedBytes)
    }

    // MARK: Connect

    /// Begins to connect.
    func start() {
        guard failure == nil else { return }
        let driver = core.driver
        guard driver.isOpen else {
            if let error = core.startError {
                return end(
                    RedisError(
                        .connectFailed,
                        .notSent,
                        endpoint: endpoint,
                        "the event loop could not be made: \(error)",
                        ioError: error
                    )
                )
            }
            return end(RedisError(loopShutDownAt: endpoint))
        }
        let timeout = policy.connectTimeout.roundedUpToMilliseconds
        phaseDeadline = driver.now + timeout * 1_000_000
        let connector = StreamConnector(on: driver, to: target, timeoutMilliseconds: timeout) {
            [self] result in
            self.connector = nil
            switch result {
            case .success(let stream): connected(stream)
            case .failure(let failure): end(RedisError(failure, endpoint: endpoint, target: target))
            }
        }
        self.connector = connector
        connector.start()
        startTicking()
    }

    private func connected(_ stream: ByteStream) {
        self.stream = stream
        stream.delegate = self
        stream.disableDelay()
        let liveness = UInt32(clamping: policy.livenessTimeout.roundedUpToMilliseconds)
        stream.detectDeadPeer(idleSeconds: max(1, liveness / 1000), unacknowledgedMilliseconds: liveness)
        do throws(IOError) {
            try stream.startReading()
        } catch {
            return end(lost("reading could not be started: \(error)", error))
        }
        noteProgress()
        let commands = greeting.commands
        for words in commands { send(greeting: words, on: stream) }
        if machine.connected(greetingCommands: commands.count) { becameReady() }
    }

    private func send(greeting words: [String], on stream: ByteStream) {
        do throws(RESPEncodingError) {
            let command = RESPWordList(words)
            var failure: RESPEncodingError?
            stream.send(try command.byteCount(limits)) { command.encode(into: &$0, &failure) }
            if let failure { throw failure }
        } catch {
            end(RedisError(error, endpoint: endpoint))
        }
    }

    private func becameReady() {
        phaseDeadline = .max
        let waiters = connectWaiters
        connectWaiters = []
        for waiter in waiters { waiter(nil) }
        while machine.mayPromote, limiter.tryAcquire() {
            if !promoteNext() { limiter.release() }
        }
        // The rest stands in line, one place for each command.
        for _ in 0..<machine.waitingCount { limiter.wait(self) }
        endIfDrained()
    }

    /// Calls `done` once the connection stands, or with the error that kept it from standing.
    func whenConnected(_ done: @escaping (RedisError?) -> Void) {
        if let failure { return done(failure) }
        switch machine.phase {
        case .ready, .closing: done(nil)
        case .connecting, .greeting, .closed: connectWaiters.append(done)
        }
    }

    // MARK: Commands

    /// Takes a command of a task on the loop.
    @inline(__always)
    func submit(_ command: some RESPCommand, _ waiter: CommandWaiter) {
        do throws(RESPEncodingError) {
            let byteCount = try command.byteCount(limits)
            guard let hasPermit = admit(waiter, byteCount) else { return }
            var failure: RESPEncodingError?
            if hasPermit, let stream {
                let position = stream.bytesAccepted
                stream.send(byteCount) { command.encode(into: &$0, &failure) }
                if let failure {
                    limiter.release()
                    throw failure
                }
                sent(waiter, byteCount, position)
            } else {
                held.append(byteCount) { command.encode(into: &$0, &failure) }
                if let failure { throw failure }
                queued(waiter, byteCount)
            }
        } catch {
            waiter.resume(.failure(RedisError(error, endpoint: endpoint)))
        }
    }

    /// Takes the commands of tasks elsewhere.
    func takeInbox() {
        let batch = inbox.take()
        var start = 0
        for entry in batch.entries {
            let bytes = start..<(start + entry.byteCount)
            start = bytes.upperBound
            guard let hasPermit = admit(entry.waiter, entry.byteCount) else { continue }
            if hasPermit, let stream {
                let position = stream.bytesAccepted
                stream.send(from: batch.bytes, bytes)
                sent(entry.waiter, entry.byteCount, position)
            } else {
                held.append(from: batch.bytes, bytes)
                queued(entry.waiter, entry.byteCount)
            }
        }
        inbox.recycle(batch)
    }

    /// Lets a command in, with a permit or without, or ends it and returns nil.
    @inline(__always)
    private func admit(_ waiter: CommandWaiter, _ byteCount: Int) -> Bool? {
        let hasPermit = machine.mayAskForPermit && limiter.tryAcquire()
        let unsent = stream?.bytesGathered ?? 0
        guard let refusal = machine.refusal(byteCount: byteCount, hasPermit: hasPermit, unsentBytes: unsent)
        else {
            return hasPermit
        }
        if hasPermit { limiter.release() }
        waiter.resume(.failure(error(for: refusal)))
        return nil
    }

    @inline(__always)
    private func sent(_ waiter: CommandWaiter, _ byteCount: Int, _ position: UInt64) {
        if machine.inflight == 0 { noteProgress() }
        machine.sent(waiter, byteCount: byteCount, deadline: deadline, position: position)
        if !isTicking { startTicking() }
    }

    private func queued(_ waiter: CommandWaiter, _ byteCount: Int) {
        machine.queued(waiter, byteCount: byteCount, deadline: deadline)
        if machine.mayPromote { limiter.wait(self) }
        if !isTicking { startTicking() }
    }

    private var deadline: UInt64 {
        guard let timeout = policy.commandTimeout else { return .max }
        return core.driver.now + timeout.roundedUpToMilliseconds * 1_000_000
    }

    private func error(for refusal: ConnectionStateMachine<CommandWaiter>.Refusal) -> RedisError {
        switch refusal {
        case .closed:
            (failure ?? .closed(endpoint)).with(.notSent)
        case .tooManyWaiting:
            RedisError(
                .overloaded,
                .notSent,
                endpoint: endpoint,
                "\(policy.maxWaiting) commands wait already: send fewer at a time, or raise maxWaiting"
            )
        case .tooManyBytes:
            RedisError(
                .overloaded,
                .notSent,
                endpoint: endpoint,
                "\(policy.maxQueuedBytes) bytes of commands wait already: send less at a time, or raise maxQueuedBytes"
            )
        }
    }

    /// Sends the first command that waits.
    ///
    /// The caller holds a permit.
    ///
    /// - Returns: whether there was one, which then has the permit.
    private func promoteNext() -> Bool {
        guard let stream else { return false }
        while true {
            switch machine.promoteNext(position: stream.bytesAccepted) {
            case .none:
                return false
            case .skip(let byteCount):
                dropHeld(byteCount)
            case .send(let byteCount):
                if machine.inflight == 1 { noteProgress() }
                stream.send(from: held, heldStart..<(heldStart + byteCount))
                dropHeld(byteCount)
                return true
            }
        }
    }

    private func dropHeld(_ byteCount: Int) {
        heldStart += byteCount
        if heldStart == held.count {
            held = WriteBuffer()
            heldStart = 0
        } else if heldStart > held.count / 2, heldStart > 64 * 1024 {
            // The larger part is gone: each byte moves once at most for each time the buffer doubles.
            held.remove(0..<heldStart)
            heldStart = 0
        }
    }

    // MARK: Replies

    private func received(_ reply: Reply) {
        let handedOver = stream?.bytesHandedOver ?? 0
        switch machine.replyReceived(isError: reply.isError, bytesHandedOver: handedOver) {
        case .deliver(let waiter):
            waiter.resume(.reply(reply))
            limiter.release()
            endIfDrained()
        case .discard:
            limiter.release()
            endIfDrained()
        case .greetingReply:
            break
        case .greetingDone:
            becameReady()
        case .greetingRefused:
            let refusal = reply.serverError(endpoint: endpoint)
            end(
                RedisError(
                    .handshakeFailed,
                    .notSent,
                    endpoint: endpoint,
                    "the server refused the connection: \(String(decoding: refusal.serverMessage ?? [], as: UTF8.self))",
                    serverMessage: refusal.serverMessage
                )
            )
        case .unsolicited:
            unsolicited(reply)
        }
    }

    private func unsolicited(_ reply: Reply) {
        if reply.isError {
            // How a server says goodbye, for example when it has too many clients.
            let farewell = reply.serverError(endpoint: endpoint).serverMessage ?? []
            end(
                lost(
                    "the server ended the connection: \(String(decoding: farewell, as: UTF8.self))",
                    nil,
                    farewell
                )
            )
        } else {
            end(
                RedisError(
                    .protocolViolation,
                    .indeterminate,
                    endpoint: endpoint,
                    "the server sent a reply that no command asked for; the connection was ended"
                )
            )
        }
    }

    // MARK: Time

    private func noteProgress() {
        progressAt = core.driver.now
    }

    private func startTicking() {
        if ticker == nil { ticker = LoopTimer(on: core.driver, fired: { [weak self] in self?.tick() }) }
        ticker?.start(after: Self.tickMilliseconds, every: Self.tickMilliseconds)
        isTicking = true
    }

    private func tick() {
        let now = core.driver.now
        if phaseDeadline <= now { return phaseTimedOut() }
        expireCommands(now)
        if machine.inflight > 0, now - progressAt > policy.livenessTimeout.roundedUpToMilliseconds * 1_000_000
        {
            return end(lost("no byte came for \(policy.livenessTimeout) while replies were due", .timedOut))
        }
        if machine.isIdle, phaseDeadline == .max {
            ticker?.stop()
            isTicking = false
        }
    }

    private func phaseTimedOut() {
        switch machine.phase {
        case .ready, .closing, .closed:
            end(
                RedisError(
                    .clientClosed,
                    .notSent,
                    endpoint: endpoint,
                    "the client was closed, and its time to drain ran out"
                )
            )
        case .connecting, .greeting:
            end(
                RedisError(
                    .connectTimedOut,
                    .notSent,
                    endpoint: endpoint,
                    "connecting to \(target) took longer than \(policy.connectTimeout)",
                    ioError: .timedOut
                )
            )
        }
    }

    private func expireCommands(_ now: UInt64) {
        let (ended, permitsFreed) = machine.expire(
            now: now,
            bytesHandedOver: stream?.bytesHandedOver ?? 0,
            atMost: Self.maxSweep,
            isCancelled: { $0.isCancelled }
        )
        for command in ended {
            if let bytes = command.takeBack { stream?.takeBack(bytes) }
            let error =
                switch command.end {
                case .cancelled:
                    RedisError(.cancelled, command.outcome, endpoint: endpoint, "the task was cancelled")
                case .deadlineExceeded:
                    RedisError(
                        .deadlineExceeded,
                        command.outcome,
                        endpoint: endpoint,
                        "no reply came in time"
                    )
                }
            command.waiter.resume(.failure(error))
        }
        for _ in 0..<permitsFreed { limiter.release() }
        if !ended.isEmpty { endIfDrained() }
    }

    // MARK: The end

    /// Accepts nothing more and ends when everything accepted has been answered, or after `milliseconds`.
    func close(within milliseconds: UInt64, _ done: @escaping () -> Void) {
        guard failure == nil else { return done() }
        endWaiters.append(done)
        // What other threads have handed in by now has been accepted.
        inbox.close(.closed(endpoint))
        takeInbox()
        switch machine.close() {
        case .none: break
        case .endNow: end(.closed(endpoint))
        case .drain:
            phaseDeadline = min(phaseDeadline, core.driver.now + milliseconds * 1_000_000)
            if !isTicking { startTicking() }
        }
    }

    private func endIfDrained() {
        if machine.isDrained { end(.closed(endpoint)) }
    }

    /// Ends at once; every command that waits fails.
    func shutDown() {
        end(.closed(endpoint))
    }

    private func lost(_ message: String, _ cause: IOError?, _ serverMessage: [UInt8]? = nil) -> RedisError {
        RedisError(
            .connectionLost,
            .indeterminate,
            endpoint: endpoint,
            message,
            ioError: cause,
            serverMessage: serverMessage
        )
    }

    /// Ends the connection, once.
    ///
    /// Every command that waits fails with `error`, first come first.
    private func end(_ error: RedisError) {
        guard failure == nil else { return }
        failure = error
        let handedOver = stream?.bytesHandedOver ?? 0
        connector?.cancel()
        connector = nil
        stream?.close()
        stream = nil
        ticker?.close()
        ticker = nil
        held = WriteBuffer()
        heldStart = 0

        let notSent = error.with(.notSent)
        inbox.close(notSent)
        for waiter in connectWaiters { waiter(notSent) }
        connectWaiters = []
        if var leftover = machine.end() {
            let indeterminate = error.with(.indeterminate)
            while let slot = leftover.wire.popFirst() {
                slot.waiter?.resume(.failure(slot.position < handedOver ? indeterminate : notSent))
                limiter.release()
            }
            while let slot = leftover.waiting.popFirst() { slot.waiter?.resume(.failure(notSent)) }
        }
        takeInbox()
        for waiter in endWaiters { waiter() }
        endWaiters = []
    }
}

// MARK: - Told by the stream and the limiter

extension RedisConnection: ByteStreamDelegate {
    func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
        noteProgress()
        var start = bytes.lowerBound
        do throws(RESPProtocolError) {
            while failure == nil {
                let length = try buffer.withBytes(start..<bytes.upperBound) {
                    span throws(RESPProtocolError) in
                    try framer.next(span)
                }
                guard let length else { return start - bytes.lowerBound }
                received(Reply(buffer: buffer, range: start..<(start + length)))
                start += length
            }
        } catch {
            end(RedisError(.protocolViolation, .indeterminate, endpoint: endpoint, "\(error)"))
        }
        return bytes.count
    }

    func streamEnded(_ failure: IOError?) {
        if failure == .loopShutDown { return end(RedisError(loopShutDownAt: endpoint)) }
        let during =
            switch machine.phase {
            case .greeting: " during the handshake"
            default: ""
            }
        if let failure {
            end(lost("the connection broke\(during): \(failure)", failure))
        } else {
            end(lost("the server closed the connection\(during)", nil))
        }
    }
}

extension RedisConnection: PermitWaiter {
    func takePermit() -> Bool { promoteNext() }
}
