@_spi(Driver) import AsyncIO
public import IOCalls
@_spi(Driver) import UVLoop

/// A client of one SQLite database: one connection that writes, several that read.
///
/// What only reads runs beside others of its kind and beside a write; writes run one after the other. At most the endpoint's
/// `maxInflight` run at a time; further ones wait in turn. The client never repeats a query. A client that nobody holds any
/// more is shut down.
///
/// Everything here may be called from any thread. No call blocks its thread.
public final class SQLiteClient: KindClient {
    let database: SQLiteDatabase
    /// What ends the client with its last holder.
    public let lifetime: ClientLifetime

    /// Makes a client that begins to open its file at once.
    init(_ spec: EndpointSpec, path: String, limiter: InflightLimiter, loop: EventLoop) {
        database = SQLiteDatabase(spec, path: path, limiter: limiter, loop: loop)
        lifetime = ClientLifetime(database.calls)
        loop.post { [database] in database.open() }
    }

    // MARK: Queries

    /// Runs one statement.
    ///
    /// What begins with `SELECT` or `VALUES` runs on a connection that cannot write, and sees everything committed before.
    /// Everything else runs on the one that writes: also `WITH`, of which it is not to be seen what follows. Each statement is its
    /// own transaction; one that leaves a transaction open fails, and is rolled back.
    ///
    /// What belongs to one connection is not seen by the others. `last_insert_rowid()` and `changes()` are the writer's, so a
    /// `SELECT` of them says nothing of use: write `INSERT … RETURNING rowid`. A `SELECT` finds no temporary table and nothing
    /// attached; and a `PRAGMA` is a setting of the writer's. A database in memory has one connection, for everything.
    ///
    /// An answer is held in memory whole, and has no limit here.
    ///
    /// - Parameters:
    ///   - sql: one statement. Comments, blanks and semicolons may follow; a further statement is refused.
    ///   - parameters: what stands for its `?`, in their order. One that is not a number (NaN) is refused: SQLite has none, and
    ///     would keep NULL for it.
    ///   - timeout: the most time it may take; the endpoint's `commandTimeout` and ``AsyncIO/withIOTimeout(_:_:)`` hold beside it.
    /// - Returns: the rows; none for a statement that gives none.
    /// - Throws: ``SQLiteError``: SQLite's own codes (*rejected*, or *indeterminate* where the disk failed a statement that writes),
    ///   `invalidCommand`, `unexpectedReply`, `connectFailed`, `connectTimedOut`, `overloaded`, `clientClosed`, `loopShutDown`,
    ///   `cancelled` and `deadlineExceeded`: *notSent* if the statement never began, *indeterminate* if it had. One that had begun
    ///   is interrupted, and then changed nothing, unless it was over already.
    public func query(
        _ sql: String,
        _ parameters: [SQLiteValue] = [],
        timeout: Duration? = nil
    ) async throws(SQLiteError) -> [SQLiteRow] {
        let lane = database.lane(for: sql)
        let request = SQLiteDatabase.Request(sql: sql, parameters: parameters, lane: lane)
        // However it ends, what there is of an answer is freed here, or by the body; the loop never holds it.
        defer { _ = request.rows.take() }
        try await database.calls.perform(request, lane: lane, timeout: timeout)
        return request.rows.take() ?? []
    }
}
