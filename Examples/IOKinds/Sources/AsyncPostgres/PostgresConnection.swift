import CPostgres
import Glibc
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

    /// How much the kernel is to keep of what has come, for one turn of the loop to take in within a few milliseconds.
    private static let receivedBytes: Int32 = 256 << 10
    private(set) var phase = Phase.connecting
    /// Why it ended, if that was told.
    private(set) var failure: PostgresError?
    private let loop: EventLoop
    private let address: PostgresAddress
    private let endpoint: String
    private weak var owner: (any PostgresConnectionOwner)?
    private let away: Away
    /// libpq's connection, from `start` to `close`; while there is an offload it belongs to a body on the pool.
    private let libpq = Handle()
    private var offload: LoopOffload?
    /// Its turn on the pool, or its place in the line for one.
    private var turn: ConnectTurns.Turn?
    private var connection: OpaquePointer? { unsafe libpq.pointer }
    private var poll: LoopPoll?
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

    // MARK: Connect

    /// Begins to connect; its owner is told, as a rule later.
    func start() {
        guard let words = CTexts(address.parameters.map(\.0) + [nil]),
            let values = CTexts(address.parameters.map(\.1) + [nil])
        else { return end(failed("a name or the password has a NUL byte")) }
        step { [libpq] in
            // It copies the words before it returns.
            unsafe libpq.pointer = words.withPointers { words in
                unsafe values.withPointers { values in unsafe PQconnectStartParams(words, values, 0) }
            }
            // What libpq would print to the terminal is dropped.
            unsafe PQsetNoticeProcessor(libpq.pointer, { _, _ in }, nil)
            let hasFailed = unsafe PQstatus(libpq.pointer) == CONNECTION_BAD
            return hasFailed ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        }
    }

    /// Takes one step of connecting, on the pool: libpq looks names up there, and proves with long sums that it knows a password.
    private func step(_ body: @escaping @Sendable () -> PostgresPollingStatusType) {
        turn = ConnectTurns.shared.take(address.server, on: loop) { [self] in
            // If it has ended meanwhile its turn has been given back.
            if phase != .closed { takeStep(body) }
        }
    }

    private func takeStep(_ body: @escaping @Sendable () -> PostgresPollingStatusType) {
        libpq.status = nil
        do throws(IOError) {
            offload = try LoopOffload(
                on: loop,
                body: { [libpq] in libpq.status = body() },
                over: { [self] _ in stepped() },
                loopWillShutDown: { [self] in end(loopIsGone) }
            )
            away.left()
        } catch {
            end(loopIsGone)
        }
    }

    private func stepped() {
        offload = nil
        giveTurnBack()
        defer { away.cameBack() }
        // It has ended meanwhile: now there is nobody else who uses it.
        guard phase != .closed else { return finish() }
        switch libpq.status {
        case PGRES_POLLING_READING: awaitStep(.readable)
        case PGRES_POLLING_WRITING: awaitStep(.writable)
        case PGRES_POLLING_OK: stands()
        case nil: end(loopIsGone)
        default: end(failed(errorMessage))
        }
    }

    private func giveTurnBack() {
        if let turn { ConnectTurns.shared.giveBack(turn) }
        turn = nil
    }

    /// Waits for the next step.
    ///
    /// At each libpq may close its socket and open another, so each step has a poll of its own.
    private func awaitStep(_ readiness: LoopPoll.Readiness) {
        watch { [self] _ in
            stopWatching()
            step { [libpq] in unsafe PQconnectPoll(libpq.pointer) }
        }
        poll?.wait(for: readiness)
    }

    private func stands() {
        unsafe PQsetnonblocking(connection, 1)
        // In one turn libpq reads and takes in what is there, as far as its memory goes, which a large value has made large.
        var bytes = Self.receivedBytes
        unsafe setsockopt(PQsocket(connection), SOL_SOCKET, SO_RCVBUF, &bytes, 4)
        processID = unsafe PQbackendPID(connection)
        phase = .idle
        awaitInput()
        if phase == .idle { owner?.connectionStands(self) }
    }

    private func watch(_ ready: @escaping (Result<LoopPoll.Readiness, IOError>) -> Void) {
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
    private func awaitInput() {
        watch { [self] result in became(result) }
        poll?.wait(for: .readable)
    }

    private func stopWatching() {
        poll?.close()
        poll = nil
    }

    // MARK: Queries

    /// The number of the process that serves this connection; 0 before it stands.
    private(set) var processID: Int32 = 0

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
        switch result {
        case .success(let readiness): if readiness.contains(.writable) { flush() }
        case .failure:
            // A socket in error. What came before that is there to be read, and then the cause: it is watched again.
            stopWatching()
            awaitInput()
        }
        takeResults()
    }

    /// Nothing more comes; an answer that has come whole is one.
    private func broke() {
        takeResults()
        end(.lost(errorMessage, endpoint))
    }

    private func takeResults() {
        while phase == .busy, unsafe PQisBusy(connection) == 0 {
            guard let result = unsafe PQgetResult(connection) else { return answered() }
            let reply = unsafe PostgresReply(result)
            // That it broke in the middle of an answer libpq says in the place of what is missing.
            if isBroken, reply.isError, reply.sqlState == nil { return end(.lost(errorMessage, endpoint)) }
            self.reply = reply
            // COPY would go on for ever, and its like cannot be expressed as rows.
            let message = "COPY cannot be sent: the connection was ended"
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
        // A body that runs keeps both until it is over.
        guard offload?.cancel() == nil else { return }
        giveTurnBack()
        finish()
    }

    private func finish() {
        unsafe PQfinish(connection)
        unsafe libpq.pointer = nil
    }

    private var isBroken: Bool { unsafe PQstatus(connection) == CONNECTION_BAD }

    private var errorMessage: String {
        // libpq keeps the text until the connection's next call; it is copied here. It has several lines.
        let text = unsafe PQerrorMessage(connection).map { unsafe String(cString: $0) } ?? "out of memory"
        // A server that says why it ends the connection says it in an answer.
        if let words = reply?.field("M") { return words }
        return text.split { $0.isNewline || $0 == "\t" }.joined(separator: " ")
    }

    private var loopIsGone: PostgresError {
        let outcome: PostgresError.Outcome = phase == .busy ? .indeterminate : .notSent
        return PostgresError(.loopShutDown, outcome, endpoint: endpoint, "the event loop has been shut down")
    }

    private func failed(_ message: String) -> PostgresError {
        PostgresError(.connectFailed, .notSent, endpoint: endpoint, "connecting failed: \(message)")
    }

    private func invalid(_ message: String, _ outcome: PostgresError.Outcome) -> PostgresError {
        PostgresError(.invalidCommand, outcome, endpoint: endpoint, message)
    }
}

extension PostgresConnection {
    /// How many of a client's connections are on the pool: the client has not stopped before they are back and closed.
    ///
    /// It belongs to its loop's thread.
    final class Away {
        private var count = 0
        private var told: (() -> Void)?

        func left() { count += 1 }

        func cameBack() {
            count -= 1
            tell()
        }

        /// Has it told, once, when none is on the pool.
        func whenNone(_ told: @escaping () -> Void) {
            self.told = told
            tell()
        }

        private func tell() {
            guard count == 0, let told else { return }
            self.told = nil
            told()
        }
    }

    /// What a body on the pool uses, and the loop when the body is over.
    @safe private final class Handle: @unchecked Sendable {
        // Safe to share: the pool orders the two.
        var pointer: OpaquePointer?
        /// What the body's step of connecting came to; nil if it never ran.
        var status: PostgresPollingStatusType?
    }
}
