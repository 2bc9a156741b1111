@_spi(Driver) import AsyncIO

@testable import AsyncRedis

/// A world of one endpoint, the connections of its clients, and their kernels and servers, where everything happens in an
/// order that a seed, or a list of steps, decides.
///
/// It checks what must hold after each step.
final class Simulation {
    typealias Machine = ConnectionStateMachine<Int>

    /// Bytes and replies of the handshake and of probes belong to no command.
    static let handshake = -10
    static let probe = -1

    struct Command {
        let byteCount: Int
        let deadline: UInt64
        var blockingTime: UInt64 = 0
        /// Which of the connections there ever were it is for.
        let connection: Int
        /// Whether it has reached the loop.
        var hasArrived: Bool
        var cancelledAt: UInt64?
        /// How it ended, in words.
        var end: String?
        /// Its place among all commands that were let in.
        var place = 0
        /// How many of its bytes the kernel has taken.
        var bytesTaken = 0
        /// When it took the first of them.
        var takenAt: UInt64 = 0
        var endedAt: UInt64 = 0
        /// When it joined the queue it stands in.
        var joinedAt: UInt64 = 0
        /// When it left those who wait; nil if it did not.
        var promotedAt: UInt64?
        /// The connection's tick since which it should be on its way to an early end.
        var dueSince: Int?
    }

    struct Reply: Hashable {
        /// The command that the server answers; nil for a reply nobody asked for.
        let id: Int?
        let kind: Machine.ReplyKind
        /// Whether it came when the kernel had nothing that is still to be answered.
        var cameUnasked = false
    }

    struct Setup: Hashable {
        var capacity = 2
        var maxWaiting = 3
        var maxQueuedBytes = 12
        var commandTimeout: UInt64 = .max
        var liveness: UInt64 = .max
        var idleProbe: UInt64 = .max
        var connectDeadline: UInt64 = .max
        var handshakeCommands = 0
        var sweepLimit = Int.max
        var maxTombstones = Backlog.Amount(commands: 1, bytes: 4)
        var connectionCount = 1
    }

    let setup: Setup
    private(set) var now: UInt64 = 1000
    var commands: [Command] = []
    let limiter: InflightLimiter
    private(set) var connections: [SimulatedConnection] = []
    /// Which of `connections` the next steps are for.
    private(set) var current = 0
    /// The numbers that `Command.connection` tells those in `connections` by.
    private(set) var numbers: [Int] = []
    private var madeCount = 0
    private var placeCount = 0
    /// Until when the process did not run.
    private(set) var stalledUntil: UInt64 = 0
    /// Where the watch over what takes too long stands, for each of `connections`.
    var watches: [Watch] = []
    /// What was done, for whoever reads a failure.
    private(set) var transcript: [String] = []
    private(set) var failure: String?

    init(_ setup: Setup) {
        self.setup = setup
        limiter = InflightLimiter(
            capacity: setup.capacity,
            mostWaiting: .init(commands: setup.maxWaiting, bytes: setup.maxQueuedBytes)
        )
        for index in 0..<setup.connectionCount { makeConnection(index) }
        transcript.append("\(setup)")
    }

    var connection: SimulatedConnection { connections[current] }

    private func makeConnection(_ index: Int) {
        let made = SimulatedConnection(setup, limiter: limiter, world: self)
        if index < connections.count {
            connections[index] = made
            numbers[index] = madeCount
            watches[index] = Watch()
        } else {
            connections.append(made)
            numbers.append(madeCount)
            watches.append(Watch())
        }
        madeCount += 1
    }

    // MARK: Steps

    /// What a call says of its time.
    struct Time: Hashable {
        /// The call's own; nil for nothing.
        var timeout: UInt64?
        /// When the task's is over, from now on; nil for never.
        var ambient: UInt64?
    }

    enum Step: Hashable {
        case submit(byteCount: Int, Time = Time(), blocking: UInt64 = 0)
        /// A task that is not on the loop does.
        case handIn(byteCount: Int, Time = Time())
        /// The loop takes what was handed in.
        case arrive
        /// Cancels the command that stands so many behind the first that has not ended.
        case cancel(Int)
        case connect
        case connectFails
        /// The kernel takes so many bytes at the most.
        case flush(Int)
        /// The server reads so many bytes, and answers each command that is then complete.
        case serve(Int, Machine.ReplyKind = .value)
        /// So many bytes of replies arrive; a reply has two.
        case read(Int)
        case unsolicited(Machine.ReplyKind)
        /// So much time passes, and each tick comes when it is due.
        case advance(UInt64)
        /// The process does not run for so long.
        case stall(UInt64)
        case garbage
        case endOfStream
        case close(UInt64)
        case shutdown
        /// A new client of the same endpoint, once the old one has ended.
        case reconnect
        /// The next steps are for the other connection.
        case other
    }

    func run(_ step: Step) {
        transcript.append("\(now): \(step)")
        switch step {
        case .submit(let byteCount, let time, let blocking):
            let request = call(byteCount, time, blocking, isOnLoop: true)
            let wasClosed = connection.isClosed
            connection.submit(commands.count - 1, request)
            check(!wasClosed || commands[commands.count - 1].end != nil, "a closed client takes a command")
        case .handIn(let byteCount, let time):
            let request = call(byteCount, time, 0, isOnLoop: false)
            connection.handIn(commands.count - 1, request)
        case .arrive: connection.takeArrivals()
        case .cancel(let index): cancel(index)
        case .connect: connection.connect()
        case .connectFails: if !connection.isConnected { connection.breakOff() }
        case .flush(let room): connection.flush(atMost: room)
        case .serve(let count, let kind): connection.server.serve(count, kind)
        case .read(let count): for _ in 0..<count { connection.readByte() }
        case .unsolicited(let kind): connection.server.say(kind)
        case .advance(let time): advance(time)
        case .stall(let time):
            now += time
            stalledUntil = now
        case .garbage, .endOfStream: if connection.isConnected { connection.breakOff() }
        case .close(let time): connection.close(deadline: now + time)
        case .shutdown: connection.breakOff()
        case .reconnect: if connection.hasEnded { makeConnection(current) }
        case .other: current = (current + 1) % connections.count
        }
        checkAll()
    }

    private func call(_ byteCount: Int, _ time: Time, _ blocking: UInt64, isOnLoop: Bool) -> Machine.Request {
        // The earliest of all limits; what the server is asked to wait for comes on top of the endpoint's own.
        let timeout = time.timeout.map { $0 == 0 ? 0 : now + $0 } ?? .max
        let ambient = time.ambient.map { now + $0 } ?? .max
        let (allowed, isBoundless) = setup.commandTimeout.addingReportingOverflow(blocking)
        let (own, isForEver) = now.addingReportingOverflow(allowed)
        commands.append(
            Command(
                byteCount: byteCount,
                deadline: min(isBoundless || isForEver ? .max : own, timeout, ambient),
                blockingTime: blocking,
                connection: numbers[current],
                hasArrived: isOnLoop,
                joinedAt: now
            )
        )
        return Machine.Request(
            byteCount: byteCount,
            deadline: connection.settings.deadline(
                calledAt: now,
                timeout: time.timeout.map { .nanoseconds(Int64($0)) },
                blockingTime: blocking,
                ambient: ambient
            ),
            blockingTime: blocking
        )
    }

    private func cancel(_ index: Int) {
        let alive = commands.indices.filter { commands[$0].end == nil && commands[$0].cancelledAt == nil }
        guard alive.indices.contains(index) else { return }
        commands[alive[index]].cancelledAt = now
    }

    private func advance(_ time: UInt64) {
        let end = now + time
        while true {
            // The first tick that is due, and nothing happens before.
            let next = connections.map(\.nextTick).min() ?? .max
            guard next <= end else { break }
            now = max(now, next)
            watchTime()
            for index in connections.indices where connections[index].tickIfDue() { watchTick(index) }
            checkPromptness()
        }
        now = end
        watchTime()
        checkPromptness()
    }

    /// Brings everything to its end: the servers answer all, or the connections go.
    func finish() {
        for index in connections.indices {
            current = index
            run(.connect)
            run(.arrive)
        }
        for _ in 0..<200 where connections.contains(where: { !$0.hasEnded }) {
            for index in connections.indices {
                current = index
                run(.flush(100))
                run(.serve(100))
                run(.read(100))
                if connection.hasNothingToDo { run(.close(0)) }
            }
            run(.advance(SimulatedConnection.tickLength))
        }
        check(connections.allSatisfy(\.hasEnded), "it does not come to an end")
        for id in commands.indices { check(commands[id].end != nil, "command \(id) never ends") }
        check(limiter.inflight == 0, "\(limiter.inflight) permits are kept")
        check(limiter.backlog.all == .init(), "the backlog is not empty: \(limiter.backlog.all)")
    }

    // MARK: What is noted down

    /// The machine is asked to let a command in.
    func takenIn(_ id: Int) {
        placeCount += 1
        commands[id].place = placeCount
        commands[id].joinedAt = now
        commands[id].hasArrived = true
    }

    func promoted(_ id: Int) {
        commands[id].joinedAt = now
        commands[id].promotedAt = now
    }

    func ended(_ id: Int, _ how: String) {
        check(commands[id].end == nil, "command \(id) ends twice: \(commands[id].end ?? ""), \(how)")
        commands[id].end = how
        commands[id].endedAt = now
    }

    func check(_ holds: Bool, _ message: @autoclosure () -> String) {
        if !holds, failure == nil { failure = message() }
    }
}
