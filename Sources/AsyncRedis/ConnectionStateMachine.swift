@_spi(Driver) import AsyncIO

/// Everything a connection decides: what may be sent, whose reply this is, how each command ends.
///
/// It takes events and returns what to do; it does no I/O, resumes nobody and reads no clock. `Waiter` stands for whoever
/// waits for a command's end; in the client that is a suspended task, in tests a number.
struct ConnectionStateMachine<Waiter>: ~Copyable {
    enum Phase {
        /// The stream is being connected.
        case connecting
        /// The greeting has been sent; so many replies to it are to come.
        case greeting(repliesLeft: Int)
        /// Commands are sent and answered.
        case ready
        /// No command is accepted any more; those accepted go on.
        case closing
        case closed
    }

    /// A command that has been accepted.
    struct Slot {
        /// Nil once its end has been told: a tombstone that keeps its place in the order of replies.
        var waiter: Waiter?
        let byteCount: Int
        /// On the loop's clock, in nanoseconds; `UInt64.max` for none.
        let deadline: UInt64
        /// Where its first byte stands among all bytes given to the stream, once it has been.
        var position: UInt64 = 0
    }

    /// Why a command is not accepted.
    enum Refusal: Hashable {
        case closed
        case tooManyWaiting
        case tooManyBytes
    }

    /// What a connection may hold and how long it may take; instants are on the loop's clock, in nanoseconds.
    struct Settings {
        var maxWaiting: Int
        var maxQueuedBytes: Int
        /// How long no byte may come while replies are due; nil for no limit.
        var liveness: UInt64?
        /// When the connection has to stand.
        var connectDeadline: UInt64 = .max
    }

    private let settings: Settings

    private(set) var phase = Phase.connecting
    private var greetingCommands = 0
    /// A close was asked for before the connection stood; what was accepted is still to be sent.
    private var isCloseRequested = false
    /// When a close that drains has to be over.
    private var closeDeadline = UInt64.max
    /// When something last showed that the server is alive, or nothing was expected of it.
    private var progressAt: UInt64 = 0
    /// It has been silent for too long; the verdict falls if nothing has come by the next tick.
    private var isSuspected = false

    /// Commands given to the stream, in the order of their replies.
    ///
    /// Each holds a permit.
    private var wire = RingBuffer<Slot>()
    /// Commands that wait for the connection or for a permit, in the order they came.
    private var waiting = RingBuffer<Slot>()
    /// The bytes of the commands in `waiting`, without tombstones.
    private var waitingBytes = 0
    /// How many in `waiting` are tombstones.
    private var waitingTombstones = 0
    private var wireSweep = Sweep()
    private var waitingSweep = Sweep()

    init(_ settings: Settings) {
        self.settings = settings
    }

    /// How many commands wait for their reply, tombstones included.
    var inflight: Int { wire.count }
    /// How many commands wait to be sent.
    var waitingCount: Int { waiting.count - waitingTombstones }
    /// Whether nothing is to come any more.
    var isIdle: Bool { wire.isEmpty && waiting.isEmpty }

    // MARK: Commands in

    /// Whether a new command should ask for a permit at once, instead of waiting behind others.
    @inline(__always)
    var mayAskForPermit: Bool {
        if case .ready = phase { return waiting.isEmpty }
        return false
    }

    /// Decides whether a command may come in.
    ///
    /// - Parameters:
    ///   - byteCount: its size.
    ///   - hasPermit: whether it would be sent at once.
    ///   - unsentBytes: what the stream holds that has not been handed to the socket.
    @inline(__always)
    func refusal(byteCount: Int, hasPermit: Bool, unsentBytes: Int) -> Refusal? {
        switch phase {
        case .closing, .closed: return .closed
        case .connecting, .greeting: if isCloseRequested { return .closed }
        case .ready: break
        }
        if !hasPermit, waitingCount >= settings.maxWaiting { return .tooManyWaiting }
        let queued = unsentBytes + waitingBytes
        if queued > 0, queued + byteCount > settings.maxQueuedBytes { return .tooManyBytes }
        return nil
    }

    /// A command with a permit was given to the stream at `position`.
    @inline(__always)
    mutating func sent(_ waiter: Waiter, byteCount: Int, deadline: UInt64, position: UInt64, now: UInt64) {
        if wire.isEmpty { progressed(now) }
        wire.append(Slot(waiter: waiter, byteCount: byteCount, deadline: deadline, position: position))
    }

    /// A command was encoded and waits.
    mutating func queued(_ waiter: Waiter, byteCount: Int, deadline: UInt64) {
        waiting.append(Slot(waiter: waiter, byteCount: byteCount, deadline: deadline))
        waitingBytes += byteCount
    }

    // MARK: Waiting commands out

    enum NextWaiting {
        /// These bytes at the head belong to nobody any more: drop them and ask again.
        case skip(byteCount: Int)
        /// The first command ends unsent: tell it, drop its bytes and ask again.
        case end(Waiter, EarlyEnd, byteCount: Int)
        /// The first command goes out with these bytes; it is on the wire now.
        case send(byteCount: Int)
        /// Nobody waits, or nothing may be sent.
        case none
    }

    /// Whether the next in line may be sent, given a permit.
    var mayPromote: Bool {
        switch phase {
        case .ready, .closing: !waiting.isEmpty
        case .connecting, .greeting, .closed: false
        }
    }

    /// Takes the first waiting command to the wire.
    ///
    /// The caller holds a permit for it.
    mutating func promoteNext(position: UInt64, now: UInt64, isCancelled: (Waiter) -> Bool) -> NextWaiting {
        guard mayPromote, var slot = waiting.popFirst() else { return .none }
        waitingSweep.departed(1)
        guard let waiter = slot.waiter else {
            waitingTombstones -= 1
            return .skip(byteCount: slot.byteCount)
        }
        waitingBytes -= slot.byteCount
        if isCancelled(waiter) { return .end(waiter, .cancelled, byteCount: slot.byteCount) }
        if slot.deadline <= now { return .end(waiter, .deadlineExceeded, byteCount: slot.byteCount) }
        slot.position = position
        if wire.isEmpty { progressed(now) }
        wire.append(slot)
        return .send(byteCount: slot.byteCount)
    }

    // MARK: Connecting

    /// The stream is connected, and a greeting of `greetingCommands` commands goes out first.
    ///
    /// - Returns: whether commands may be sent now.
    mutating func connected(greetingCommands: Int, now: UInt64) -> Bool {
        guard case .connecting = phase else { return false }
        progressed(now)
        if greetingCommands > 0 {
            self.greetingCommands = greetingCommands
            phase = .greeting(repliesLeft: greetingCommands)
            return false
        }
        becomeReady()
        return true
    }

    private mutating func becomeReady() {
        phase = isCloseRequested ? .closing : .ready
    }

    // MARK: Time

    /// Bytes have come, or nothing was expected until now.
    @inline(__always)
    mutating func progressed(_ now: UInt64) {
        progressAt = now
        isSuspected = false
    }

    enum Verdict: Hashable {
        case goOn
        /// Nothing has a time limit now: no tick is needed until the next command.
        case rest
        case end(TimeOut)
    }

    /// What ran out of time.
    enum TimeOut: Hashable {
        case connect, close, liveness
    }

    /// Looks at the connection's own time limits, now and again.
    mutating func tick(_ now: UInt64) -> Verdict {
        switch phase {
        case .closed: return .rest
        case .connecting, .greeting: if settings.connectDeadline <= now { return .end(.connect) }
        case .ready, .closing: break
        }
        if closeDeadline <= now { return .end(.close) }
        if !wire.isEmpty, let liveness = settings.liveness, now > progressAt, now - progressAt > liveness {
            // The process itself may have been stopped: look at the socket once more before the verdict.
            if isSuspected { return .end(.liveness) }
            isSuspected = true
        }
        switch phase {
        case .ready, .closed: return isIdle ? .rest : .goOn
        case .connecting, .greeting, .closing: return .goOn
        }
    }

    // MARK: Replies

    enum ReplyAction {
        /// The greeting goes on.
        case greetingReply
        /// The greeting is done; commands may be sent now.
        case greetingDone
        /// The server refused this command of the greeting, counted from 0.
        case greetingRefused(Int)
        /// It answers this command. Its permit is free.
        case deliver(Waiter)
        /// It answers a command that nobody waits for any more. Its permit is free.
        case discard
        /// Nobody asked: the connection has to end.
        case unsolicited
    }

    /// A complete reply has come.
    ///
    /// - Parameters:
    ///   - isError: whether it is an error reply.
    ///   - bytesHandedOver: how many bytes have been handed to the socket: a reply to what has not left is not one.
    @inline(__always)
    mutating func replyReceived(isError: Bool, bytesHandedOver: UInt64) -> ReplyAction {
        switch phase {
        case .ready, .closing:
            guard let slot = wire.first, slot.position < bytesHandedOver, let slot = wire.popFirst() else {
                return .unsolicited
            }
            wireSweep.departed(1)
            if let waiter = slot.waiter { return .deliver(waiter) }
            return .discard
        case .greeting(let repliesLeft):
            if isError { return .greetingRefused(greetingCommands - repliesLeft) }
            guard repliesLeft == 1 else {
                phase = .greeting(repliesLeft: repliesLeft - 1)
                return .greetingReply
            }
            becomeReady()
            return .greetingDone
        case .connecting, .closed:
            return .unsolicited
        }
    }

    // MARK: Early ends

    /// How a command ends before its reply.
    enum EarlyEnd: Hashable {
        case cancelled
        case deadlineExceeded
    }

    /// Commands that ended before their replies, and what is to be done for them.
    struct Expiry {
        struct Ended {
            let waiter: Waiter
            let end: EarlyEnd
            let outcome: RedisError.Outcome
        }

        var ended: [Ended] = []
        /// Where bytes stand in the stream that have not been handed over, and must not be; in ascending order.
        var takeBack: [Range<UInt64>] = []
        /// How many permits the commands of those bytes set free.
        var permitsFreed: Int { takeBack.count }
        /// Where bytes that belong to nobody stand among those that wait, from the first; in ascending order.
        var dropWaiting: [Range<Int>] = []
    }

    /// Ends commands whose deadline has passed or whose task is cancelled.
    ///
    /// A command that waits is never sent then. One that was handed to the socket keeps its place and its permit. One in
    /// between leaves the wire whole.
    ///
    /// - Parameter limit: how many commands to look at on the wire, and how many of those that wait. The next call goes on
    ///   where this one stopped, so that a long queue costs each call no more than a short one.
    mutating func expire(
        now: UInt64,
        bytesHandedOver: UInt64,
        atMost limit: Int = .max,
        isCancelled: (Waiter) -> Bool
    ) -> Expiry {
        func end(of slot: Slot) -> (Waiter, EarlyEnd)? {
            guard let waiter = slot.waiter else { return nil }
            if isCancelled(waiter) { return (waiter, .cancelled) }
            return slot.deadline <= now ? (waiter, .deadlineExceeded) : nil
        }

        var expiry = Expiry()
        let swept = wireSweep.next(limit, of: wire.count)
        for index in swept {
            let slot = wire[index]
            guard let (waiter, reason) = end(of: slot) else { continue }
            if slot.position < bytesHandedOver {
                wire[index].waiter = nil
                expiry.ended.append(.init(waiter: waiter, end: reason, outcome: .indeterminate))
            } else {
                expiry.ended.append(.init(waiter: waiter, end: reason, outcome: .notSent))
                expiry.takeBack.append(slot.position..<(slot.position + UInt64(slot.byteCount)))
            }
        }
        takeFromWire(expiry.takeBack, from: swept.lowerBound)

        for index in waitingSweep.next(limit, of: waiting.count) {
            guard let (waiter, reason) = end(of: waiting[index]) else { continue }
            waiting[index].waiter = nil
            waitingTombstones += 1
            waitingBytes -= waiting[index].byteCount
            expiry.ended.append(.init(waiter: waiter, end: reason, outcome: .notSent))
        }
        if waitingTombstones > 64, waitingTombstones > waiting.count / 2 {
            expiry.dropWaiting = dropTombstones()
        }
        return expiry
    }

    /// Takes the commands at these positions off the wire, in one pass; the ones behind them move up.
    private mutating func takeFromWire(_ ranges: [Range<UInt64>], from start: Int) {
        guard !ranges.isEmpty else { return }
        var next = 0
        var removed: UInt64 = 0
        wire.removeAll(from: start) { slot in
            if next < ranges.count, slot.position == ranges[next].lowerBound {
                removed += UInt64(ranges[next].count)
                next += 1
                return true
            }
            slot.position -= removed
            return false
        }
        wireSweep.removed(ranges.count)
    }

    /// Takes all tombstones out of `waiting`.
    ///
    /// - Returns: where their bytes stand.
    private mutating func dropTombstones() -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var offset = 0
        waiting.removeAll(from: 0) { slot in
            let bytes = offset..<(offset + slot.byteCount)
            offset = bytes.upperBound
            guard slot.waiter == nil else { return false }
            ranges.append(bytes)
            return true
        }
        waitingTombstones = 0
        waitingSweep = Sweep()
        return ranges
    }

    /// Goes round a queue in pieces, while elements leave at its head.
    private struct Sweep {
        /// How many elements have left.
        private var gone = 0
        /// Where the next piece begins, counted from the first element there ever was.
        private var cursor = 0

        /// Elements left at the head.
        mutating func departed(_ count: Int) { gone &+= count }

        /// Elements of the last piece were taken out.
        mutating func removed(_ count: Int) { cursor &-= count }

        mutating func next(_ limit: Int, of count: Int) -> Range<Int> {
            var start = max(0, cursor &- gone)
            if start >= count { start = 0 }
            let end = start + min(limit, count - start)
            cursor = gone &+ end
            return start..<end
        }
    }

    // MARK: The end

    enum CloseAction {
        /// Nothing is under way: end the connection now.
        case endNow
        /// Replies are to come: end it when `isIdle`.
        case drain
        /// It has ended.
        case none
    }

    /// No further command is accepted; what was accepted goes on, until `deadline` at the latest.
    mutating func close(deadline: UInt64) -> CloseAction {
        closeDeadline = min(closeDeadline, deadline)
        switch phase {
        case .closed: return .none
        case .connecting, .greeting:
            isCloseRequested = true
            return isIdle ? .endNow : .drain
        case .ready, .closing:
            phase = .closing
            return isIdle ? .endNow : .drain
        }
    }

    /// Whether a close that drained is complete.
    var isDrained: Bool {
        if case .closing = phase { return isIdle }
        return false
    }

    /// The commands that an ended connection leaves, first come first; each on the wire held a permit.
    struct Leftover {
        var wire: RingBuffer<Slot>
        var waiting: RingBuffer<Slot>
    }

    /// The connection is over.
    ///
    /// - Returns: what it leaves, or nil if it was over before.
    mutating func end() -> Leftover? {
        if case .closed = phase { return nil }
        phase = .closed
        let leftover = Leftover(wire: wire, waiting: waiting)
        wire = RingBuffer()
        waiting = RingBuffer()
        waitingBytes = 0
        waitingTombstones = 0
        return leftover
    }
}
