@_spi(Driver) import AsyncIO

@testable import AsyncRedis

// What must hold.

extension Simulation {
    // MARK: At each end

    func delivered(_ id: Int, _ reply: Reply) {
        check(reply.id == id, "command \(id) gets the reply to \(reply.id.map { "\($0)" } ?? "nothing")")
        ended(id, "reply")
    }

    /// A reply was taken for the answer to the command that was next in line, which has been told, or had ended before.
    func answered(_ reply: Reply, isDue: Bool, _ due: Int?) {
        guard let id = reply.id else { return check(false, "a reply nobody asked for is somebody's") }
        check(isDue, "the reply to \(id) is taken for that to \(due ?? 0)")
        if id <= Self.handshake { check(reply.kind == .value, "the handshake goes on after an error") }
        if id >= 0 { check(commands[id].end != nil, "the reply to command \(id) is dropped, and it waits") }
    }

    func refused(_ id: Int, _ refusal: Machine.Refusal, _ connection: SimulatedConnection) {
        let waiting = connections.reduce(0) { $0 + $1.waitingCount }
        let underWay = connections.reduce(0) { $0 + $1.inbox.count }
        let queued = connections.reduce(0) { $0 + $1.queuedBytes }
        switch refusal {
        case .closed:
            check(connection.isClosed || connection.hasEnded, "refused as closed by one that is open")
        case .tooManyWaiting:
            let isElsewhere = !commands[id].hasArrived
            check(
                waiting + underWay >= setup.maxWaiting + (isElsewhere ? setup.capacity : 0),
                "refused while there is room to wait"
            )
        case .tooManyBytes:
            check(
                queued > 0 && queued + commands[id].byteCount > setup.maxQueuedBytes,
                "refused while there is room"
            )
        }
        ended(id, "\(refusal)")
    }

    func endedEarly(_ end: Machine.Ended) {
        let command = commands[end.waiter]
        switch end.reason {
        case .cancelled: check(command.cancelledAt != nil, "command \(end.waiter) was not cancelled")
        case .deadlineExceeded: check(command.deadline <= now, "command \(end.waiter) has time left")
        }
        let isSent = command.bytesTaken > 0
        check(
            (end.outcome == .indeterminate) == isSent,
            "command \(end.waiter) is \(end.outcome), and sent: \(isSent)"
        )
        check(
            end.phase == .waitingForReply ? isSent : !isSent,
            "command \(end.waiter) is \(end.phase), and sent: \(isSent)"
        )
        if end.reason == .deadlineExceeded, end.phase == .waitingToBeWritten,
            let promotedAt = command.promotedAt
        {
            check(
                promotedAt < command.deadline,
                "command \(end.waiter) waited for a permit all its time, and is \(end.phase)"
            )
        }
        ended(end.waiter, "\(end.reason)")
    }

    func lost(_ id: Int, _ outcome: RedisError.Outcome?) {
        let isSent = commands[id].bytesTaken > 0
        check(
            (outcome == .indeterminate) == isSent,
            "command \(id) is lost, and sent: \(isSent)"
        )
        ended(id, "lost")
    }

    /// The machine ends its connection.
    func decidedToEnd(_ connection: SimulatedConnection, _ cause: Machine.EndCause, _ reply: Reply?) {
        switch cause {
        case .closed: check(connection.isClosed && connection.hasNothingToDo, "closed, and not done")
        case .sentAfterItsEnd: check(false, "takes back what has left")
        case .handshakeRefused:
            let isHandshake = (reply?.id ?? 0) <= Self.handshake
            check(isHandshake && reply?.kind != .value, "the handshake is refused by \(reply as Any)")
        case .farewell, .unsolicited:
            // A farewell may be taken for what it is although a command could be meant.
            check(
                reply?.id == nil || reply?.kind == .farewell,
                "the reply to \(reply?.id ?? 0) is taken for nobody's"
            )
        case .timeOut(.liveness):
            let silence = now - max(connection.lastBytesAt, silentSince(connection))
            let first = connection.server.expected.first.flatMap { $0 < 0 ? nil : commands[$0] }
            let isAskedFor =
                first.map { $0.end != nil && $0.blockingTime == .max ? 0 : $0.blockingTime } ?? 0
            check(silence > setup.liveness + isAskedFor, "found dead \(silence) after its last byte")
            check(connection.inflight > 0, "found dead with nothing in flight")
        case .timeOut(.close): check(connection.closeDeadline <= now, "its close has time left")
        case .timeOut(.connect): check(connection.connectDeadline <= now, "connecting has time left")
        }
    }

    /// When the server was last waited for on purpose, by a command that ended before its reply.
    private func silentSince(_ connection: SimulatedConnection) -> UInt64 {
        guard let first = connection.server.expected.first, first >= 0,
            commands[first].blockingTime == .max
        else { return 0 }
        return commands[first].endedAt
    }

    // MARK: After each step

    func checkAll() {
        let inflight = connections.reduce(0) { $0 + $1.inflight }
        let waiting = connections.reduce(0) { $0 + $1.waitingCount }
        let underWay = connections.reduce(0) { $0 + $1.inbox.count }
        let queued = connections.reduce(0) { $0 + $1.queuedBytes }
        check(limiter.inflight == inflight, "\(limiter.inflight) permits for \(inflight) in flight")
        check(inflight <= setup.capacity, "\(inflight) in flight")
        check(waiting <= setup.maxWaiting, "\(waiting) wait")
        check(waiting + underWay <= setup.maxWaiting + setup.capacity, "\(underWay) are under way")
        // A single command may have four bytes, and those of the connections themselves are few.
        let mostQueued = max(setup.maxQueuedBytes, 4) + connections.count * (setup.handshakeCommands + 1)
        check(queued <= mostQueued, "\(queued) bytes are queued, \(mostQueued) may be")
        check(
            limiter.backlog.all == .init(commands: waiting + underWay, bytes: queued),
            "the backlog has \(limiter.backlog.all), and \(waiting + underWay) with \(queued) bytes wait"
        )
        for (index, connection) in connections.enumerated() { checkOne(connection, numbers[index]) }
    }

    private func checkOne(_ connection: SimulatedConnection, _ number: Int) {
        switch connection.phase {
        case .ready, .closing:
            if connection.waitingCount > 0 {
                check(limiter.inflight == limiter.capacity, "a command waits, and a permit is free")
            }
        case .connecting, .handshake, .closed: break
        }
        if connection.hasEnded {
            for id in commands.indices where commands[id].connection == number {
                check(commands[id].end != nil, "command \(id) is left behind by the end")
            }
        } else if connection.isClosed {
            check(connection.inflight + connection.waitingCount > 0, "a close that is done does not end")
        }
    }

    // MARK: What takes too long

    struct Watch {
        /// Since when the connection has been idle, with a permit free.
        var idleSince = UInt64.max
        /// How many ticks in a row found the server silent for too long.
        var silentTicks = 0
        /// What waited, and had not ended, before the tick.
        var waiting = Backlog.Amount()
        /// How many bytes had come at the last tick.
        var bytesRead = 0
    }

    /// Cancelled and late commands are told at the second tick after they joined their queue.
    func checkPromptness() {
        guard setup.sweepLimit == .max else { return }
        for id in commands.indices where commands[id].end == nil && commands[id].hasArrived {
            let command = commands[id]
            guard let dueAt = [command.cancelledAt, command.deadline].compactMap({ $0 }).min(), dueAt <= now
            else { continue }
            let from = max(dueAt, command.joinedAt, stalledUntil)
            check(
                now <= from + 2 * SimulatedConnection.tickLength,
                "command \(id) should have been told by \(from + 2 * SimulatedConnection.tickLength)"
            )
        }
    }

    /// Time has passed, and the ticks that are due have not come yet.
    func watchTime() {
        // A tick that is due comes within this.
        let grace = 2 * SimulatedConnection.tickLength
        for (index, connection) in connections.enumerated() where !connection.hasEnded {
            watches[index].waiting = .init(
                commands: connection.waitingCount,
                bytes: connection.heldBytes - connection.heldTombstoneBytes
            )
            check(
                now <= max(connection.closeDeadline, stalledUntil) &+ grace
                    || connection.closeDeadline == .max,
                "a close takes too long"
            )
            let isConnecting = connection.phase != .ready && connection.phase != .closing
            let isLate = now > max(connection.connectDeadline, stalledUntil) &+ grace
            check(!isConnecting || connection.connectDeadline == .max || !isLate, "connecting takes too long")
            let isIdle =
                connection.phase == .ready && connection.inflight + connection.waitingCount == 0
                && limiter.inflight < limiter.capacity
            watches[index].idleSince = isIdle ? min(watches[index].idleSince, now) : .max
            guard isIdle, setup.idleProbe < .max else { continue }
            let since = max(watches[index].idleSince, connection.lastBytesAt, stalledUntil)
            check(now <= since + setup.idleProbe + grace, "an idle connection is not probed")
        }
    }

    /// A connection has had its tick.
    func watchTick(_ index: Int) {
        let connection = connections[index]
        watchSweeps(connection, numbers[index])
        watchTombstones(connection, watches[index].waiting)
        guard setup.liveness < .max, !connection.hasEnded, let first = connection.server.expected.first,
            first >= 0
        else {
            watches[index].silentTicks = 0
            return
        }
        let since = max(connection.lastBytesAt, commands[first].takenAt, silentSince(connection))
        let isBlocking =
            commands[first].blockingTime > 0
            && (commands[first].end == nil || commands[first].blockingTime < .max)
        let isDead = now - since > setup.liveness && !isBlocking
        let isSilent = connection.bytesRead == watches[index].bytesRead
        watches[index].bytesRead = connection.bytesRead
        watches[index].silentTicks = isDead ? (isSilent ? watches[index].silentTicks : 0) + 1 : 0
        check(watches[index].silentTicks < 2, "a dead server is not found out")
    }

    /// A tick leaves no more of those who ended while they waited than it may, or than lived before it.
    private func watchTombstones(_ connection: SimulatedConnection, _ waiting: Backlog.Amount) {
        let (count, bytes) = (connection.heldTombstones, connection.heldTombstoneBytes)
        let most = setup.maxTombstones
        check(count <= max(most.commands, waiting.commands), "\(count) tombstones where \(waiting) waited")
        check(bytes <= max(most.bytes, waiting.bytes), "\(bytes) bytes of tombstones where \(waiting) waited")
    }

    /// Where one tick looks at a few only, the sweep comes round in time.
    private func watchSweeps(_ connection: SimulatedConnection, _ number: Int) {
        guard setup.sweepLimit < .max else { return }
        let most = setup.capacity + setup.maxWaiting + connection.heldTombstones
        for id in commands.indices where commands[id].end == nil && commands[id].connection == number {
            guard commands[id].hasArrived, commands[id].cancelledAt != nil || commands[id].deadline <= now
            else { continue }
            let since = commands[id].dueSince ?? connection.tickCount
            commands[id].dueSince = since
            check(
                connection.tickCount - since < 4 + 2 * most / setup.sweepLimit,
                "command \(id) should have been told by now"
            )
        }
    }
}
