import CPostgres
import IOCalls
@_spi(Driver) import UVLoop

/// Told what happens to a connection, on the loop's thread.
protocol PostgresConnectionOwner: AnyObject {
    /// It stands, and takes a query.
    func connectionStands(_ connection: PostgresConnection)
    /// Its query has been answered; it takes another.
    func connection(_ connection: PostgresConnection, answered result: Result<PostgresReply, PostgresError>)
    /// It is over; nothing follows. What was sent and not answered may have run; `answer` came whole before the end.
    func connection(
        _ connection: PostgresConnection,
        endedWith error: PostgresError,
        answer: Result<PostgresReply, PostgresError>?
    )
}

/// One connection of libpq's, which never blocks, driven by the readiness of its socket.
///
/// It serves one query at a time. It belongs to its loop's thread.
@safe final class PostgresConnection: @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.
    enum Phase { case connecting, idle, busy, closed }

    var phase = Phase.connecting
    /// Why it ended, if that was told.
    private(set) var failure: PostgresError?
    /// Whether it broke as all connections do when their server dies.
    private(set) var isLostWithItsServer = false
    let loop: EventLoop
    let address: PostgresAddress
    private let endpoint: String
    weak var owner: (any PostgresConnectionOwner)?
    let away: Away
    /// libpq's connection, from `start` to `close`; while there is an offload it belongs to a body on the pool.
    let libpq = Handle()
    var offload: LoopOffload?
    /// Its turn on the pool, or its place in the line for one.
    var turn: ConnectTurns.Turn?
    var connection: OpaquePointer? { unsafe libpq.pointer }
    var poll: LoopPoll?
    private var reply: PostgresReply?

    init(
        _ loop: EventLoop,
        _ address: PostgresAddress,
        endpoint: String,
        away: Away,
        owner: any PostgresConnectionOwner
    ) {
        self.loop = loop
        self.address = address
        self.endpoint = endpoint
        self.away = away
        self.owner = owner
    }

    // MARK: Readiness

    func watch(_ ready: @escaping (Result<LoopPoll.Readiness, IOError>) -> Void) {
        do throws(IOError) {
            poll = try LoopPoll(
                on: loop,
                descriptor: unsafe PQsocket(connection),
                ready: ready,
                loopWillShutDown: { [self] in end(loopIsGone) }
            )
        } catch {
            let failure = phase == .connecting ? failed("\(error)") : .lost("\(error)", endpoint)
            end(error.name == "ESHUTDOWN" ? loopIsGone : failure)
        }
    }

    /// Waits for what comes, also while it is idle: a server that goes away is seen at once.
    func awaitInput() {
        watch { [self] result in became(result) }
        poll?.wait(for: .readable)
    }

    func stopWatching() {
        poll?.close()
        poll = nil
    }

    // MARK: Queries

    /// The number of the process that serves this connection; 0 before it stands.
    var processID: Int32 = 0

    /// Sends a statement and its parameters; the connection is idle.
    func send(_ statement: CTexts) {
        phase = .busy
        let parameters = Int32(statement.count - 1)
        // libpq copies them before it returns. All are text, and so is the answer.
        let isSent = unsafe statement.withPointers { texts in
            unsafe PQsendQueryParams(connection, texts.pointee, parameters, nil, texts + 1, nil, nil, 0)
        }
        guard isSent == 1 else { return end(.lost(errorMessage, endpoint)) }
        flush()
    }

    private func flush() {
        switch unsafe PQflush(connection) {
        case 0: poll?.wait(for: .readable)
        // Also what comes is read meanwhile: a server that waits to be read reads nothing itself.
        case 1: poll?.wait(for: [.readable, .writable])
        default: broke()
        }
    }

    private func became(_ result: Result<LoopPoll.Readiness, IOError>) {
        guard unsafe PQconsumeInput(connection) == 1 else { return broke() }
        // Nobody listens, but a statement may have said LISTEN: what is not taken would pile up in libpq.
        while let notification = unsafe PQnotifies(connection) { unsafe PQfreemem(notification) }
        // Also what comes while nothing is asked can be no message, and libpq then closes the socket.
        guard !isBroken else { return broke() }
        switch result {
        case .success(let readiness): if readiness.contains(.writable) { flush() }
        case .failure:
            // A socket in error. What came before that is there to be read, and then the cause: it is watched again.
            stopWatching()
            awaitInput()
        }
        takeResults()
        if isBroken { end(.lost(errorMessage, endpoint)) }
    }

    /// Nothing more comes; an answer that has come whole is one.
    private func broke() {
        // What is wrong before libpq, asked for what is missing, adds to it.
        let message = errorMessage
        takeResults()
        // A server that says why it ends the connection says it in an answer.
        let reason = reply?.field("M")
        // When its first process dies the others end without a word, or say so where they wait for their clients; the place is
        // named in no language but the server's own.
        isLostWithItsServer = reason == nil || reply?.field("R") == "secure_read"
        end(.lost(reason ?? message, endpoint))
    }

    private func takeResults() {
        while phase == .busy, unsafe PQisBusy(connection) == 0 {
            guard let result = unsafe PQgetResult(connection) else { return answered() }
            let reply = unsafe PostgresReply(result)
            // That it broke in the middle of an answer libpq says in the place of what is missing.
            if isBroken, reply.isError, reply.sqlState == nil { return }
            self.reply = reply
            // What copies over the connection is refused before it is sent; should it be reached in another way, this ends the
            // call and its connection. Its permit is free then, although the server goes on until it notices.
            let message = "the server began to copy, so the connection was ended"
            switch reply.status {
            case PGRES_COPY_IN: return end(invalid(message, .rejected))
            // It runs already, and `COPY (INSERT … RETURNING …) TO STDOUT` writes.
            case PGRES_COPY_OUT, PGRES_COPY_BOTH: return end(invalid(message, .indeterminate))
            default: break
            }
        }
    }

    private func answered() {
        guard let reply else { return end(.lost("the server answered with nothing", endpoint)) }
        self.reply = nil
        let answer: Result<PostgresReply, PostgresError> =
            reply.isError ? .failure(PostgresError(reply, endpoint: endpoint)) : .success(reply)
        if isBroken { return end(.lost(errorMessage, endpoint), answer: answer) }
        guard unsafe PQtransactionStatus(connection) == PQTRANS_IDLE else {
            let message =
                "a transaction cannot be left open on a client that others share; it was rolled back"
            return end(invalid(message, .rejected))
        }
        phase = .idle
        owner?.connection(self, answered: answer)
    }

    // MARK: End

    /// Ends the connection for a reason that is told.
    func end(_ error: PostgresError, answer: Result<PostgresReply, PostgresError>? = nil) {
        guard phase != .closed else { return }
        failure = error
        close()
        owner?.connection(self, endedWith: error, answer: answer)
    }

    /// Ends the connection without a word.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        // First the poll: libpq closes its socket.
        stopWatching()
        if let offload {
            // Until it is over the connection and the turn are its body's.
            offload.cancel()
        } else {
            giveTurnBack()
            finish()
        }
    }

    func finish() {
        unsafe PQfinish(connection)
        unsafe libpq.pointer = nil
    }

    private var isBroken: Bool { unsafe PQstatus(connection) == CONNECTION_BAD }

    var errorMessage: String {
        // libpq keeps the text until the connection's next call; it is copied here. It has several lines.
        let text = unsafe PQerrorMessage(connection).map { unsafe String(cString: $0) } ?? "out of memory"
        return text.split { $0.isNewline || $0 == "\t" }.joined(separator: " ")
    }

    var loopIsGone: PostgresError {
        let outcome: PostgresError.Outcome = phase == .busy ? .indeterminate : .notSent
        return PostgresError(.loopShutDown, outcome, endpoint: endpoint, "the event loop has been shut down")
    }

    func failed(_ message: String) -> PostgresError {
        PostgresError(.connectFailed, .notSent, endpoint: endpoint, "connecting failed: \(message)")
    }

    private func invalid(_ message: String, _ outcome: PostgresError.Outcome) -> PostgresError {
        PostgresError(.invalidCommand, outcome, endpoint: endpoint, message)
    }
}
