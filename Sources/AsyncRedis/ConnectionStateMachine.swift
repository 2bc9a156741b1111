@_spi(Driver) import AsyncIO
@_spi(Driver) import struct UVLoop.RingBuffer

/// Everything a connection decides: what may be sent, whose reply this is, how each command ends.
///
/// It takes events and returns what to do; it does no I/O, resumes nobody and reads no clock. `Waiter` stands for whoever
/// waits for a command's end; in the client that is a suspended task, in tests a number. Instants and durations are in
/// nanoseconds, on the loop's clock; `UInt64.max` stands for never and for ever.
///
/// Each command on the wire holds one permit of the endpoint's limiter, from `submit` or `promoteNext`, which are told of
/// it, to `replyReceived`, `expire` or `end`, which say when it is free.
struct ConnectionStateMachine<Waiter>: ~Copyable {
    enum Phase: Hashable {
        /// The stream is being connected.
        case connecting
        /// The handshake is under way; so many of its commands have been answered.
        case handshake(answered: Int)
        /// Commands are sent and answered.
        case ready
        /// No command is accepted any more; those accepted go on.
        case closing
        case closed
    }

    /// What is known of a command before it is accepted.
    struct Request {
        let byteCount: Int
        /// When it has to be over.
        let deadline: UInt64
        /// How long the server may hold its reply back on purpose, as for `BLPOP`.
        var blockingTime: UInt64 = 0
        /// What it is to a group of commands.
        var groupStep = GroupStep.none
    }

    /// A command that has been accepted.
    struct Slot {
        /// Nil once its end has been told: a tombstone that keeps its place in the order of replies.
        var waiter: Waiter?
        let byteCount: Int
        let deadline: UInt64
        let blockingTime: UInt64
        let groupStep: GroupStep
        /// Where its first byte stands among all bytes given to the stream, once it has been.
        var position: UInt64

        @inline(__always)
        init(_ waiter: Waiter?, _ request: Request, position: UInt64) {
            self.waiter = waiter
            byteCount = request.byteCount
            deadline = request.deadline
            blockingTime = request.blockingTime
            groupStep = request.groupStep
            self.position = position
        }

        /// Where its last byte ends among them.
        @inline(__always)
        var end: UInt64 { position + UInt64(byteCount) }
    }

    /// What the stream says of its output.
    struct Output {
        /// How many bytes it has been given.
        let accepted: UInt64
        /// How many of them the kernel has taken.
        let handedOver: UInt64
    }

    /// What may wait for the endpoint, and how long the connection and its commands may take.
    struct Settings {
        var maxWaiting: Int
        var maxQueuedBytes: Int
        /// How long a command may take.
        var commandTimeout: UInt64 = .max
        /// How long no byte may come while replies are due.
        var liveness: UInt64 = .max
        /// How long an idle connection is left alone before it is probed.
        var idleProbe: UInt64 = .max
        /// So many commands that ended while they waited are kept among those that wait, or as many as live there, and so
        /// many of their bytes, or as many as living ones have.
        var maxTombstones = Backlog.Amount(commands: 64, bytes: 64 * 1024)
        /// When the connection has to stand.
        var connectDeadline: UInt64 = .max
    }

    let settings: Settings

    var phase = Phase.connecting
    /// Where each command of the handshake ends among the bytes given to the stream.
    var handshakeEnds: [UInt64] = []
    /// A close was asked for before the connection stood; what was accepted is still to be sent.
    var isCloseRequested = false
    /// When a close that drains has to be over.
    var closeDeadline = UInt64.max
    /// When bytes last came; 0 if none ever have.
    var readAt: UInt64 = 0
    /// When something last showed that the server is alive, or nothing was expected of it.
    var progressAt: UInt64 = 0
    /// It has been silent for too long; the verdict falls if nothing has come by the next tick.
    var isSuspected = false
    /// A reply to a command, or to the handshake, has come.
    var hasBeenAnswered = false
    /// A group of commands, between which none of the connection's own may come, as far as the server has answered.
    enum Group: Hashable {
        case closed
        /// Of the next command alone.
        case openForNext
        case open
    }
    var group = Group.closed

    /// Commands given to the stream, in the order of their replies.
    var wire = RingBuffer<Slot>()
    /// The earliest deadline of commands that the kernel has not taken, or an earlier instant.
    var earliestUnsent = UInt64.max
    /// Commands that wait for the connection or for a permit, in the order they came.
    var waiting = RingBuffer<Slot>()
    /// The bytes of the commands in `waiting`, without tombstones.
    var waitingBytes = 0
    /// How many places in the limiter's line are for commands that wait here.
    var placesInLine = 0
    /// What the endpoint's backlog has been told of this connection.
    var toldBacklog = Backlog.Amount()
    /// Whether the next tick is a tick's length away at most.
    var isTicking = false
    /// How many in `waiting` are tombstones, and the bytes that are kept of them.
    var waitingTombstones = 0
    var tombstoneBytes = 0
    var wireSweep = Sweep()
    var waitingSweep = Sweep()

    init(_ settings: Settings) {
        self.settings = settings
    }

    /// How many commands wait for their reply, tombstones included: so many permits are held.
    var inflight: Int { wire.count }
    /// How many commands wait to be sent.
    var waitingCount: Int { waiting.count - waitingTombstones }
    /// Whether nothing is to come any more.
    var isIdle: Bool { wire.isEmpty && waitingCount == 0 }

    /// Whether the connection has ended.
    @inline(__always)
    var isOver: Bool {
        if case .closed = phase { return true }
        return false
    }

    // MARK: Commands in

    /// Whether a new command should ask for a permit at once, instead of waiting behind others.
    @inline(__always)
    var mayAskForPermit: Bool {
        if case .ready = phase { return waiting.isEmpty }
        return false
    }

    /// Why a command is not accepted.
    enum Refusal: Hashable {
        case closed
        case tooManyWaiting
        case tooManyBytes
    }

    enum Admission {
        /// Give its bytes to the stream now. It is on the wire, and keeps the permit.
        case send
        /// Keep its bytes behind those of the commands that wait.
        case hold
        /// It is not accepted; the permit, if it has one, is free.
        case refuse(Refusal)
        /// It has ended before it was accepted; the permit, if it has one, is free.
        case end(Ended)
    }

    /// A command asks to come in.
    ///
    /// - Parameters:
    ///   - waiter: who waits for its end.
    ///   - request: what it is.
    ///   - isCancelled: whether its task is.
    ///   - hasPermit: whether it holds one, having been allowed to ask.
    ///   - backlog: what waits for the endpoint in front of it.
    ///   - output: the stream's, before this command.
    ///   - now: the time.
    @inline(__always)
    mutating func submit(
        _ waiter: Waiter,
        _ request: Request,
        isCancelled: Bool,
        hasPermit: Bool,
        backlog: Backlog.Amount,
        output: Output,
        now: UInt64
    ) -> Admission {
        if isCancelled || request.deadline <= now {
            return .end(endedBeforeAccepted(waiter, isCancelled ? .cancelled : .deadlineExceeded))
        }
        if let refusal = refusal(request, hasPermit: hasPermit, backlog) { return .refuse(refusal) }
        if hasPermit {
            sent(waiter, request, position: output.accepted, now: now)
            return .send
        }
        queue(waiter, request)
        return .hold
    }

    @inline(__always)
    private func refusal(_ request: Request, hasPermit: Bool, _ backlog: Backlog.Amount) -> Refusal? {
        switch phase {
        case .closing, .closed: return .closed
        case .connecting, .handshake: if isCloseRequested { return .closed }
        case .ready: break
        }
        if !hasPermit, backlog.commands >= settings.maxWaiting { return .tooManyWaiting }
        let isRoomy = backlog.hasRoom(forBytes: request.byteCount, atMost: settings.maxQueuedBytes)
        return isRoomy ? nil : .tooManyBytes
    }

    @inline(__always)
    private mutating func sent(_ waiter: Waiter?, _ request: Request, position: UInt64, now: UInt64) {
        joinWire(Slot(waiter, request, position: position), now)
    }

    @inline(__always)
    private mutating func joinWire(_ slot: Slot, _ now: UInt64) {
        if wire.isEmpty { expectNothingBefore(now) }
        if slot.deadline < earliestUnsent { earliestUnsent = slot.deadline }
        wire.append(slot)
    }

    private mutating func queue(_ waiter: Waiter, _ request: Request) {
        waiting.append(Slot(waiter, request, position: 0))
        waitingBytes += request.byteCount
    }

    /// A probe was given to the stream, which nobody waits for; it holds a permit.
    mutating func probeSent(byteCount: Int, position: UInt64, now: UInt64) {
        sent(nil, Request(byteCount: byteCount, deadline: .max), position: position, now: now)
    }

    /// What waits here has changed by so much since the endpoint's backlog was told last; it is to be told now.
    @inline(__always)
    mutating func backlogChange(_ output: Output) -> Backlog.Amount {
        let (commands, bytes) = (waitingCount, Int(output.accepted - output.handedOver) + waitingBytes)
        let change = Backlog.Amount(
            commands: commands - toldBacklog.commands,
            bytes: bytes - toldBacklog.bytes
        )
        toldBacklog = Backlog.Amount(commands: commands, bytes: bytes)
        return change
    }

    // MARK: Waiting commands out

    /// Whether one more place in the limiter's line is to be taken: each command that waits has one.
    ///
    /// The place of a command that ended while it waited serves the next one.
    mutating func takesPlaceInLine() -> Bool {
        guard mayPromote, placesInLine < waitingCount else { return false }
        placesInLine += 1
        return true
    }

    /// It is this connection's turn in the limiter's line.
    mutating func turnInLineCame() { placesInLine -= 1 }

    enum NextWaiting {
        /// These bytes at the head belong to nobody any more: drop them and ask again.
        case skip(byteCount: Int)
        /// The first command ends unsent: tell it, drop its bytes and ask again.
        case end(Ended, byteCount: Int)
        /// The first command goes out with these bytes; it is on the wire now, and keeps the permit.
        case send(byteCount: Int)
        /// Nobody waits, or nothing may be sent; the permit is free.
        case none
    }

    /// Whether the next in line may be sent, given a permit.
    var mayPromote: Bool {
        switch phase {
        case .ready, .closing: waitingCount > 0
        case .connecting, .handshake, .closed: false
        }
    }

    /// Takes the first waiting command to the wire.
    ///
    /// The caller holds a permit for it.
    mutating func promoteNext(position: UInt64, now: UInt64, isCancelled: (Waiter) -> Bool) -> NextWaiting {
        guard mayPromote, var slot = waiting.popFirst() else { return .none }
        waitingSweep.departed()
        guard let waiter = slot.waiter else {
            waitingTombstones -= 1
            tombstoneBytes -= slot.byteCount
            return .skip(byteCount: slot.byteCount)
        }
        waitingBytes -= slot.byteCount
        if let reason = reasonToEnd(waiter, slot.deadline, now, isCancelled) {
            let ended = Ended(
                waiter: waiter,
                reason: reason,
                outcome: .notSent,
                phase: .waitingForPermit,
                commandsAhead: wire.count
            )
            return .end(ended, byteCount: slot.byteCount)
        }
        slot.position = position
        joinWire(slot, now)
        return .send(byteCount: slot.byteCount)
    }

    // MARK: Connecting

    /// The stream is connected, and a handshake goes out first, of commands of these sizes.
    ///
    /// - Returns: whether commands may be sent now.
    mutating func connected(handshake sizes: [Int], now: UInt64) -> Bool {
        guard case .connecting = phase else { return false }
        expectNothingBefore(now)
        var end: UInt64 = 0
        for size in sizes {
            end += UInt64(size)
            handshakeEnds.append(end)
        }
        guard sizes.isEmpty else {
            phase = .handshake(answered: 0)
            return false
        }
        becomeReady()
        return true
    }

    mutating func becomeReady() {
        phase = isCloseRequested ? .closing : .ready
    }
}
