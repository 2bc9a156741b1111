import AsyncRedis

/// What every lane asks, over and over.
enum Scenario: String, Sendable {
    case hget, lrange5, lrange100, get1m, set1m, hmget10, get

    /// The key it reads or writes.
    var key: String { "bench:\(rawValue)" }
}

/// The keys' contents, which the replies are checked against.
///
/// `bench-hiredis` uses the same.
enum Seed {
    static let field = "name"
    static let name = "Ingrid"
    static let items = (0..<100).map { index in
        let digits = String(index)
        return "item-" + String(repeating: "0", count: 3 - digits.count) + digits
    }
    static let fields = (0..<10).map { "f\($0)" }
    static let fieldValues = (0..<10).map { "value\($0)" }
    static let blob = (0..<Blob.size).map(Blob.byte)
}

/// A mebibyte that no encoding explains.
enum Blob {
    static let size = 1 << 20
    /// A prime, so that the samples fall at every offset within a page.
    private static let sampleStride = 1021

    /// Depends on every byte of the offset, so that a lost, doubled or shifted piece shows.
    static func byte(at offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: offset ^ (offset >> 8) ^ (offset >> 16))
    }

    /// Whether `bytes` is the blob, by its size and samples: comparing all of it would measure the comparison.
    static func matches(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == size, bytes[size - 1] == byte(at: size - 1) else { return false }
        for offset in stride(from: 0, to: size, by: sampleStride) where bytes[offset] != byte(at: offset) {
            return false
        }
        return true
    }
}

extension Scenario {
    /// Writes the key that the scenario reads.
    func seed(_ redis: AsyncRedisClient) async throws {
        _ = try await redis.send("DEL", key)
        switch self {
        case .hget:
            _ = try await redis.send("HSET", key, Seed.field, Seed.name)
        case .lrange5:
            for item in Seed.items.prefix(5) { _ = try await redis.send("RPUSH", key, item) }
        case .lrange100:
            for item in Seed.items { _ = try await redis.send("RPUSH", key, item) }
        case .get:
            _ = try await redis.send("SET", key, Seed.name)
        case .get1m:
            _ = try await redis.send("SET", key, Seed.blob)
        case .hmget10:
            for (field, value) in zip(Seed.fields, Seed.fieldValues) {
                _ = try await redis.send("HSET", key, field, value)
            }
        case .set1m:
            break
        }
    }
}
