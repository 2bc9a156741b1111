import TestSupport
import Testing

@testable import AsyncPostgres

/// What one query leaves behind for the next on its connection.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresSessionTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    private let single = EndpointPolicy(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)

    @Test func aTransactionThatIsLeftOpenIsNobodysElse() async throws {
        let (postgres, watcher) = (try client(single), try client())
        _ = try await postgres.query("DROP TABLE IF EXISTS session")
        _ = try await postgres.query("CREATE TABLE session (n int)")
        for begin in ["BEGIN", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE"] {
            let error = await failure(of: begin, on: postgres)
            #expect(error?.code == .invalidCommand)
            #expect(error?.outcome == .rejected)
            _ = try await postgres.query("INSERT INTO session VALUES (1)")
        }
        #expect(try await watcher.query("SELECT * FROM session").count == 2)
        await postgres.close()
        await loop.shutdown()
    }

    @Test func whatIsForTheTransactionEndsWithItsStatement() async throws {
        let (postgres, watcher) = (try client(single), try client())
        _ = try await postgres.query(
            "SELECT set_config('lock_timeout', '7s', true), pg_advisory_xact_lock(7)"
        )
        #expect(try await postgres.query("SHOW lock_timeout").first?["lock_timeout"] == "0")
        #expect(try await watcher.query("SELECT pg_try_advisory_lock(7) AS got").first?["got"] == "t")
        await postgres.close()
        await loop.shutdown()
    }

    /// What the documentation of `query` warns of.
    @Test func whatIsForTheSessionStaysWithItsConnection() async throws {
        let (postgres, watcher) = (try client(single), try client())
        _ = try await postgres.query("SET lock_timeout = '7s'")
        _ = try await postgres.query("CREATE TEMP TABLE kept (n int)")
        #expect(try await postgres.query("SHOW lock_timeout").first?["lock_timeout"] == "7s")
        #expect(try await postgres.query("SELECT * FROM kept") == [])
        #expect(try await watcher.query("SHOW lock_timeout").first?["lock_timeout"] == "0")
        #expect(await failure(of: "SELECT * FROM kept", on: watcher)?.code == .undefinedTable)
        await postgres.close()
        await loop.shutdown()
    }

    @Test func notificationsDoNotPileUp() async throws {
        let (postgres, watcher) = (try client(single), try client())
        _ = try await postgres.query("LISTEN everything")
        _ = try await watcher.query("SELECT 1")
        let before = Heap.allocatedBytes()
        // 32 MB in all.
        let notify =
            "SELECT count(pg_notify('everything', repeat('x', 7900) || n)) FROM generate_series(1, 4000) AS n"
        _ = try await watcher.query(notify)
        // The server sends what it has been told of before it reads the next statement.
        #expect(try await postgres.query("SELECT 1").count == 1)
        #expect(Heap.allocatedBytes() < before + 8 << 20)
        await postgres.close()
        await loop.shutdown()
    }
}
