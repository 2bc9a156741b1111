import IOCalls
@_spi(Driver) import UVLoop

/// Cancels queries, over a connection of its own, one after the other.
///
/// libpq's own `PQcancel` blocks until the server has answered, which a silent one never does. The server's answer here says that
/// the signal has been given: what is sent to the cancelled connection after that is not hit by it. It belongs to its loop's thread.
final class PostgresCanceller: PostgresConnectionOwner {
    /// What became of a cancellation: in doubt, its signal may be given later.
    enum End { case given, notSent, inDoubt }

    private let loop: EventLoop
    private let address: PostgresAddress
    private let endpoint: String
    private let away: PostgresConnection.Away
    /// How long it may take to connect, and how long to be answered.
    private let patience: Duration
    /// Until when the server has to connect, or to answer.
    private var deadline = UInt64.max
    private var connection: PostgresConnection?
    private var waiting: [(processID: Int32, done: (End) -> Void)] = []
    /// Whether the first of them has been sent.
    private var isAsking = false

    init(
        _ loop: EventLoop,
        _ address: PostgresAddress,
        endpoint: String,
        away: PostgresConnection.Away,
        patience: Duration
    ) {
        self.loop = loop
        self.address = address
        self.endpoint = endpoint
        self.away = away
        self.patience = patience
    }

    /// Has the server cancel what a process of its own is doing.
    ///
    /// `done` is told what became of it, as a rule later.
    func cancel(_ processID: Int32, _ done: @escaping (End) -> Void) {
        waiting.append((processID, done))
        if let connection {
            if connection.phase == .idle { sendNext() }
        } else {
            let connection = PostgresConnection(loop, address, endpoint: endpoint, away: away, owner: self)
            self.connection = connection
            deadline = LoopClock.instant(after: patience)
            connection.start()
        }
    }

    /// A process has ended: its number may soon be another's.
    func forget(_ processID: Int32) {
        // The first may be on its way already.
        let asked = waiting.prefix(isAsking ? 1 : 0)
        waiting = asked + waiting.dropFirst(asked.count).filter { $0.processID != processID }
    }

    private func sendNext() {
        deadline = .max
        guard let next = waiting.first,
            let statement = CTexts(["SELECT pg_cancel_backend($1)", "\(next.processID)"])
        else { return }
        deadline = LoopClock.instant(after: patience)
        isAsking = true
        connection?.send(statement)
    }

    /// Gives the connection up if its server is silent.
    ///
    /// - Returns: whether something is waited for.
    func tick(_ now: UInt64) -> Bool {
        if deadline <= now { connection?.end(.lost("the server that should cancel is silent", endpoint)) }
        return deadline < .max
    }

    func connectionStands(_ connection: PostgresConnection) { sendNext() }

    func connection(_ connection: PostgresConnection, answered result: Result<PostgresReply, PostgresError>) {
        isAsking = false
        let first = waiting.isEmpty ? nil : waiting.removeFirst()
        if case .success = result { first?.done(.given) } else { first?.done(.notSent) }
        if connection.phase == .idle { sendNext() }
    }

    func connection(
        _ connection: PostgresConnection,
        endedWith error: PostgresError,
        answer: Result<PostgresReply, PostgresError>?
    ) {
        if let answer { self.connection(connection, answered: answer) }
        self.connection = nil
        deadline = .max
        let (left, first) = (waiting, isAsking ? End.inDoubt : .notSent)
        (waiting, isAsking) = ([], false)
        for (index, one) in left.enumerated() { one.done(index == 0 ? first : .notSent) }
    }

    /// Ends the connection; nobody is told.
    func close() {
        connection?.close()
        connection = nil
        deadline = .max
        waiting = []
    }
}
