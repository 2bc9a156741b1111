import TestSupport
import Testing

@testable import AsyncPostgres

/// What an answer, or what there is of it, says of its statement.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresAnswerTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    enum End: CaseIterable { case answer, refusal, halfAnAnswer, halfARefusal }

    /// A server that is reset as soon as it has written.
    ///
    /// The loop sees both at once, and needs several turns for what was written.
    @Test(arguments: End.allCases) func whatCameWholeBeforeTheEndCounts(end: End) async throws {
        let (isAsked, isBusy, isReset) = (Gate(), Gate(), Gate())
        let values = [String(repeating: "x", count: 45_000)]
        let server = try ScriptedServer { connection in
            connection.admit()
            _ = connection.readSome()
            isAsked.open()
            isBusy.waitOnThread()
            if [.answer, .halfAnAnswer].contains(end) {
                connection.answer(values)
            } else {
                connection.refuse("23505")
            }
            if [.answer, .refusal].contains(end) { connection.readyForMore() }
            connection.reset()
            isReset.open()
        }
        let clients = try PostgresServer.clients(PostgresServer.spec(port: server.port), on: loop)
        let postgres = try clients.postgres("orders")
        let task = Task { try await postgres.query("SELECT 1") }
        await isAsked.wait()
        loop.post {
            isBusy.open()
            isReset.waitOnThread()
        }
        let result = await task.result
        if end == .answer {
            #expect(try result.get().map { $0["text"] } == values)
        } else {
            let error = #expect(throws: PostgresError.self) { try result.get() }
            #expect(error?.code == (end == .refusal ? .uniqueViolation : .connectionLost))
            #expect(error?.outcome == (end == .refusal ? .rejected : .indeterminate))
        }
        #expect(await eventually { postgres.hasEnded })
        #expect(try clients.postgres("orders") !== postgres)
        await loop.shutdown()
        server.stop()
    }

    @Test func anErrorSaysWhetherTheStatementMayHaveRun() async throws {
        let cases: [(state: String?, PostgresError.Outcome)] = [
            ("40001", .rejected), ("08P01", .rejected),
            (nil, .indeterminate), ("40003", .indeterminate), ("08006", .indeterminate),
        ]
        let server = try ScriptedServer { connection in
            connection.admit()
            for (state, _) in cases {
                _ = connection.readSome()
                connection.refuse(state)
                connection.readyForMore()
            }
            _ = connection.readSome()
        }
        let postgres = try client(.init(maxInflight: 1), port: server.port)
        for (state, outcome) in cases {
            let error = await failure(of: "SELECT 1", on: postgres)
            #expect(error?.code == (state.map { .server($0) } ?? .unexpectedReply))
            #expect(error?.outcome == outcome, "\(state ?? "none")")
        }
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }

    @Test func whatMayHaveWrittenIsInDoubt() async throws {
        let (postgres, watcher) = (try client(), try client())
        _ = try await watcher.query("DROP TABLE IF EXISTS doubt")
        _ = try await watcher.query("CREATE TABLE doubt (n int UNIQUE)")
        let cases: [(String, PostgresError.Outcome)] = [
            ("INSERT INTO doubt SELECT 1 / (3 - n) FROM generate_series(1, 3) AS n", .rejected),
            ("/* DO */ INSERT INTO doubt VALUES (2) ON CONFLICT DO NOTHING RETURNING 1 / 0", .rejected),
            ("CREATE TABLE doubt (n int)", .rejected),
            ("COPY doubt FROM STDIN", .rejected),
            ("COPY (INSERT INTO doubt VALUES (3) RETURNING n) TO STDOUT", .indeterminate),
            ("DO $$BEGIN INSERT INTO doubt VALUES (4); COMMIT; RAISE 'late'; END$$", .indeterminate),
            ("-- ;\n; /* /* x */ */do $$BEGIN RAISE 'late'; END$$", .indeterminate),
            ("create unique index concurrently ON doubt ((1 / (n - 4)))", .indeterminate),
        ]
        for (sql, outcome) in cases {
            #expect(await failure(of: sql, on: postgres)?.outcome == outcome, "\(sql)")
        }
        #expect(try await watcher.query("SELECT n FROM doubt WHERE n <> 3").map { $0["n"] } == ["4"])
        await postgres.close()
        await loop.shutdown()
    }
}
