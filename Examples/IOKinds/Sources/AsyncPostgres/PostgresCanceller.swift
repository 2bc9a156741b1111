import IOCalls
@_spi(Driver) import UVLoop

/// Cancels queries, over a connection of its own, one after the other.
///
/// libpq's own `PQcancel` blocks until the server has answered, which a silent one never does. The server's answer here says that
/// the signal has been given: what is sent to the cancelled connection after that is not hit by it. It belongs to its loop's thread.
final class PostgresCanceller: PostgresConnectionOwner {
    private let loop: EventLoop
    private let address: PostgresAddress
    private let endpoint: String
    private let away: PostgresConnection.Away
    /// How long it may take to connect, and how long to be answered.
    private let patience: Duration
    /// Until when the server has to connect, or to answer.
    private var deadline = UInt64.max
    private var connection: PostgresConnection?
    private var waiting: [(processID: Int32, done: (Bool) -> Void)] = []

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
    /// `done` is told later whether the server has been asked.
    func cancel(_ processID: Int32, _ done: @escaping (Bool) -> Void) {
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
        waiting =
            waiting.prefix(isAsking ? 1 : 0)
            + waiting.dropFirst(isAsking ? 1 : 0).filter { $0.processID != processID }
    }

    private var isAsking: Bool { connection?.phase == .busy }

    private func sendNext() {
        deadline = .max
        guard let next = waiting.first,
            let statement = CTexts(["SELECT pg_cancel_backend($1)", "\(next.processID)"])
        else { return }
        deadline = LoopClock.instant(after: patience)
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
        let first = waiting.isEmpty ? nil : waiting.removeFirst()
        var isDone = false
        if case .success = result { isDone = true }
        first?.done(isDone)
        if connection.phase == .idle { sendNext() }
    }

    func connection(_ connection: PostgresConnection, endedWith error: PostgresError) {
        self.connection = nil
        deadline = .max
        let left = waiting
        waiting = []
        for one in left { one.done(false) }
    }

    /// Ends the connection; nobody is told.
    func close() {
        connection?.close()
        connection = nil
        deadline = .max
        waiting = []
    }
}
