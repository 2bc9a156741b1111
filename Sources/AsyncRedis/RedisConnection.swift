@_spi(Driver) import AsyncIO
import RESP
import Synchronization
@_spi(Driver) import UVLoop

/// One connection to a Redis server: performs what its state machine decides.
///
/// It belongs to its loop's thread.
final class RedisConnection: @unchecked Sendable {
    // Safe to share: the constants up to `limiter` are; everything else is touched on the loop's thread only.
    let core: LoopCore
    let inbox: CommandInbox
    /// What errors call the endpoint.
    let endpoint: String
    let limits: RESPLimits
    let policy: EndpointPolicy
    private let target: StreamTarget
    private let greeting: RedisGreeting
    let limiter: InflightLimiter

    var machine: ConnectionStateMachine<CommandWaiter>
    private var framer: RESPFramer
    private(set) var stream: ByteStream?
    private var connector: StreamConnector?
    /// The bytes of the commands that wait in the machine.
    var held = HeldBytes()
    /// How many places of the limiter's line are for commands that wait here.
    var placesInLine = 0

    private var ticker: LoopTimer?
    private(set) var isTicking = false
    /// Written before a task is resumed, read by the task when it goes on.
    ///
    /// The runtime orders the two by itself; but ThreadSanitizer cannot see into it, and would report a race whenever a
    /// command ends on the loop before its task, on another thread, has quite gone to sleep.
    private let order = Atomic<Bool>(false)
    /// The error that ended the connection.
    private(set) var failure: RedisError?
    private var connectWaiters: [(RedisError?) -> Void] = []
    private var endWaiters: [() -> Void] = []

    /// How often deadlines, cancellations and the connection's own time limits are looked at.
    private static let tickMilliseconds: UInt64 = 10

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
        // In one turn as many may come in as could be sent and could wait.
        let (maxEntries, overflow) = policy.maxInflight.addingReportingOverflow(policy.maxWaiting)
        inbox = CommandInbox(maxEntries: overflow ? .max : maxEntries, maxBytes: policy.maxQueuedBytes)
        framer = RESPFramer(limits: limits)
        machine = ConnectionStateMachine(
            .init(
                maxWaiting: policy.maxWaiting,
                maxQueuedBytes: policy.maxQueuedBytes,
                liveness: policy.livenessTimeout?.nanoseconds,
                connectDeadline: LoopClock.instant(after: policy.connectTimeout)
            )
        )
    }

    // MARK: Resuming

    /// Ends a command: its task goes on.
    @inline(__always)
    func resume(_ waiter: CommandWaiter, _ end: CommandEnd) {
        order.store(true, ordering: .releasing)
        waiter.resume(end)
    }

    /// The task's side of `resume(_:_:)`, after it has been suspended.
    @inline(__always)
    func hasBeenResumed() {
        _ = order.load(ordering: .acquiring)
    }

    // MARK: Connect

    /// Begins to connect.
    func start() {
        guard failure == nil else { return }
        let driver = core.driver
        guard driver.isOpen else { return end(loopIsGone) }
        startTicking()
        let deadline = LoopClock.instant(after: policy.connectTimeout)
        let connector = StreamConnector(on: driver, to: target, deadline: deadline) { [self] result in
            self.connector = nil
            switch result {
            case .success(let stream): connected(stream)
            case .failure(let failure): end(RedisError(failure, endpoint: endpoint, target: target))
            }
        }
        self.connector = connector
        connector.start()
    }

    private var loopIsGone: RedisError {
        guard let cause = core.startError else { return RedisError(loopShutDownAt: endpoint) }
        let message = "the event loop could not be made: \(cause)"
        return RedisError(.connectFailed, .notSent, endpoint: endpoint, message, ioError: cause)
    }

    private func connected(_ stream: ByteStream) {
        self.stream = stream
        stream.delegate = self
        stream.disableDelay()
        if let liveness = policy.livenessTimeout {
            let milliseconds = UInt32(clamping: liveness.roundedUpToMilliseconds)
            stream.detectDeadPeer(
                idleSeconds: max(1, milliseconds / 1000),
                unacknowledgedMilliseconds: milliseconds
            )
        }
        do throws(IOError) {
            try stream.startReading()
        } catch {
            return end(lost("reading could not be started: \(error)", error))
        }
        do throws(RESPEncodingError) {
            for words in greeting.commands {
                let command = RESPWordList(words)
                stream.send(try command.byteCount(limits)) { command.encode(into: &$0) }
            }
        } catch {
            return end(RedisError(error, endpoint: endpoint))
        }
        if machine.connected(greetingCommands: greeting.commands.count, now: core.driver.now) {
            becameReady()
        }
    }

    private func becameReady() {
        let waiters = connectWaiters
        connectWaiters = []
        for waiter in waiters { waiter(nil) }
        while machine.mayPromote, limiter.tryAcquire() {
            if !promoteNext() { limiter.release() }
        }
        standInLine()
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

    // MARK: Replies

    private func received(_ reply: Reply) {
        let handedOver = stream?.bytesHandedOver ?? 0
        switch machine.replyReceived(isError: reply.isError, bytesHandedOver: handedOver) {
        case .deliver(let waiter):
            resume(waiter, .reply(reply))
            limiter.release()
            endIfDrained()
        case .discard:
            limiter.release()
            endIfDrained()
        case .greetingReply:
            break
        case .greetingDone:
            becameReady()
        case .greetingRefused(let index):
            end(greeting.refusal(of: index, reply.errorMessage, endpoint: endpoint))
        case .unsolicited:
            end(unsolicited(reply))
        }
    }

    private func unsolicited(_ reply: Reply) -> RedisError {
        guard reply.isError else {
            let message = "the server sent a reply that no command asked for; the connection was ended"
            return RedisError(.protocolViolation, .indeterminate, endpoint: endpoint, message)
        }
        // How a server says goodbye, for example when it has too many clients.
        let farewell = reply.errorMessage
        return lost("the server ended the connection: \(String(forPerson: farewell))", nil, farewell)
    }

    // MARK: Time

    func startTicking() {
        guard failure == nil, !isTicking else { return }
        if ticker == nil { ticker = LoopTimer(on: core.driver, fired: { [weak self] in self?.tick() }) }
        ticker?.start(after: Self.tickMilliseconds, every: Self.tickMilliseconds)
        isTicking = true
    }

    private func tick() {
        let now = LoopClock.now
        expireCommands(now)
        switch machine.tick(now) {
        case .goOn:
            break
        case .rest:
            ticker?.stop()
            isTicking = false
        case .end(.connect):
            let message = "connecting to \(target) took longer than \(policy.connectTimeout)"
            end(RedisError(.connectTimedOut, .notSent, endpoint: endpoint, message, ioError: .timedOut))
        case .end(.close):
            let message = "the client was closed, and the time for its last replies ran out"
            end(RedisError(.clientClosed, .notSent, endpoint: endpoint, message))
        case .end(.liveness):
            let silence = policy.livenessTimeout.map { "\($0)" } ?? "too long"
            end(lost("no byte came for \(silence) while replies were due", .timedOut))
        }
    }

    // MARK: The end

    /// Accepts nothing more and ends when everything accepted has been answered, or at `deadline`.
    func close(deadline: UInt64, _ done: @escaping () -> Void) {
        guard failure == nil else { return done() }
        endWaiters.append(done)
        // What other threads have handed in by now has been accepted.
        inbox.close(.closed(endpoint))
        takeInbox()
        switch machine.close(deadline: deadline) {
        case .none: break
        case .endNow: end(.closed(endpoint))
        case .drain: startTicking()
        }
    }

    func endIfDrained() {
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
    func end(_ error: RedisError) {
        guard failure == nil else { return }
        failure = error
        let handedOver = stream?.bytesHandedOver ?? 0
        connector?.cancel()
        connector = nil
        stream?.close()
        stream = nil
        ticker?.close()
        ticker = nil
        isTicking = false
        held = HeldBytes()

        let notSent = error.with(.notSent)
        inbox.close(notSent)
        order.store(true, ordering: .releasing)
        for waiter in connectWaiters { waiter(notSent) }
        connectWaiters = []
        if var leftover = machine.end() {
            let indeterminate = error.with(.indeterminate)
            while let slot = leftover.wire.popFirst() {
                if let waiter = slot.waiter {
                    resume(waiter, .failure(slot.position < handedOver ? indeterminate : notSent))
                }
                limiter.release()
            }
            while let slot = leftover.waiting.popFirst() {
                if let waiter = slot.waiter { resume(waiter, .failure(notSent)) }
            }
        }
        takeInbox()
        for waiter in endWaiters { waiter() }
        endWaiters = []
    }
}

// MARK: - Told by the stream

extension RedisConnection: ByteStreamDelegate {
    func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
        machine.progressed(core.driver.now)
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
