import CPostgres
public import IOCalls

/// Why a query did not give what was asked for, and whether it may have run.
public typealias PostgresError = KindError<Postgres>

extension KindError<Postgres>.Code {
    /// A unique constraint was violated. *rejected*
    public static var uniqueViolation: Self { .server("23505") }
    /// The statement is not SQL. *rejected*
    public static var syntaxError: Self { .server("42601") }
    /// There is no such table. *rejected*
    public static var undefinedTable: Self { .server("42P01") }
    /// Somebody else cancelled the query. *rejected*
    public static var queryCancelled: Self { .server("57014") }
}

extension KindError<Postgres> {
    /// The server's own words; the code is its SQLSTATE.
    init(_ reply: PostgresReply, endpoint: String) {
        let message = reply.field("M") ?? "the server gave no reason"
        guard let state = reply.sqlState else {
            // An answer that libpq could not take in: the statement may have run.
            self.init(.unexpectedReply, .indeterminate, endpoint: endpoint, message)
            return
        }
        // "Statement completion unknown", or a further server was lost, as of a foreign table; 08P01 is a statement's own fault.
        let isInDoubt = state == "40003" || (state.hasPrefix("08") && state != "08P01")
        self.init(.server(state), isInDoubt ? .indeterminate : .rejected, endpoint: endpoint, message)
    }

    static func lost(_ message: String, _ endpoint: String) -> PostgresError {
        PostgresError(.connectionLost, .indeterminate, endpoint: endpoint, "the connection broke: \(message)")
    }
}
