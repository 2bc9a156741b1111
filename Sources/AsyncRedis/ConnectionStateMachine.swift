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

    private let maxWaiting: Int
    private let maxQueuedBytes: Int

    private(set) var phase = Phase.connecting
    /// A close was asked for before the connection stood; what was accepted is still to be sent.
    private var isCloseRequested = false
    /// Commands given to the stream, in the order of their replies.
    ///
    /// Each holds a permit.
    private var wire = RingBuffer<Slot>()
    /// Commands that wait for the connection or for a permit, in the order they came.
    private var waiting = RingBuffer<Slot>()
    /// The commands' bytes in `waiting`, tombstones included.
    private(set) var waitingBytes = 0
    /// How many in `waiting` are tombstones.
    private var waitingTombstones = 0
    private var wireSweep = Sweep()
    private var waitingSweep = Sweep()

    init(maxWaiting: Int, maxQueuedBytes: Int) {
        self.maxWaiting = maxWaiting
        self.maxQueuedBytes = maxQueuedBytes
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
        if !hasPermit, waitingCount >= maxWaiting { return .tooManyWaiting }
        let queued = unsentBytes + waitingBytes
        if queued > 0, queued + byteCount > maxQueuedBytes { return .tooManyBytes }
        return nil
    }

    /// A command with a permit was given to the stream at `position`.
    @inline(__always)
    mutating func sent(_ waiter: Waiter, byteCount: Int, deadline: UInt64, position: UInt64) {
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
    mutating func promoteNext(position: UInt64) -> NextWaiting {
        guard mayPromote, var slot = waiting.popFirst() else { return .none }
        waitingSweep.departedOne()
        waitingBytes -= slot.byteCount
        if slot.waiter == nil {
            waitingTombstones -= 1
            return .skip(byteCount: slot.byteCount)
        }
        slot.position = position
        wire.append(slot)
        return .send(byteCount: slot.byteCount)
    }

    // MARK: Connecting

    /// The stream is connected, and a greeting of `greetingCommands` commands goes out first.
    ///
    /// - Returns: whether commands may be sent now.
    mutating func connected(greetingCommands: Int) -> Bool {
        guard case .connecting = phase else { return false }
        if greetingCommands > 0 {
            phase = .greeting(repliesLeft: greetingCommands)
            return false
        }
        becomeReady()
        return true
    }

    private mutating func becomeReady() {
        phase = isCloseRequested ? .closing : .ready
    }

    // MARK: Replies

    enum ReplyAction {
        /// The greeting goes on.
        case greetingReply
        /// The greeting is done; commands may be sent now.
        case greetingDone
        /// The server refused the greeting.
        case greetingRefused
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
            wireSweep.departedOne()
            if let waiter = slot.waiter { return .deliver(waiter) }
            return .discard
        case .greeting(let repliesLeft):
            if isError { return .greetingRefused }
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

    /// A command that ended before its reply.
    struct Expired {
        let waiter: Waiter
        let end: EarlyEnd
        let outcome: RedisError.Outcome
        /// Bytes to take back from the stream: they have not been handed over, and must not be.
        let takeBack: Range<UInt64>?
    }

    /// Ends commands whose deadline has passed or whose task is cancelled.
    ///
    /// A command that waits is never sent then. One that was handed to the socket keeps its place and its permit. One in
    /// between leaves the wire whole; `takeBack` names its bytes, in an order in which they can be taken back one by one.
    ///
    /// - Parameter limit: how many commands to look at on the wire, and how many of those that wait. The next call goes on
    ///   where this one stopped, so that a long queue costs each call no more than a short one.
    /// - Returns: the commands ended, and how many permits that set free.
    mutating func expire(
        now: UInt64,
        bytesHandedOver: UInt64,
        atMost limit: Int = .max,
        isCancelled: (Waiter) -> Bool
    ) -> (ended: [Expired], permitsFreed: Int) {
        func end(of slot: Slot) -> (Waiter, EarlyEnd)? {
            guard let waiter = slot.waiter else { return nil }
            if isCancelled(waiter) { return (waiter, .cancelled) }
            return slot.deadline <= now ? (waiter, .deadlineExceeded) : nil
        }

        var ended: [Expired] = []
        var unsent: [(index: Int, waiter: Waiter, end: EarlyEnd)] = []
        for index in wireSweep.next(limit, of: wire.count) {
            let slot = wire[index]
            guard let (waiter, reason) = end(of: slot) else { continue }
            if slot.position >= bytesHandedOver {
                unsent.append((index, waiter, reason))
            } else {
                wire[index].waiter = nil
                ended.append(Expired(waiter: waiter, end: reason, outcome: .indeterminate, takeBack: nil))
            }
        }
        // From the last to the first, so that neither places nor positions of those still to go are disturbed.
        for (index, waiter, reason) in unsent.reversed() {
            let slot = wire.remove(at: index)
            for later in index..<wire.count { wire[later].position -= UInt64(slot.byteCount) }
            let bytes = slot.position..<(slot.position + UInt64(slot.byteCount))
            ended.append(Expired(waiter: waiter, end: reason, outcome: .notSent, takeBack: bytes))
        }
        for index in waitingSweep.next(limit, of: waiting.count) {
            guard let (waiter, reason) = end(of: waiting[index]) else { continue }
            waiting[index].waiter = nil
            waitingTombstones += 1
            ended.append(Expired(waiter: waiter, end: reason, outcome: .notSent, takeBack: nil))
        }
        return (ended, unsent.count)
    }

    /// Goes round a queue in pieces, while elements leave at its head.
    private struct Sweep {
        /// How many elements have left.
        private var departed = 0
        /// Where the next piece begins, counted from the first element there ever was.
        private var cursor = 0

        mutating func departedOne() { departed &+= 1 }

        mutating func next(_ limit: Int, of count: Int) -> Range<Int> {
            var start = max(0, cursor &- departed)
            if start >= count { start = 0 }
            let end = start + min(limit, count - start)
            cursor = departed &+ end
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

    /// No further command is accepted; what was accepted goes on.
    mutating func close() -> CloseAction {
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
