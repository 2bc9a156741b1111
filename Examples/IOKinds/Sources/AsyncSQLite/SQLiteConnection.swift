import CSQLite
import Glibc
import IOCalls
import Synchronization

/// Whether what runs on a connection is to end soon, because nobody waits for it any more; for any thread.
final class Haste: Sendable {
    private let flag = Atomic<Bool>(false)
    var isDue: Bool {
        get { flag.load(ordering: .relaxed) }
        set { flag.store(newValue, ordering: .relaxed) }
    }
}

/// One connection to a database: everything here blocks, and runs on a thread of the pool, one body at a time.
@safe final class SQLiteConnection: @unchecked Sendable {
    // Safe to share: one body at a time has it, and the loop hands it from one to the next.
    private let endpoint: String
    private var database: OpaquePointer?
    /// When it is due a statement that runs ends in an error, with nothing changed.
    private let haste: Haste

    /// After so many of SQLite's own steps it is looked at whether to go on.
    private static let stepsBetweenLooks: Int32 = 1000
    private static let busyMicroseconds: UInt32 = 1000

    /// Opens a database.
    init(path: String, isReadOnly: Bool, haste: Haste, endpoint: String) throws(SQLiteError) {
        self.haste = haste
        self.endpoint = endpoint
        let flags = isReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        let result = unsafe sqlite3_open_v2(path, &database, flags | SQLITE_OPEN_NOMUTEX, nil)
        guard result == SQLITE_OK else {
            // Also of a database that could not be opened there is something to ask, and to close in `deinit`.
            let words = unsafe String(cString: sqlite3_errmsg(database))
            throw unsafe SQLiteError(
                .connectFailed,
                .notSent,
                endpoint: endpoint,
                "\(path) could not be opened: \(words)",
                ioError: .behind(result, of: database)
            )
        }
        // The connection outlives its database, which is closed in `deinit`.
        let me = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe sqlite3_progress_handler(
            database,
            Self.stepsBetweenLooks,
            { me in unsafe SQLiteConnection.of(me).haste.isDue ? 1 : 0 },
            me
        )
        unsafe sqlite3_busy_handler(
            database,
            { me, _ in
                if unsafe SQLiteConnection.of(me).haste.isDue { return 0 }
                usleep(SQLiteConnection.busyMicroseconds)
                return 1
            },
            me
        )
    }

    deinit {
        // It finishes what is left of statements, of which there are none.
        unsafe sqlite3_close_v2(database)
    }

    private static func of(_ me: UnsafeMutableRawPointer?) -> SQLiteConnection {
        guard let me = unsafe me else { preconditionFailure("SQLite lost the connection's address") }
        // `init` put it there, and whoever runs a body holds the connection.
        return unsafe Unmanaged<SQLiteConnection>.fromOpaque(me).takeUnretainedValue()
    }

    // MARK: Statements

    /// Runs one statement to its end.
    func run(_ sql: String, _ parameters: [SQLiteValue]) throws(SQLiteError) -> [SQLiteRow] {
        let statement = unsafe try prepare(sql)
        // Finalised on every way out; its result repeats that of the last step, or reset.
        defer { unsafe sqlite3_finalize(statement) }
        unsafe try bind(parameters, to: statement)
        let rows = unsafe try read(statement)
        try endTransaction()
        return rows
    }

    private func prepare(_ sql: String) throws(SQLiteError) -> OpaquePointer {
        guard !sql.utf8.contains(0) else { throw invalid(.notSent, "a statement has no NUL byte in it") }
        var statement: OpaquePointer?
        let (result, hasMore) = unsafe sql.withCString { text -> (Int32, Bool) in
            var rest: UnsafePointer<CChar>?
            let result = unsafe sqlite3_prepare_v2(database, text, -1, &statement, &rest)
            // `rest` points into `text`, which lives here.
            let hasMore = unsafe rest.map {
                unsafe !SQLText.sqlite.afterBlanks(String(cString: $0)[...].utf8).isEmpty
            }
            return (result, hasMore ?? false)
        }
        guard result == SQLITE_OK else { throw unsafe SQLiteError(database, result, endpoint: endpoint) }
        guard let statement = unsafe statement, !hasMore else {
            unsafe sqlite3_finalize(statement)
            // Not as if nothing had begun: some PRAGMAs are set by being compiled.
            throw invalid(.rejected, "give one statement at a time, and not none")
        }
        return unsafe statement
    }

    private func bind(_ parameters: [SQLiteValue], to statement: OpaquePointer) throws(SQLiteError) {
        let expected = unsafe Int(sqlite3_bind_parameter_count(statement))
        guard expected == parameters.count else {
            throw invalid(
                .rejected,
                "the statement has \(expected) parameters, and \(parameters.count) were given"
            )
        }
        for (index, parameter) in zip(1..., parameters) {
            if case .real(let value) = parameter, value.isNaN {
                throw invalid(.notSent, "parameter \(index) is not a number, which SQLite would keep as NULL")
            }
            let place = Int32(index)
            let result =
                switch parameter {
                case .null: unsafe sqlite3_bind_null(statement, place)
                case .integer(let value): unsafe sqlite3_bind_int64(statement, place, value)
                case .real(let value): unsafe sqlite3_bind_double(statement, place, value)
                // SQLite copies the bytes before it returns.
                case .text(let text):
                    unsafe csqlite_bind_text(statement, place, text, UInt64(text.utf8.count))
                case .blob(let bytes):
                    unsafe bytes.isEmpty
                        ? sqlite3_bind_zeroblob(statement, place, 0)
                        : csqlite_bind_blob(statement, place, bytes, UInt64(bytes.count))
                }
            guard result == SQLITE_OK else { throw unsafe SQLiteError(database, result, endpoint: endpoint) }
        }
    }

    private func read(_ statement: OpaquePointer) throws(SQLiteError) -> [SQLiteRow] {
        var columns: [String] = []
        var rows: [SQLiteRow] = []
        while true {
            switch unsafe sqlite3_step(statement) {
            case SQLITE_ROW:
                // Not before the first step: SQLite only then finds that a table has other columns now.
                if rows.isEmpty { columns = unsafe names(statement) }
                var values: [SQLiteValue] = []
                for index in columns.indices {
                    guard let value = unsafe value(statement, Int32(index)) else {
                        throw unsafe unreadable(statement)
                    }
                    values.append(value)
                }
                rows.append(SQLiteRow(columns: columns, values: values))
            case SQLITE_DONE: return rows
            case let result: throw unsafe failure(of: statement, result)
            }
        }
    }

    private func failure(of statement: OpaquePointer, _ result: Int32) -> SQLiteError {
        let mayWrite = unsafe sqlite3_stmt_readonly(statement) == 0
        return unsafe SQLiteError(database, result, endpoint: endpoint, mayWrite: mayWrite)
    }

    /// The error for a statement, one of whose values cannot be read.
    ///
    /// It ends here, which commits what it has written: that, too, may fail.
    private func unreadable(_ statement: OpaquePointer) -> SQLiteError {
        let result = unsafe sqlite3_reset(statement)
        guard result == SQLITE_OK else { return unsafe failure(of: statement, result) }
        let message = "a TEXT of the answer is not UTF-8: CAST it to BLOB"
        return SQLiteError(.unexpectedReply, .answered, endpoint: endpoint, message)
    }

    private func names(_ statement: OpaquePointer) -> [String] {
        unsafe (0..<sqlite3_column_count(statement)).map { index in
            // SQLite keeps a column's name as long as its statement; it is copied here.
            unsafe sqlite3_column_name(statement, index).map { unsafe String(cString: $0) } ?? ""
        }
    }

    /// A value of the row; nil for a TEXT that is not UTF-8.
    private func value(_ statement: OpaquePointer, _ index: Int32) -> SQLiteValue? {
        switch unsafe sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(statement, index))
        case SQLITE_FLOAT: return .real(unsafe sqlite3_column_double(statement, index))
        case SQLITE_NULL: return .null
        case let type:
            // SQLite keeps the bytes until the statement's next step; they are copied here.
            // A database may keep its text as UTF-16; asked for as text it comes as UTF-8, and its bytes are counted after that.
            let start: UnsafeRawPointer? =
                unsafe type == SQLITE_TEXT
                ? UnsafeRawPointer(sqlite3_column_text(statement, index))
                : sqlite3_column_blob(statement, index)
            let count = unsafe Int(sqlite3_column_bytes(statement, index))
            let bytes = unsafe Array(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count))
            return type == SQLITE_TEXT
                ? String(validating: bytes, as: UTF8.self).map { .text($0) } : .blob(bytes)
        }
    }

    /// Others use the connection next: a transaction that is left open would swallow their statements.
    private func endTransaction() throws(SQLiteError) {
        guard unsafe sqlite3_get_autocommit(database) == 0 else { return }
        _ = unsafe sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
        throw invalid(
            .rejected,
            "a transaction cannot be left open on a client that others share; it was rolled back"
        )
    }

    private func invalid(_ outcome: SQLiteError.Outcome, _ message: String) -> SQLiteError {
        SQLiteError(.invalidCommand, outcome, endpoint: endpoint, message)
    }
}
