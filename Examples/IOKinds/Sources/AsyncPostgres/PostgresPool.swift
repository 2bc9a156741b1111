@_spi(Driver) import AsyncIO
import IOCalls
@_spi(Driver) import UVLoop

/// The server of a client's calls: connections that each serve one query at a time, opened when there is need.
///
/// It belongs to its loop's thread.
final class PostgresPool: CallServer, @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.
    typealias Kind = Postgres

    /// A statement, and what stands for its parameters.
    typealias Request = CTexts
    typealias Value = PostgresReply
    /// The connection that a call runs on.
    typealias Running = Member

    /// A connection of the pool's, and whom it serves.
    final class Member {
        let connection: PostgresConnection
        var call: CallOf<PostgresPool>?
        /// When it is given up: while it connects, or when its call has been abandoned.
        var deadline: UInt64
        /// The server is being asked to cancel the query: no other may be sent before it has been.
        var isCancelling = false
        /// When to ask again.
        var nextCancel = UInt64.max
        /// How often in succession the server could not be asked.
        var failedCancels = 0
        /// A signal may come at any time: it takes no further query.
        var isUnsafe = false
        /// The query's end, if it came before the cancellation's.
        var answer: Result<PostgresReply, PostgresError>?

        init(_ connection: PostgresConnection, deadline: UInt64) {
            self.connection = connection
            self.deadline = deadline
        }
    }

    /// The most connections of one client, however many permits there are.
    private static let maxConnections = 8
    /// How long an abandoned query may hold its connection where the policy sets no limit to silence.
    private static let patience = Duration.seconds(30)
    private static let cancelInterval = Duration.milliseconds(20)
    /// How often the wait for the next attempt is doubled, when the server was asked in vain.
    private static let maxDoublings = 6
    /// How long it does with the connections that it has before it asks for one that it did not get.
    private static let connectInterval = Duration.seconds(1)

    let calls: Calls<PostgresPool>
    private let address: PostgresAddress
    private var members: [ObjectIdentifier: Member] = [:]
    private var idle: [Member] = []
    /// How many connections the server did not give, and when it is asked for the next of them.
    private var (missing, nextConnect) = (0, UInt64.max)
    /// Why the client ends when its calls are over, if its server seems to have died.
    private var loss: PostgresError?
    private let away = PostgresConnection.Away()
    private lazy var canceller = PostgresCanceller(
        calls.loop,
        address,
        endpoint: calls.endpoint,
        away: away,
        patience: calls.policy.connectTimeout
    )

    init(_ spec: EndpointSpec, address: PostgresAddress, limiter: InflightLimiter, loop: EventLoop) {
        self.address = address
        calls = Calls(spec, lanes: 1, limiter: limiter, loop: loop)
        calls.server = self
    }

    // MARK: Connect

    /// Begins with one connection.
    func open() {
        guard calls.failure == nil, calls.startTicking() else { return }
        _ = makeMember()
        calls.addSeats(min(calls.policy.maxInflight, Self.maxConnections))
    }

    private func makeMember() -> Member {
        let connection = PostgresConnection(
            calls.loop,
            address,
            endpoint: calls.endpoint,
            away: away,
            owner: self
        )
        let member = Member(connection, deadline: LoopClock.instant(after: calls.policy.connectTimeout))
        members[ObjectIdentifier(connection)] = member
        connection.start()
        return member
    }

    // MARK: Calls

    static func byteCount(of request: Request) -> Int { request.byteCount }

    func start(_ call: CallOf<PostgresPool>) {
        // One that is connecting for nobody yet is soon idle.
        let member = idle.popLast() ?? members.values.first { $0.call == nil } ?? makeMember()
        guard member.connection.phase != .closed else {
            // It failed at once, before it had a call to tell of it.
            return calls.finish(call, .failure(member.connection.failure ?? calls.shutDown))
        }
        member.call = call
        call.running = member
        if member.connection.phase == .idle { member.connection.send(call.request) }
    }

    func abandon(_ call: CallOf<PostgresPool>) -> CallOutcome {
        guard let member = call.running else { return .notSent }
        guard member.connection.phase == .busy else {
            // It waits for its connection, which is the next one's now.
            member.call = nil
            calls.finish(call, .failure(calls.shutDown))
            return .notSent
        }
        member.deadline = LoopClock.instant(after: calls.policy.livenessTimeout ?? Self.patience)
        cancel(member)
        return .indeterminate
    }

    /// Has the server cancel what an abandoned query's connection is doing.
    ///
    /// It is asked again after a while: if it could not be, or if the query had not begun there. Seat and permit are held for so
    /// long, for the query may run on.
    private func cancel(_ member: Member) {
        member.isCancelling = true
        member.nextCancel = .max
        canceller.cancel(member.connection.processID) { [self] end in
            member.isCancelling = false
            member.failedCancels = end == .given ? 0 : member.failedCancels + 1
            if end == .inDoubt { member.isUnsafe = true }
            if let answer = member.answer { return finish(member, answer) }
            let doublings = min(member.failedCancels, Self.maxDoublings)
            member.nextCancel = LoopClock.instant(after: Self.cancelInterval * (1 << doublings))
        }
    }

    private func finish(_ member: Member, _ result: Result<PostgresReply, PostgresError>) {
        guard !member.isUnsafe else { return giveUp(member) }
        guard let call = member.call else { return }
        member.call = nil
        member.answer = nil
        member.nextCancel = .max
        member.failedCancels = 0
        member.deadline = .max
        becameFree(member)
        calls.finish(call, result)
    }

    /// A connection is free: a call that waits for one that is still being made has it, and that one is the next call's.
    private func becameFree(_ member: Member) {
        let connecting = members.values.filter { $0.call != nil && $0.connection.phase == .connecting }
        guard let other = connecting.min(by: { $0.deadline < $1.deadline }), let call = other.call else {
            return idle.append(member)
        }
        other.call = nil
        member.call = call
        call.running = member
        member.connection.send(call.request)
    }

    /// Ends a connection that cannot be used any more for what its abandoned query did; the client goes on without it.
    private func giveUp(_ member: Member) {
        remove(member)
        member.connection.close()
        guard let call = member.call else { return }
        member.call = nil
        // Its await has been told what became of it.
        calls.finish(call, .failure(.lost("the query could not be cancelled", calls.endpoint)))
    }

    private func remove(_ member: Member) {
        members[ObjectIdentifier(member.connection)] = nil
        idle.removeAll { $0 === member }
        if member.isCancelling { canceller.forget(member.connection.processID) }
    }

    func tick(_ now: UInt64) -> Bool {
        for member in Array(members.values) where member.deadline <= now {
            if member.connection.phase == .connecting {
                let message = "connecting took longer than it may"
                let error = PostgresError(.connectTimedOut, .notSent, endpoint: calls.endpoint, message)
                member.connection.end(error)
            } else {
                giveUp(member)
            }
        }
        for member in members.values where member.nextCancel <= now { cancel(member) }
        if nextConnect <= now {
            missing -= 1
            nextConnect = missing > 0 ? LoopClock.instant(after: Self.connectInterval) : .max
            calls.addSeats(1)
        }
        if let loss, !calls.isRunning, calls.waitingCount == 0 { calls.end(loss) }
        let isCancelling = canceller.tick(now)
        return isCancelling || members.values.contains { $0.deadline < .max }
    }

    // MARK: End

    func stop() {
        for member in members.values { member.connection.close() }
        (members, idle) = ([:], [])
        canceller.close()
        away.whenNone { [calls] in calls.stopped() }
    }
}

// MARK: - Told by connections

extension PostgresPool: PostgresConnectionOwner {
    func connectionStands(_ connection: PostgresConnection) {
        guard let member = members[ObjectIdentifier(connection)] else { return }
        member.deadline = .max
        if let call = member.call { connection.send(call.request) } else { becameFree(member) }
    }

    func connection(_ connection: PostgresConnection, answered result: Result<PostgresReply, PostgresError>) {
        guard let member = members[ObjectIdentifier(connection)] else { return }
        if member.isCancelling { member.answer = result } else { finish(member, result) }
    }

    func connection(
        _ connection: PostgresConnection,
        endedWith error: PostgresError,
        answer: Result<PostgresReply, PostgresError>?
    ) {
        guard let member = members[ObjectIdentifier(connection)] else { return }
        remove(member)
        // A client ends with its last connection.
        let isLast = !members.values.contains { $0.connection.phase == .idle || $0.connection.phase == .busy }
        let isEnd = isLast && error.code != .invalidCommand
        // When one of its processes dies, or the first of them, Postgres ends all connections, one after the other.
        if connection.isLostWithItsServer, member.call != nil { loss = loss ?? error }
        if isEnd || loss != nil { calls.refuse(loss ?? error) }
        if let call = member.call {
            member.call = nil
            if !isLast, error.code == .connectFailed || error.code == .connectTimedOut {
                doWithout(call)
            } else {
                calls.finish(call, answer ?? .failure(error))
            }
        }
        if isEnd { calls.end(error) }
    }

    /// The server gives no further connection: the call waits for one of those that there are.
    private func doWithout(_ call: CallOf<PostgresPool>) {
        missing += 1
        nextConnect = min(nextConnect, LoopClock.instant(after: Self.connectInterval))
        calls.putBack(call)
    }
}
