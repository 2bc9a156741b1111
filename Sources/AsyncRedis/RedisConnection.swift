@_spi(Driver) import AsyncIO
import RESP
import Synchronization
@_spi(Driver) import UVLoop

/// One connection to a Redis server: performs what its state machine decides.
///
/// It belongs to its loop's thread.
final class RedisConnection: @unchecked Sendable {
    // Safe to share: the constants up to `limiter` are; `order` synchronises itself; everything else is touched on the
    // loop's thread only.
    let core: LoopCore
    let inbox: CommandInbox
    /// What errors call the endpoint.
    let endpoint: String
    let limits: RESPLimits
    let policy: EndpointPolicy
    /// Whether it has one user: the policy's word, or whether it was made for its caller.
    let isExclusive: Bool
    let settings: Machine.Settings
    let target: StreamTarget
    let handshake: RedisHandshake
    let limiter: InflightLimiter
    /// The limiter's, at hand.
    let backlog: Backlog

    /// What is used for each command is kept apart from what is not.
    let machine: LoopBound<ConnectionStateMachine<CommandWaiter>>
    let framer: LoopBound<RESPFramer>
    let writer: StreamWriter
    private(set) var stream: ByteStream?
    var connector: StreamConnector?
    /// The bytes of the commands that wait in the machine, one after the other.
    let held = OutputQueue()

    /// Ends a rest from the loop's ticks.
    var restTimer: LoopTimer?
    /// Written before a task is resumed, read by the task when it goes on.
    ///
    /// The runtime orders the two by itself; but ThreadSanitizer cannot see into it, and would report a race whenever a
    /// command ends on the loop before its task, on another thread, has quite gone to sleep.
    let order = Atomic<Bool>(false)
    /// The error that ended the connection.
    var failure: RedisError?
    var connectWaiters: [(RedisError?) -> Void] = []
    var endWaiters: [() -> Void] = []
    /// How many bytes had been sent when it rested last.
    var bytesSentAtRest: UInt64 = 0
    /// How many bytes of an unfinished reply have come.
    private(set) var unfinishedBytes = 0

    init(
        core: LoopCore,
        endpoint: String,
        target: StreamTarget,
        handshake: RedisHandshake,
        policy: EndpointPolicy,
        isExclusive: Bool,
        connectDeadline: UInt64,
        limiter: InflightLimiter,
        limits: RESPLimits
    ) {
        self.core = core
        self.endpoint = endpoint
        self.target = target
        self.handshake = handshake
        self.policy = policy
        self.isExclusive = isExclusive
        settings = Machine.Settings(
            maxWaiting: policy.maxWaiting,
            maxQueuedBytes: policy.maxQueuedBytes,
            commandTimeout: policy.commandTimeout?.nanoseconds ?? .max,
            liveness: policy.livenessTimeout?.nanoseconds ?? .max,
            idleProbe: policy.idleProbeInterval?.nanoseconds ?? .max,
            connectDeadline: connectDeadline
        )
        self.limiter = limiter
        backlog = limiter.backlog
        self.limits = limits
        inbox = CommandInbox(limiter.backlog)
        framer = LoopBound(RESPFramer(limits: limits))
        writer = core.makeWriter()
        machine = LoopBound(ConnectionStateMachine(settings))
    }

    // MARK: Connect

    /// Begins to connect.
    func start() {
        guard failure == nil else { return }
        let driver = core.driver
        guard driver.isOpen else { return end(loopIsGone) }
        if machine.value.startsTicking() { startTicker() }
        let deadline = settings.connectDeadline
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
                idleSeconds: milliseconds / 1000,
                unacknowledgedMilliseconds: milliseconds
            )
        }
        do throws(IOError) {
            try stream.startReading()
        } catch {
            return end(lost("reading could not be started: \(error)", error))
        }
        var sizes: [Int] = []
        do throws(RESPEncodingError) {
            for words in handshake.commands {
                let command = RESPWordList(words)
                let byteCount = try command.byteCount(limits)
                writer.send(byteCount) { command.encode(into: &$0) }
                sizes.append(byteCount)
            }
        } catch {
            return end(RedisError(error, endpoint: endpoint))
        }
        stream.write(from: writer)
        connected(handshake: sizes)
    }

    func closeStream() {
        stream?.close()
        stream = nil
    }

    /// Calls `done` once the connection stands, or with the error that kept it from standing.
    func whenConnected(_ done: @escaping (RedisError?) -> Void) {
        if let failure { return done(failure.with(.notSent)) }
        switch machine.value.phase {
        case .ready, .closing: done(nil)
        case .connecting, .handshake, .closed: connectWaiters.append(done)
        }
    }

    /// How many commands are written at once while a turn goes on that began with so many on the wire; nil if all wait for its
    /// end.
    ///
    /// What goes in one piece comes back in one piece: the server waits for this side, and then this side for the server. In
    /// quarters both work at a time. A write for fewer than a dozen commands costs more than it gains, and so does every
    /// further one where one processor serves both sides (`docs/PERFORMANCE.md`).
    static func quarter(ofInflight inflight: Int) -> Int? {
        let quarter = inflight / 4
        return quarter >= 12 && EventLoop.hasSeveralProcessors ? quarter : nil
    }

    // MARK: Replies

    private func kind(ofError reply: Reply) -> ConnectionStateMachine<CommandWaiter>.ReplyKind {
        if machine.value.group == .open, RedisError.isGroupAborted(reply.errorMessage) {
            return .groupAborted
        }
        guard !machine.value.hasBeenAnswered else { return .error }
        return RedisError.isFarewell(reply.errorMessage) ? .farewell : .error
    }
}

// MARK: - Told by the stream

extension RedisConnection: ByteStreamDelegate {
    func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
        machine.value.bytesRead(core.now)
        // The tasks that these replies let go on send as many commands again.
        let quarter = Self.quarter(ofInflight: machine.value.inflight)
        if let quarter { writer.write(inPiecesOf: quarter, atMost: 4) }
        var start = bytes.lowerBound
        do throws(RESPProtocolError) {
            while !machine.value.isOver {
                let length = try buffer.withBytes(start..<bytes.upperBound) {
                    span throws(RESPProtocolError) in
                    try framer.value.next(span)
                }
                guard let length else {
                    unfinishedBytes = bytes.upperBound - start
                    return start - bytes.lowerBound
                }
                let range = start..<(start + length)
                let isError = buffer.byte(at: start) == RESPType.error
                received(
                    Reply(buffer: buffer, range: range),
                    isError ? kind(ofError: Reply(buffer: buffer, range: range)) : .value
                )
                start += length
            }
        } catch {
            end(RedisError(.protocolViolation, .indeterminate, endpoint: endpoint, "\(error)"))
        }
        return bytes.count
    }

    var expectsNoInput: Bool { machine.value.expectsNoReply(handedOver: writer.bytesHandedOver) }

    func streamWillWrite(_ now: UInt64) { willWrite(now) }

    func streamWrote(isAll: Bool) { wrote(isAll: isAll) }

    func streamEnded(_ failure: IOError?) {
        if failure == .loopShutDown { return end(RedisError(loopShutDownAt: endpoint)) }
        let during =
            switch machine.value.phase {
            case .handshake: " during the handshake"
            default: ""
            }
        if let failure {
            end(lost("the connection broke\(during): \(failure)", failure))
        } else {
            end(lost("the server closed the connection\(during)", nil))
        }
    }
}
