import Foundation
import IOCalls
import TestSupport
import Testing

@testable import AsyncSQLite

/// What a query leaves behind, for whoever asks what became of it, and for the next one on its connection.
@Suite(.serialized) struct SQLiteAftermathTests {
    private let database: TemporaryDatabase

    init() throws { database = try TemporaryDatabase() }

    private func table() async throws -> (AsyncIOClients, SQLiteClient) {
        let io = try database.clients()
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("CREATE TABLE entry (amount)")
        return (io, sqlite)
    }

    private func failure(_ sqlite: SQLiteClient, _ sql: String) async -> SQLiteError? {
        await #expect(throws: SQLiteError.self) { try await sqlite.query(sql) }
    }

    private func number(_ sqlite: SQLiteClient, _ sql: String) async throws -> Int {
        let value = try await sqlite.query(sql).first?.values.first
        guard case .integer(let number) = value else { throw CocoaError(.coderValueNotFound) }
        return Int(number)
    }

    private func place(of rows: [SQLiteRow]) -> UInt {
        unsafe rows.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }

    /// Whoever lets go of rows last frees them.
    @Test(arguments: ["VALUES (1), (2)", "INSERT INTO entry VALUES (1), (2) RETURNING amount"])
    func nobodyElseHoldsTheRows(sql: String) async throws {
        let (io, sqlite) = try await table()
        var rows = try await sqlite.query(sql)
        let place = place(of: rows)
        // An array that somebody else holds, too, is copied now.
        rows[0] = SQLiteRow(columns: [], values: [])
        #expect(self.place(of: rows) == place)
        await io.close()
        await database.remove()
    }

    @Test func whatTheDiskFailsMayHaveBeenWritten() async throws {
        let (io, sqlite) = try await table()
        let pages = try await number(sqlite, "PRAGMA page_count")
        _ = try await sqlite.query("PRAGMA max_page_count = \(pages)")
        let error = await failure(sqlite, "INSERT INTO entry VALUES (zeroblob(1000000))")
        #expect(error?.code == .server("SQLITE_FULL"))
        #expect(error?.outcome == .indeterminate)
        #expect(try await sqlite.query("SELECT * FROM entry") == [])
        await io.close()
        await database.remove()
    }

    @Test func whatOnlyReadsHasWrittenNothing() async throws {
        let (io, sqlite) = try await table()
        let size = try await number(sqlite, "PRAGMA page_size")
        await io.close()
        // The table's first page.
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: database.path))
        try file.seek(toOffset: UInt64(size))
        try file.write(contentsOf: Data(repeating: 0xff, count: size))
        try file.close()

        let others = try database.clients()
        let cases = [
            ("SELECT * FROM entry", SQLiteError.Outcome.rejected), ("DELETE FROM entry", .indeterminate),
        ]
        for (sql, outcome) in cases {
            let error = await failure(try others.sqlite("ledger"), sql)
            #expect(error?.code == .server("SQLITE_CORRUPT"), "\(sql)")
            #expect(error?.outcome == outcome, "\(sql)")
        }
        await others.close()
        await database.remove()
    }

    @Test func whatCannotBeReadHasBeenWrittenAllTheSameOrSaysWhyNot() async throws {
        let (io, sqlite) = try await table()
        _ = try await sqlite.query("PRAGMA foreign_keys = ON")
        _ = try await sqlite.query("CREATE TABLE owner (id PRIMARY KEY)")
        _ = try await sqlite.query("CREATE TABLE thing (id REFERENCES owner DEFERRABLE INITIALLY DEFERRED)")
        let answered = await failure(sqlite, "INSERT INTO owner VALUES (1) RETURNING CAST(x'ff' AS TEXT)")
        #expect(answered?.code == .unexpectedReply)
        #expect(answered?.outcome == .answered)
        #expect(try await sqlite.query("SELECT * FROM owner").count == 1)
        // The constraint is looked at when it is committed.
        let refused = await failure(sqlite, "INSERT INTO thing VALUES (2) RETURNING CAST(x'ff' AS TEXT)")
        #expect(refused?.code == .constraint)
        #expect(refused?.outcome == .rejected)
        #expect(try await sqlite.query("SELECT * FROM thing") == [])
        await io.close()
        await database.remove()
    }

    @Test(arguments: ["BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT here"])
    func aTransactionLeftOpenIsNotTheNextOnes(sql: String) async throws {
        let (io, sqlite) = try await table()
        let error = await failure(sqlite, sql)
        #expect(error?.code == .invalidCommand)
        #expect(error?.outcome == .rejected)
        _ = try await sqlite.query("INSERT INTO entry VALUES (1)")
        // A reader sees what has been committed.
        #expect(try await sqlite.query("SELECT * FROM entry").count == 1)
        await io.close()
        await database.remove()
    }

    @Test func anInterruptHitsNoOther() async throws {
        let (io, sqlite) = try await table()
        let calls = sqlite.database.calls
        // Of enough steps that SQLite asks whether to go on.
        let steps = Endless.numbers.replacingOccurrences(of: "FROM c)", with: "FROM c LIMIT 10000)")
        let next = "INSERT INTO entry SELECT count(*) FROM \(steps) RETURNING amount"
        for _ in 0..<50 {
            let before = await database.loop.run { calls.submitted }
            let endless = Task { try await sqlite.query(Endless.writing) }
            #expect(await eventually { await database.loop.run { calls.submitted } > before })
            async let rows = sqlite.query(next)
            endless.cancel()
            #expect(try await rows.first?["amount"] == 10000)
            _ = await endless.result
        }
        #expect(try await sqlite.query("SELECT * FROM entry").count == 50)
        await io.close()
        await database.remove()
    }

    @Test func aFileThatIsNotToBeHadInTimeEndsTheClient() async throws {
        let (io, sqlite) = try await table()
        _ = try await sqlite.query("PRAGMA locking_mode = EXCLUSIVE")
        _ = try await sqlite.query("INSERT INTO entry VALUES (1)")
        let others = try database.clients(.init(connectTimeout: .milliseconds(30), commandTimeout: nil))
        let waiting = try others.sqlite("ledger")
        let error = await failure(waiting, "SELECT 1")
        #expect(error?.code == .connectTimedOut)
        #expect(error?.outcome == .notSent)
        #expect(waiting.hasEnded)
        await others.close()
        await io.close()
        await database.remove()
    }
}
