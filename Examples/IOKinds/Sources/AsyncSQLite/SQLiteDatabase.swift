@_spi(Driver) import AsyncIO
import IOCalls
@_spi(Driver) import UVLoop

/// The server of a client's calls: one connection that writes, several that read, each one body at a time on the pool.
///
/// It belongs to its loop's thread.
final class SQLiteDatabase: CallServer, @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.
    typealias Kind = SQLite

    struct Request: Sendable {
        let sql: String
        let parameters: [SQLiteValue]
        let lane: Int
        /// From the body to the task.
        let rows = Handover<[SQLiteRow]>()
    }

    /// The rows go their own way.
    typealias Value = Void

    /// A call that runs.
    struct Running {
        let seat: Seat
        let offload: LoopOffload
    }

    /// A place for one body at a time, which opens the connection if there is none yet.
    final class Seat: @unchecked Sendable {
        // Safe to share: the loop hands it to one body at a time, and takes it back when the body is over;
        // `haste` is for any thread.
        let haste = Haste()
        var connection: SQLiteConnection?
        var result: Result<Void, SQLiteError>?

        /// The connection, which is made if there is none; on the pool.
        func open(_ path: String, isReadOnly: Bool, _ endpoint: String) throws(SQLiteError)
            -> SQLiteConnection
        {
            if let connection { return connection }
            let made = try SQLiteConnection(
                path: path,
                isReadOnly: isReadOnly,
                haste: haste,
                endpoint: endpoint
            )
            connection = made
            return made
        }
    }

    /// The lanes, and how many readers there are: with the writer one fewer than the pool has threads by default, because names
    /// are looked up there, too.
    static let (writing, reading) = (0, 1)
    private static let maxReaders = 2

    let calls: Calls<SQLiteDatabase>
    private let path: String
    private var writers: [Seat] = []
    private var readers: [Seat] = []
    /// The writer's place while its file is being opened, and until when that may take.
    private var opening: (seat: Seat, deadline: UInt64)?

    /// An in-memory database is its connection's own: there is one, for everything.
    private var isInMemory: Bool { path == ":memory:" }

    init(_ spec: EndpointSpec, path: String, limiter: InflightLimiter, loop: EventLoop) {
        self.path = path
        calls = Calls(spec, lanes: 2, limiter: limiter, loop: loop)
        calls.server = self
    }

    // MARK: Connect

    /// Begins to open the file; calls wait for their seats meanwhile.
    func open() {
        guard calls.failure == nil else { return }
        let (seat, path, endpoint, isInMemory) = (Seat(), path, calls.endpoint, isInMemory)
        opening = (seat, LoopClock.instant(after: calls.policy.connectTimeout))
        calls.startTicking()
        let body: @Sendable () -> Void = {
            seat.result = Result { () throws(SQLiteError) in
                let connection = try seat.open(path, isReadOnly: false, endpoint)
                // With a log readers and the writer do not wait for each other.
                if !isInMemory { _ = try connection.run("PRAGMA journal_mode = WAL", []) }
            }
        }
        offload(body) { [self] _ in opened(seat) }
    }

    /// Runs a body on the pool; `over` is told when it is over, or at once if the loop is gone.
    @discardableResult
    private func offload(
        _ body: @escaping @Sendable () -> Void,
        over: @escaping (_ hasRun: Bool) -> Void
    ) -> LoopOffload? {
        do throws(IOError) {
            return try LoopOffload(
                on: calls.loop,
                body: body,
                over: over,
                loopWillShutDown: { [calls] in calls.end(calls.shutDown) }
            )
        } catch {
            over(false)
            return nil
        }
    }

    private func opened(_ seat: Seat) {
        opening = nil
        writers = [seat]
        // The client has ended meanwhile: now there is something to close.
        if calls.isStopping { return stop() }
        guard calls.failure == nil else { return }
        switch seat.result {
        case .success:
            readers = isInMemory ? [] : (0..<Self.maxReaders).map { _ in Seat() }
            calls.addSeats(writers.count, lane: Self.writing)
            calls.addSeats(readers.count, lane: Self.reading)
        case .failure(let error):
            let message = "\(path) could not be used: \(error.message)"
            let code: SQLiteError.Code = seat.haste.isDue ? .connectTimedOut : .connectFailed
            let endpoint = calls.endpoint
            calls.end(SQLiteError(code, .notSent, endpoint: endpoint, message, ioError: error.ioError))
        case nil:
            calls.end(calls.shutDown)
        }
    }

    /// The lane for a statement: what surely only reads goes to the readers, which could not write if it did.
    func lane(for sql: String) -> Int {
        !isInMemory && SQLText.isReading(sql) ? Self.reading : Self.writing
    }

    // MARK: Calls

    static func byteCount(of request: Request) -> Int {
        request.parameters.reduce(request.sql.utf8.count) { sum, value in
            switch value {
            case .text(let text): sum + text.utf8.count
            case .blob(let bytes): sum + bytes.count
            case .null, .integer, .real: sum
            }
        }
    }

    func start(_ call: CallOf<SQLiteDatabase>) {
        let isReader = call.request.lane == Self.reading
        guard let seat = isReader ? readers.popLast() : writers.popLast() else {
            preconditionFailure("more calls run than there are seats")
        }
        seat.result = nil
        seat.haste.isDue = false
        let (request, path, endpoint) = (call.request, path, calls.endpoint)
        let body: @Sendable () -> Void = {
            seat.result = Result { () throws(SQLiteError) in
                let connection = try seat.open(path, isReadOnly: true, endpoint)
                request.rows.give(try connection.run(request.sql, request.parameters))
            }
        }
        let offload = offload(body) { [self] _ in
            if isReader { readers.append(seat) } else { writers.append(seat) }
            // Without a result the body never ran; its await has been told so.
            calls.finish(call, seat.result ?? .failure(calls.shutDown))
        }
        call.running = offload.map { Running(seat: seat, offload: $0) }
    }

    func abandon(_ call: CallOf<SQLiteDatabase>) -> CallOutcome {
        guard let running = call.running, !running.offload.cancel() else { return .notSent }
        running.seat.haste.isDue = true
        return .indeterminate
    }

    func tick(_ now: UInt64) -> Bool {
        guard let opening else { return false }
        // It is waited for all the same: the next client's would take one more thread of the pool.
        if opening.deadline <= now { opening.seat.haste.isDue = true }
        return true
    }

    // MARK: End

    func stop() {
        if let opening {
            // Told again when it is open.
            opening.seat.haste.isDue = true
            return
        }
        // Closing may write the log back into the database: that blocks, so it is offloaded too. The writer does it, as the last.
        let seats = readers + writers
        (writers, readers) = ([], [])
        let close: @Sendable () -> Void = { for seat in seats { seat.connection = nil } }
        offload(close) { [calls] hasRun in
            // Only in the loop's shutdown, or after it: it is held up once, for want of a thread.
            if !hasRun { close() }
            calls.stopped()
        }
    }
}
