import AsyncKafka
import AsyncPostgres
import AsyncRedis
import AsyncSQLite

/// One round: what a request of a web service might ask for, 100 times at once.
func runRound(_ io: AsyncIOClients) async -> Failures {
    await withTaskGroup(of: Failures.self) { group in
        for number in 0..<100 {
            group.addTask {
                var failures = Failures()
                await failures.note("redis") {
                    try await io.redis("follows").lrange("fanout:follow", 0, 1) == ["a", "b"]
                }
                await failures.note("postgres") {
                    let rows = try await io.postgres("orders").query(
                        "SELECT $1::int * 2 AS double",
                        ["\(number)"]
                    )
                    return rows.first?["double"] == "\(number * 2)"
                }
                await failures.note("sqlite") {
                    let rows = try await io.sqlite("ledger")
                        .query("SELECT amount FROM entry WHERE id = ?", [.integer(Int64(number))])
                    return rows.first?["amount"] == .integer(Int64(number * 3))
                }
                await failures.note("kafka") {
                    try await io.kafka("events").produce(Array("request \(number)".utf8), to: "requests")
                        .offset >= 0
                }
                return failures
            }
        }
        return await group.reduce(into: Failures()) { $0.add($1) }
    }
}

func seed(_ io: AsyncIOClients) async throws {
    let redis = try io.redis("follows")
    _ = try await redis.send("DEL", "fanout:follow")
    _ = try await redis.send("RPUSH", "fanout:follow", "a", "b")
    let sqlite = try io.sqlite("ledger")
    _ = try await sqlite.query("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, amount INTEGER)")
    _ = try await sqlite.query(
        """
        INSERT OR REPLACE INTO entry
        SELECT n, n * 3 FROM (WITH RECURSIVE c(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM c LIMIT 100) SELECT n FROM c)
        """
    )
}
