// What a program with AsyncRedis looks like. `scripts/run.sh` runs it against REDIS_URL, or a Redis it starts itself.
import AsyncRedis

let url = environment("REDIS_URL") ?? "redis://127.0.0.1:6379"

do {
    let loop = EventLoop.shared
    let registry = try EndpointRegistry([
        EndpointSpec(id: "follows", redisURL: url, policy: .init(maxInflight: 64)),
        // A port that nobody listens on.
        EndpointSpec(id: "nobody", kind: .redis, host: "127.0.0.1", port: 1),
    ])
    let io = AsyncIOClients(loop: loop, endpoints: registry)

    try await seed(try io.redis("follows"))

    try await loop.run {
        let redis = try io.redis("follows")

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
            var pages: [[String]] = []
            for try await page in group { pages.append(page) }
            return pages
        }
        let took = clock.now - start
        print("LRANGE 100 at a time → \(pages.count) × \(pages.first ?? []) in \(took)")
        guard pages.allSatisfy({ $0 == ["a", "b", "c", "d", "e"] }) else {
            fail("a page is not what was stored")
        }
    }
    print("threads in this process: \(threadCount())")

    // A failed connect is reported at once, and the error says that the command was not sent.
    do {
        _ = try await io.redis("nobody").send("PING")
        fail("something listens on port 1")
    } catch {
        print("a closed port → \(error)")
    }

    _ = try await io.redis("follows").send("DEL", "quickstart:user", "quickstart:follow")
    await io.close()
} catch {
    fail(
        "\(error)\nSet REDIS_URL to a Redis server, for example redis://127.0.0.1:6379, or use scripts/run.sh."
    )
}

func seed(_ redis: AsyncRedisClient) async throws {
    _ = try await redis.send("DEL", "quickstart:user", "quickstart:follow")
    _ = try await redis.send("HSET", "quickstart:user", "name", "Ada", "age", 36)
    _ = try await redis.send("RPUSH", "quickstart:follow", "a", "b", "c", "d", "e", "f")
}
