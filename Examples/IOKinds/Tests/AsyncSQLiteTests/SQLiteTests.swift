import TestSupport
import Testing

@testable import AsyncSQLite

/// What a query gives, and how it fails by its own fault.
@Suite struct SQLiteTests {
    private let database: TemporaryDatabase

    init() throws { database = try TemporaryDatabase() }

    @Test(arguments: [nil, ":memory:"])
    func valuesOfEveryTypeComeBack(path: String?) async throws {
        let io = try database.clients(path: path)
        let sqlite = try io.sqlite("ledger")
        #expect(try io.sqlite("ledger") === sqlite)
        #expect(try await sqlite.query("CREATE TABLE t (a, b, c, d, e, f)") == [])
        let values: [SQLiteValue] = [nil, 42, 1.5, "naïve\0text", .blob([0, 255]), .blob([])]
        let insert = "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?) RETURNING rowid"
        #expect(try await sqlite.query(insert, values).first?["rowid"] == 1)
        let rows = try await sqlite.query("SELECT * FROM t")
        #expect(rows.map(\.columns) == [["a", "b", "c", "d", "e", "f"]])
        #expect(rows.map(\.values) == [values])
        #expect(rows.first?["b"] == 42)
        #expect(rows.first?["nothing"] == nil)
        #expect(try await sqlite.query("SELECT ?", [.integer(.min)]).first?.values == [.integer(.min)])
        await io.close()
        // With the last connection the log is written back, which only a proper close does.
        #expect(!database.exists("-wal"))
        await database.remove()
    }

    @Test func textOfADatabaseInUTF16ComesAsText() async throws {
        let io = try database.clients(path: ":memory:")
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("PRAGMA encoding = 'UTF-16'")
        _ = try await sqlite.query("CREATE TABLE t (a)")
        _ = try await sqlite.query("INSERT INTO t VALUES (?)", ["naïve"])
        #expect(try await sqlite.query("PRAGMA encoding").first?.values == ["UTF-16le"])
        #expect(try await sqlite.query("SELECT a FROM t").first?["a"] == "naïve")
        await io.close()
        await database.remove()
    }

    @Test func commentsMayStandAroundAStatement() async throws {
        let io = try database.clients()
        let sqlite = try io.sqlite("ledger")
        let around = [
            "SELECT 1 -- one", "SELECT 1;", "SELECT 1; ; -- one\n\t;", "SELECT 1;/* one **/ -- two",
            "SELECT 1; /* open", "-- one\nSELECT 1", "/* one */ /***/ values (1)", " \u{c}/*/ */SELECT 1",
        ]
        for sql in around {
            #expect(try await sqlite.query(sql).map(\.values) == [[1]], "\(sql)")
            // None of them waits for a write.
            let isReading = sqlite.database.lane(for: sql) == SQLiteDatabase.reading
            #expect(isReading, "\(sql)")
        }
        let others = ["/* SELECT */ DELETE FROM t", "-- SELECT 1", "WITH n AS (SELECT 1) SELECT 1", "/"]
        for sql in others {
            #expect(sqlite.database.lane(for: sql) == SQLiteDatabase.writing, "\(sql)")
        }
        await io.close()
        await database.remove()
    }

    @Test func columnsAreThoseOfTheTableAsItIsNow() async throws {
        let io = try database.clients()
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("CREATE TABLE t (a, b, c)")
        _ = try await sqlite.query("INSERT INTO t VALUES (1, 2, 3)")
        let all = "SELECT * FROM t"
        #expect(try await sqlite.query(all) == [SQLiteRow(columns: ["a", "b", "c"], values: [1, 2, 3])])
        // The reader has seen the table as it was.
        _ = try await sqlite.query("ALTER TABLE t DROP COLUMN a")
        #expect(try await sqlite.query(all) == [SQLiteRow(columns: ["b", "c"], values: [2, 3])])
        _ = try await sqlite.query("ALTER TABLE t ADD COLUMN d DEFAULT 4")
        #expect(try await sqlite.query(all) == [SQLiteRow(columns: ["b", "c", "d"], values: [2, 3, 4])])
        await io.close()
        await database.remove()
    }

    /// What the documentation of `query` warns of.
    @Test func whatBelongsToTheWriterIsNotSeenByReaders() async throws {
        let io = try database.clients()
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("CREATE TABLE t (a)")
        #expect(try await sqlite.query("INSERT INTO t VALUES (1) RETURNING rowid AS id").first?["id"] == 1)
        #expect(try await sqlite.query("SELECT last_insert_rowid() AS id").first?["id"] == 0)
        _ = try await sqlite.query("CREATE TEMP TABLE mine (a)")
        _ = try await sqlite.query("INSERT INTO mine VALUES (1)")
        let error = await #expect(throws: SQLiteError.self) { try await sqlite.query("SELECT * FROM mine") }
        #expect(error?.code == .generic)
        await io.close()
        await database.remove()
    }

    @Test func aTaskOnTheLoopStaysThere() async throws {
        let io = try database.clients()
        let loop = database.loop
        try await loop.run {
            let rows = try await io.sqlite("ledger").query("SELECT 1")
            #expect(loop.isOnLoop)
            #expect(rows.count == 1)
        }
        await io.close()
        await database.remove()
    }

    @Test func whatFailsSaysHow() async throws {
        let io = try database.clients()
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("CREATE TABLE t (a UNIQUE)")
        _ = try await sqlite.query("INSERT INTO t VALUES (1)")
        let cases: [(String, [SQLiteValue], SQLiteError.Code, SQLiteError.Outcome)] = [
            ("SELEKT", [], .generic, .rejected),
            ("SELECT * FROM nothing", [], .generic, .rejected),
            ("INSERT INTO t VALUES (1)", [], .constraint, .rejected),
            ("SELECT ?", [], .invalidCommand, .rejected),
            ("SELECT 1; SELECT 2", [], .invalidCommand, .rejected),
            ("SELECT 1; /* and */ SELECT 2", [], .invalidCommand, .rejected),
            // Compiling it would set it.
            ("DELETE FROM t WHERE 0; PRAGMA foreign_keys = ON", [], .invalidCommand, .rejected),
            ("", [], .invalidCommand, .rejected),
            ("-- nothing", [], .invalidCommand, .rejected),
            ("INSERT INTO t VALUES (?)", [.real(.nan)], .invalidCommand, .notSent),
            ("PRAGMA foreign_keys = ON\0", [], .invalidCommand, .notSent),
            ("BEGIN", [], .invalidCommand, .rejected),
            ("SELECT CAST(x'ff' AS TEXT)", [], .unexpectedReply, .answered),
        ]
        for (sql, parameters, code, outcome) in cases {
            let error = await #expect(throws: SQLiteError.self) { try await sqlite.query(sql, parameters) }
            #expect(error?.code == code, "\(sql)")
            #expect(error?.outcome == outcome, "\(sql)")
            #expect(error?.endpoint == "ledger")
        }
        #expect(try await sqlite.query("PRAGMA foreign_keys").first?.values == [0])
        // None of them is in the next one's way.
        #expect(try await sqlite.query("SELECT count(*) AS n FROM t").first?["n"] == 1)
        await io.close()
        await database.remove()
    }

    @Test func whatIsNotADatabaseIsRefused() async throws {
        let io = try database.clients(path: "/nowhere/at/all.db")
        let wrong = [
            ("nope", EndpointError.Code.unknownID), ("other", .wrongKind), ("pathless", .invalidSetting),
            ("secret", .invalidSetting), ("uri", .invalidSetting),
        ]
        for (id, code) in wrong {
            let error = #expect(throws: SQLiteError.self) { try io.sqlite(id) }
            #expect(error?.code == .invalidEndpoint)
            #expect(error?.endpointError?.code == code)
        }
        let first = try io.sqlite("ledger")
        for _ in 0..<2 {
            let error = await #expect(throws: SQLiteError.self) { try await first.query("SELECT 1") }
            #expect(error?.code == .connectFailed)
            #expect(error?.outcome == .notSent)
            #expect(error?.ioError?.name == "ENOENT")
        }
        #expect(first.hasEnded)
        // The next to ask gets a new attempt.
        #expect(try io.sqlite("ledger") !== first)
        await io.close()
        let error = #expect(throws: SQLiteError.self) { try io.sqlite("ledger") }
        #expect(error?.endpointError?.code == .clientsClosed)
        await database.remove()
    }

    @Test func manyTasksReadAndWrite() async throws {
        let io = try database.clients()
        // A second client of the same file, as another process would be.
        let others = try database.clients()
        _ = try await io.sqlite("ledger").query("CREATE TABLE entry (amount)")
        try await database.loop.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<500 {
                    let io = number % 2 == 0 ? io : others
                    group.addTask {
                        _ = try await io.sqlite("ledger")
                            .query("INSERT INTO entry VALUES (?)", [.integer(Int64(number))])
                    }
                    group.addTask {
                        let rows = try await io.sqlite("ledger").query(
                            "SELECT ? AS n",
                            [.integer(Int64(number))]
                        )
                        #expect(rows.first?["n"] == .integer(Int64(number)))
                    }
                }
                try await group.waitForAll()
            }
        }
        let sum = try await io.sqlite("ledger").query("SELECT sum(amount) AS s FROM entry")
        #expect(sum.first?["s"] == .integer(499 * 500 / 2))
        await io.close()
        await others.close()
        await database.remove()
    }
}
