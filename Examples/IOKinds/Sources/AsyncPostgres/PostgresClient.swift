@_spi(Driver) import AsyncIO
public import IOCalls
import UVLoop

/// A client of one Postgres server, over a few connections.
///
/// Each query has a connection for itself while it runs. At most the endpoint's `maxInflight` run at a time, and never more than
/// eight; further ones wait in turn. The client never repeats a query. It ends when its last connection breaks, or when that of a
/// query breaks because its server seems to have died: every further query is then refused with the cause, and
/// ``AsyncIO/AsyncIOClients/postgres(_:)`` makes a new client. A client that nobody holds any more is shut down.
///
/// Everything here may be called from any thread. A task that runs on the client's loop is served without leaving it.
public final class PostgresClient: KindClient {
    let pool: PostgresPool
    /// What ends the client with its last holder.
    public let lifetime: ClientLifetime

    /// Makes a client that begins to connect at once.
    init(_ spec: EndpointSpec, address: PostgresAddress, limiter: InflightLimiter, loop: EventLoop) {
        pool = PostgresPool(spec, address: address, limiter: limiter, loop: loop)
        lifetime = ClientLifetime(pool.calls)
        loop.post { [pool] in pool.open() }
    }

    // MARK: Queries

    /// Postgres counts a statement's parameters in 16 bits.
    private static let maxParameters = Int(UInt16.max)
    /// The most bytes that a statement and its parameters may have together: 16 MiB.
    ///
    /// libpq copies them on the loop, which stands still for about half a millisecond for each MiB, and its connection keeps the
    /// memory. Larger values are best sent in pieces: `UPDATE … SET body = body || $1`.
    public static let maxStatementBytes = 16 << 20

    /// Runs one statement.
    ///
    /// Each statement is its own transaction, and one that leaves a transaction open fails, and is rolled back. What has to happen
    /// together goes into one statement: `WITH`, a function, `DO`. A query that ends early is cancelled on the server, which is asked
    /// again and again, and has its permit until it is over there. If it cannot be cancelled for the `livenessTimeout`, 30
    /// seconds if that is nil, its connection is closed, and another is opened when there is need; it may run on. So may what runs when
    /// the loop is shut down.
    ///
    /// `COPY … FROM STDIN` and `COPY … TO STDOUT` are refused, and not sent: this client has rows for an answer and nothing else.
    ///
    /// A query runs on whichever connection is free. What it changes of its *session* stays with that connection, for whoever gets
    /// it next, until the client ends: `SET`, `search_path`, temporary tables, prepared statements, `pg_advisory_lock`. Nothing
    /// undoes it in between. Use what ends with its transaction, as `pg_advisory_xact_lock` and `set_config(…, true)`, and set for
    /// all of a user's connections with `ALTER ROLE … SET`. Never change `client_encoding`: answers would be read wrongly. Whatever
    /// `LISTEN` brings is thrown away.
    ///
    /// An answer that has come is decoded within the call's time, whatever becomes of the client meanwhile; `commandTimeout` is to have
    /// room for it. It is held in memory whole, and has no limit here; the loop copies each row as it comes, so that a value of 16 MiB
    /// holds it up for some milliseconds.
    ///
    /// - Parameters:
    ///   - sql: one statement.
    ///   - parameters: what stands for its `$1`, `$2` … as Postgres reads it in text; nil for NULL.
    ///   - timeout: the most time it may take; the endpoint's `commandTimeout` and ``AsyncIO/withIOTimeout(_:_:)`` hold beside it.
    /// - Returns: the rows; none for a statement that gives none.
    /// - Throws: ``PostgresError``: the server's own codes (*rejected*), `invalidCommand`, `unexpectedReply`, `connectFailed`,
    ///   `connectTimedOut`, `connectionLost`, `overloaded`, `clientClosed`, `loopShutDown`, `cancelled` and `deadlineExceeded`:
    ///   *notSent* if the statement was never sent, *indeterminate* if it was, and the last two *answered* while rows were being
    ///   decoded. What the server refuses is *indeterminate*, too, if a
    ///   part of it may stay: `CALL` and `DO`, which may commit, `COPY` and `VACUUM`, whatever is done `CONCURRENTLY`, the loss of a
    ///   foreign table's server.
    public func query(
        _ sql: String,
        _ parameters: [String?] = [],
        timeout: Duration? = nil
    ) async throws(PostgresError) -> [PostgresRow] {
        let texts = [sql] + parameters
        // What has more cannot be written in Postgres's protocol, and libpq's refusal would cost the connection.
        guard parameters.count <= Self.maxParameters else {
            throw refused("a statement has \(parameters.count) parameters: it may have \(Self.maxParameters)")
        }
        guard CTexts.byteCount(of: texts) <= Self.maxStatementBytes else {
            throw refused("a statement and its parameters have more than \(Self.maxStatementBytes) bytes")
        }
        guard !SQLText.copiesOverTheConnection(sql) else {
            throw refused("COPY from STDIN or to STDOUT cannot be sent: this client gives rows alone")
        }
        guard let statement = CTexts(texts) else {
            throw refused("a statement or a parameter has a NUL byte")
        }
        do throws(PostgresError) {
            let deadline = pool.calls.deadline(timeout)
            let reply = try await pool.calls.perform(statement, timeout: timeout)
            return try await reply.rows(endpoint: endpoint, deadline: deadline)
        } catch {
            guard error.outcome == .rejected, error.code != .invalidCommand, SQLText.mayFailInPart(sql) else {
                throw error
            }
            throw error.with(.indeterminate)
        }
    }

    private func refused(_ message: String) -> PostgresError {
        PostgresError(.invalidCommand, .notSent, endpoint: endpoint, message)
    }
}
