// What a program with AsyncRedis looks like. `scripts/run.sh` runs it against REDIS_URL, or a Redis it starts itself.
import AsyncRedis

let url = environment("REDIS_URL") ?? "redis://127.0.0.1:6379"
let loop = EventLoop.shared

do {
    let redis = try await AsyncRedisClient.connect(to: url, on: loop)
    try await seed(redis)

    try await loop.run {
        let name = try await redis.hget("quickstart:user", "name")
        let nothing = try await redis.hget("quickstart:user", "no such field")
        print("HGET   name → \(name ?? "nil"), a field that does not exist → \(nothing ?? "nil")")

        let fields = try await redis.hmget("quickstart:user", ["name", "age", "no such field"])
        print("HMGET  → \(fields.map { $0 ?? "nil" })")

        let clock = ContinuousClock()
        let start = clock.now
        let pages = try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<100 {
                group.addTask { try await redis.lrange("quickstart:follow", 0, 4) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let took = clock.now - start
        print("LRANGE 100 at a time → \(pages.count) × \(pages.first ?? []) in \(took)")
        guard pages.allSatisfy({ $0 == ["a", "b", "c", "d", "e"] }) else {
            fail("a page is not what was stored")
        }
    }
    print("threads in this process: \(threadCount())")

    _ = try await redis.send("DEL", "quickstart:user", "quickstart:follow")
    await redis.close()
} catch {
    fail(
        "\(error)\nSet REDIS_URL to a Redis server, for example redis://127.0.0.1:6379, or use scripts/run.sh."
    )
}

// A port that nobody listens on is reported at once, and the error says that the command was not sent.
do {
    _ = try await AsyncRedisClient.connect(to: "redis://127.0.0.1:1", on: loop)
    fail("something listens on port 1")
} catch {
    print("a closed port → \(error)")
}

func seed(_ redis: AsyncRedisClient) async throws {
    _ = try await redis.send("DEL", "quickstart:user", "quickstart:follow")
    _ = try await redis.send("HSET", "quickstart:user", "name", "Ada", "age", 36)
    _ = try await redis.send("RPUSH", "quickstart:follow", "a", "b", "c", "d", "e", "f")
}
