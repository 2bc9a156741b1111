import CSQLite
public import IOCalls
@_spi(Driver) import UVLoop

/// Why a query did not give what was asked for, and whether it may have run.
public typealias SQLiteError = KindError<SQLite>

extension KindError<SQLite>.Code {
    /// A constraint was violated. *rejected*
    ///
    /// Nothing was changed, except by `OR FAIL`, which keeps what came before.
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
    ///
    /// - Parameter mayWrite: whether the call ran a statement that writes.
    init(_ database: OpaquePointer?, _ result: Int32, endpoint: String, mayWrite: Bool = false) {
        // SQLite keeps the text until the connection's next call; it is copied here.
        let message = unsafe String(cString: sqlite3_errmsg(database))
        self.init(
            .server(Self.name(of: result)),
            mayWrite && !Self.isSurelyUndone(result) ? .indeterminate : .rejected,
            endpoint: endpoint,
            message,
            ioError: unsafe .behind(result, of: database)
        )
    }

    /// Whether a statement that failed so failed before SQLite began to commit it, and was rolled back.
    ///
    /// Not where the disk failed it: the last page, or the flush after it, may be what failed, and the next to open the file finds
    /// all of it in the log. Source: "Response To Errors Within A Transaction" in SQLite's documentation.
    static func isSurelyUndone(_ result: Int32) -> Bool {
        [
            SQLITE_ERROR, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY, SQLITE_INTERRUPT, SQLITE_TOOBIG,
            SQLITE_CONSTRAINT, SQLITE_MISMATCH,
        ].contains(result & 0xff)
    }

    /// The name of a primary result code.
    ///
    /// Source: "Result and Error Codes" in SQLite's documentation.
    private static func name(of result: Int32) -> String {
        let number = Int(result & 0xff)
        return "SQLITE_\(names.indices.contains(number - 1) ? names[number - 1] : "\(number)")"
    }

    /// From 1 on.
    private static var names: [Substring] {
        """
        ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL EMPTY SCHEMA \
        TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB
        """
        .split(separator: " ")
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
