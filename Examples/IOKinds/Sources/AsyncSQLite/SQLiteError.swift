import CSQLite
public import IOCalls
@_spi(Driver) import UVLoop

/// Why a query did not give what was asked for, and whether it may have run.
public typealias SQLiteError = KindError<SQLite>

extension KindError<SQLite>.Code {
    /// A constraint was violated. *rejected*
    public static var constraint: Self { .server("SQLITE_CONSTRAINT") }
    /// Somebody outside this client held the database, and SQLite would not wait for it, as where waiting could never end. *rejected*
    ///
    /// A query whose time runs out while it waits ends with `deadlineExceeded`.
    public static var busy: Self { .server("SQLITE_BUSY") }
    /// The statement, or a name in it, is wrong. *rejected*
    public static var generic: Self { .server("SQLITE_ERROR") }
}

extension KindError<SQLite> {
    /// SQLite's own words for the failure of a connection's last call.
    init(_ database: OpaquePointer?, _ result: Int32, endpoint: String) {
        // SQLite keeps the text until the connection's next call; it is copied here.
        let message = unsafe String(cString: sqlite3_errmsg(database))
        self.init(
            .server(Self.name(of: result)),
            // What failed to reach the disk may have reached it.
            result & 0xff == SQLITE_IOERR ? .indeterminate : .rejected,
            endpoint: endpoint,
            message,
            ioError: unsafe .behind(result, of: database)
        )
    }

    /// The name of a primary result code.
    ///
    /// Source: "Result and Error Codes" in SQLite's documentation.
    private static func name(of result: Int32) -> String {
        switch result & 0xff {
        case SQLITE_ERROR: "SQLITE_ERROR"
        case SQLITE_BUSY: "SQLITE_BUSY"
        case SQLITE_LOCKED: "SQLITE_LOCKED"
        case SQLITE_NOMEM: "SQLITE_NOMEM"
        case SQLITE_READONLY: "SQLITE_READONLY"
        case SQLITE_INTERRUPT: "SQLITE_INTERRUPT"
        case SQLITE_IOERR: "SQLITE_IOERR"
        case SQLITE_CORRUPT: "SQLITE_CORRUPT"
        case SQLITE_FULL: "SQLITE_FULL"
        case SQLITE_CANTOPEN: "SQLITE_CANTOPEN"
        case SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT"
        case SQLITE_NOTADB: "SQLITE_NOTADB"
        default: "SQLITE_\(result & 0xff)"
        }
    }
}

extension IOError {
    /// What the operating system said when a connection's last call failed; nil if that was not what failed.
    static func behind(_ result: Int32, of database: OpaquePointer?) -> IOError? {
        guard [SQLITE_CANTOPEN, SQLITE_IOERR].contains(result & 0xff) else { return nil }
        let number = unsafe sqlite3_system_errno(database)
        return number > 0 ? IOError(errno: number) : nil
    }
}
