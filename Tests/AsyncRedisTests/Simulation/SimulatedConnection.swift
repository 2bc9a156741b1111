@_spi(Driver) import AsyncIO
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// A connection that lends the performer's hands to a model of a stream: bytes are the numbers of the commands they belong
/// to.
///
/// What is done for an event is what `RedisConnection` does, by the same code.
final class SimulatedConnection: ConnectionPerformer {
    typealias Waiter = Int
    typealias Reply = Simulation.Reply
    typealias Machine = ConnectionStateMachine<Int>

    /// How something failed: what the machine said of it.
    enum Failure {
        case refused(Machine.Refusal)
        case ended(Machine.Ended)
        case connection(Machine.EndCause?, RedisError.Outcome?)
    }

    let machine: LoopBound<ConnectionStateMachine<Int>>
    let limiter: InflightLimiter
    var backlog: Backlog { limiter.backlog }
    unowned let world: Simulation
    let settings: Machine.Settings
    private let setup: Simulation.Setup
    let server: SimulatedServer

    /// What the kernel has not taken, and what waits in the machine.
    private(set) var gathered: [Int] = []
    private(set) var held: [Int] = []
    /// Commands on their way to the loop.
    private(set) var inbox: [(id: Int, request: Machine.Request)] = []
    private(set) var isInboxClosed = false
    private var handedOver: UInt64 = 0

    private(set) var isConnected = false
    private(set) var isClosed = false
    /// When a close, and connecting, have to be over.
    private(set) var closeDeadline = UInt64.max
    let connectDeadline: UInt64
    private(set) var hasEnded = false
    /// It ended because of a reply, which answers nothing.
    private var mistrustsReply = false
    /// When the next tick is due.
    private(set) var nextTick = UInt64.max
    private(set) var tickCount = 0
    private(set) var lastBytesAt: UInt64
    private(set) var bytesRead = 0

    static let tickLength: UInt64 = 5

    init(_ setup: Simulation.Setup, limiter: InflightLimiter, world: Simulation) {
        self.setup = setup
        self.limiter = limiter
        self.world = world
        connectDeadline = setup.connectDeadline == .max ? .max : world.now + setup.connectDeadline
        settings = Machine.Settings(
            maxWaiting: setup.maxWaiting,
            maxQueuedBytes: setup.maxQueuedBytes,
            commandTimeout: setup.commandTimeout,
            liveness: setup.liveness,
            idleProbe: setup.idleProbe,
            maxTombstones: setup.maxTombstones,
            connectDeadline: connectDeadline
        )
        machine = LoopBound(ConnectionStateMachine(settings))
        server = SimulatedServer(world)
        lastBytesAt = world.now
        if machine.value.startsTicking() { startTicker() }
    }

    var phase: Machine.Phase { machine.value.phase }
    var hasNothingToDo: Bool { inflight + waitingCount + inbox.count == 0 }

    /// How many commands and probes have been given to the stream and are not answered.
    var inflight: Int {
        guard !hasEnded else { return 0 }
        let taken = server.expected.count { $0 > Simulation.handshake }
        // Of one that the kernel has in part, the rest is no further command.
        var last = handedOver > 0 ? server.expected.last : nil
        var unsent = 0
        for id in gathered where id > Simulation.handshake && (id != last || id == Simulation.probe) {
            unsent += 1
            last = id
        }
        return taken + unsent
    }
    /// How many commands wait, and how many that ended while they waited still have their bytes here.
    var waitingCount: Int { heldCount { $0.end == nil } }
    var heldTombstones: Int { heldCount { $0.end != nil } }

    var heldBytes: Int { held.count }
    var heldTombstoneBytes: Int { held.count { world.commands[$0].end != nil } }

    private func heldCount(_ isCounted: (Simulation.Command) -> Bool) -> Int {
        var (count, last) = (0, -1)
        for id in held where id != last {
            last = id
            if isCounted(world.commands[id]) { count += 1 }
        }
        return count
    }

    /// The bytes of commands that have not left, without those of tombstones.
    var queuedBytes: Int {
        let waiting = held.count { world.commands[$0].end == nil }
        return gathered.count + waiting + inbox.reduce(0) { $0 + $1.request.byteCount }
    }

    // MARK: Events

    /// A task on the loop sends a command.
    func submit(_ id: Int, _ request: Machine.Request) {
        world.takenIn(id)
        submit(id, request, behind: backlog.all, now: earlierNow) { write(id, request, $0) }
    }

    private func write(_ id: Int, _ request: Machine.Request, _ place: CommandPlace) {
        let bytes = Array(repeating: id, count: request.byteCount)
        switch place {
        case .stream: gathered += bytes
        case .held: held += bytes
        }
    }

    /// A task elsewhere hands a command in.
    func handIn(_ id: Int, _ request: Machine.Request) {
        if isInboxClosed { return world.refused(id, .closed, self) }
        switch backlog.reserve(bytes: request.byteCount) {
        case nil: inbox.append((id, request))
        case .commands: world.refused(id, .tooManyWaiting, self)
        case .bytes: world.refused(id, .tooManyBytes, self)
        }
    }

    func connect() {
        guard case .connecting = phase, !isConnected else { return }
        isConnected = true
        // The handshake's bytes belong to commands below zero.
        for number in 0..<setup.handshakeCommands { gathered.append(Simulation.handshake - number) }
        connected(handshake: Array(repeating: 1, count: setup.handshakeCommands))
    }

    /// Hands bytes to the kernel, which takes so many at the most.
    func flush(atMost room: Int) {
        guard isConnected, !hasEnded, !gathered.isEmpty else { return }
        // What lies in the socket already is read first.
        if machine.value.expectsNoReply(handedOver: handedOver), server.hasOutput { return }
        willWrite(now)
        guard !hasEnded else { return }
        let taken = Array(gathered.prefix(room))
        gathered.removeFirst(taken.count)
        handedOver += UInt64(taken.count)
        server.kernelTook(taken)
        if !taken.isEmpty { wrote(isAll: gathered.isEmpty) }
    }

    func readByte() {
        guard isConnected, !hasEnded else { return }
        let (hasByte, reply) = server.nextByte()
        guard hasByte else { return }
        lastBytesAt = world.now
        bytesRead += 1
        machine.value.bytesRead(world.now)
        guard let reply else { return }
        let due = server.expected.first
        let isDue = server.answerIsRead(reply)
        received(reply, reply.kind)
        if !mistrustsReply { world.answered(reply, isDue: isDue, due) }
    }

    func tickIfDue() -> Bool {
        guard nextTick <= world.now else { return false }
        tickCount += 1
        nextTick = world.now + Self.tickLength
        tick(atMost: setup.sweepLimit)
        return true
    }

    func close(deadline: UInt64) {
        guard !hasEnded else { return }
        isClosed = true
        closeDeadline = min(closeDeadline, deadline)
        isInboxClosed = true
        drain(until: deadline)
    }

    func breakOff() { end(.connection(nil, nil)) }

    // MARK: The performer's hands

    var now: UInt64 { world.now }
    var earlierNow: UInt64 { world.now - world.now % 4 }
    var output: Machine.Output {
        .init(accepted: handedOver + UInt64(gathered.count), handedOver: handedOver)
    }

    func isCancelled(_ waiter: Int) -> Bool { world.commands[waiter].cancelledAt != nil }
    func succeed(_ waiter: Int, _ reply: Reply) { world.delivered(waiter, reply) }

    func fail(_ waiter: Int, _ failure: Failure) {
        switch failure {
        case .refused(let refusal): world.refused(waiter, refusal, self)
        case .ended(let end): world.endedEarly(end)
        case .connection(_, let outcome): world.lost(waiter, outcome)
        }
    }

    func failure(of refused: Machine.Refusal) -> Failure { .refused(refused) }
    func failure(of ended: Machine.Ended) -> Failure { .ended(ended) }

    func failure(_ cause: Machine.EndCause, _ reply: Reply?) -> Failure {
        world.decidedToEnd(self, cause, reply)
        mistrustsReply = reply != nil
        return .connection(cause, nil)
    }

    func failure(_ failure: Failure, ofCommandThatIs outcome: RedisError.Outcome) -> Failure {
        if case .connection(let cause, _) = failure { return .connection(cause, outcome) }
        return failure
    }

    func sendHeld(_ byteCount: Int) {
        world.promoted(held[0])
        gathered += held.prefix(byteCount)
        held.removeFirst(byteCount)
    }

    func dropHeld(_ byteCount: Int) { held.removeFirst(byteCount) }

    func dropHeld(_ ranges: [Range<Int>]) {
        for range in ranges.reversed() { held.removeSubrange(range) }
    }

    func takeBack(_ ranges: [Range<UInt64>]) -> Bool {
        for range in ranges.reversed() {
            guard range.lowerBound >= handedOver, range.upperBound <= output.accepted else { return false }
            gathered.removeSubrange(Int(range.lowerBound - handedOver)..<Int(range.upperBound - handedOver))
        }
        return true
    }

    func emptyInbox(
        arrived: (Backlog.Amount) -> Void,
        each: (Int, Machine.Request, (CommandPlace) -> Void) -> Void
    ) {
        let batch = inbox
        inbox = []
        arrived(.init(commands: batch.count, bytes: batch.reduce(0) { $0 + $1.request.byteCount }))
        for (id, request) in batch {
            world.takenIn(id)
            each(id, request) { write(id, request, $0) }
        }
    }

    func sendProbe() -> Int? {
        world.check(isConnected && !hasEnded, "a probe is sent to nobody")
        gathered.append(Simulation.probe)
        return 1
    }

    func startTicker() { nextTick = world.now + Self.tickLength }
    func restTicker(until instant: UInt64) { nextTick = instant }
    func connectionStands() {}

    func tearDown(_ failure: Failure) {
        world.check(!hasEnded, "ended twice")
        hasEnded = true
        isInboxClosed = true
        nextTick = .max
        gathered = []
        held = []
    }

    func connectionEnded() {
        world.check(hasNothingToDo, "something is left behind by the end")
    }
}
