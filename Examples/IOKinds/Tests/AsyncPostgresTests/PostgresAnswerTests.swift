import Foundation
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
            // What libpq says when it goes on reading is in nobody's way.
            #expect(error?.message.contains("invalid socket") == false)
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
            ("COPY doubt FROM '/no/such/file'", .indeterminate),
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

    /// A server that begins to copy although nothing that was sent says so.
    @Test(arguments: [true, false])
    func aCopyThatWasNotForeseenEndsItsConnection(isIn: Bool) async throws {
        let server = try ScriptedServer { connection in
            connection.admit()
            _ = connection.readSome()
            connection.write(isIn ? "G" : "H", [0, 0, 0])
            while connection.readSome() != nil {}
        }
        let postgres = try client(.init(maxInflight: 1), port: server.port)
        let error = await failure(of: "SELECT 1", on: postgres)
        #expect(error?.code == .invalidCommand)
        #expect(error?.outcome == (isIn ? .rejected : .indeterminate))
        // The client goes on without it.
        #expect(!postgres.hasEnded)
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }

    @Test func theKernelKeepsNoMoreThanATurnOfTheLoopTakesIn() async throws {
        let otherLoop = EventLoop(name: "watcher")
        let watcher = try PostgresServer.clients(on: otherLoop).postgres("orders")
        let postgres = try client(.init(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil))
        // Libpq's memory and the kernel's become as large as they may.
        _ = try await postgres.query("SELECT repeat('x', 64 << 20)")
        let port = try await postgres.query("SELECT inet_client_port() AS port").first?["port"]
        let task = start("SELECT generate_series(1, 100000000) /* flood */", postgres)
        #expect(await runs("flood", 1, seenBy: watcher))
        let (isBusy, isFree) = (Gate(), Gate())
        loop.post {
            isBusy.open()
            isFree.waitOnThread()
        }
        await isBusy.wait()
        let isFull =
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%flood%' AND wait_event = 'ClientWrite'"
        let (client, unread) = (try #require(port.flatMap { Int($0) }), Collected(0))
        #expect(
            await eventually {
                let isWaiting = (try? await watcher.query(isFull))?.isEmpty == false
                let bytes = unreadBytes(ofPort: client)
                return unread.update { last in
                    defer { last = bytes }
                    return isWaiting && bytes > 0 && bytes == last
                }
            }
        )
        isFree.open()
        task.cancel()
        #expect(await task.value?.code == .cancelled)
        #expect(unread.value < 1 << 20)
        await postgres.close()
        await loop.shutdown()
        await otherLoop.shutdown()
    }

    @Test func aLargeAnswerIsNotDecodedOnTheLoop() async throws {
        let (postgres, hasTurned) = (try client(), Gate())
        let statement = try #require(CTexts(["SELECT n FROM generate_series(1, 100000) AS n"]))
        try await loop.run { [loop] in
            let reply = try await postgres.pool.calls.perform(statement, timeout: nil)
            loop.post { hasTurned.open() }
            let rows = try await reply.rows(endpoint: "orders", deadline: .max)
            #expect(hasTurned.isOpen)
            #expect(loop.isOnLoop)
            #expect(rows.last?["n"] == "100000")
        }
        await postgres.close()
        await loop.shutdown()
    }

    /// Decoding a large answer takes its time, too.
    @Test(arguments: [
        "SELECT n FROM generate_series(1, 100000) AS n",
        "SELECT repeat('x', 500000) FROM generate_series(1, 2)",
    ])
    func whoseTimeIsOverDuringTheDecodingGetsNoRows(sql: String) async throws {
        let postgres = try client()
        let statement = try #require(CTexts([sql]))
        let reply = try await postgres.pool.calls.perform(statement, timeout: nil)
        let late = await #expect(throws: PostgresError.self) {
            try await reply.rows(endpoint: "orders", deadline: 1)
        }
        #expect(late?.code == .deadlineExceeded)
        #expect(late?.outcome == .answered)
        let mayDecode = Gate()
        let task = Task {
            await mayDecode.wait()
            return try await reply.rows(endpoint: "orders", deadline: .max)
        }
        task.cancel()
        mayDecode.open()
        let cancelled = await #expect(throws: PostgresError.self) { try await task.value }
        #expect(cancelled?.code == .cancelled)
        #expect(cancelled?.outcome == .answered)
        await postgres.close()
        await loop.shutdown()
    }

    /// How much has come on the socket with that port, and has not been read.
    ///
    /// Source: the kernel's `proc_net_tcp`. State 1 is an established connection's.
    private func unreadBytes(ofPort port: Int) -> Int {
        let file = FileHandle(forReadingAtPath: "/proc/net/tcp")
        let table = String(decoding: (try? file?.readToEnd()) ?? Data(), as: UTF8.self)
        let sockets = table.split(separator: "\n").map { $0.split(separator: " ") }
        let end = ":" + String(port + 0x10000, radix: 16, uppercase: true).dropFirst()
        let queues = sockets.first { $0.count > 4 && $0[1].hasSuffix(end) && $0[3] == "01" }?[4].split(
            separator: ":"
        )
        return queues?.last.flatMap { Int($0, radix: 16) } ?? 0
    }
}
