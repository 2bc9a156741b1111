import AsyncRedis

/// One closed-loop lane: it sends a command, awaits and checks its reply, and sends the next.
///
/// Each scenario has a loop of its own, written as a user would write it, so that nothing but the client's API stands
/// between the lane and the connection.
protocol Lane: Sendable {
    var scenario: Scenario { get }
    var recorder: LatencyRecorder { get set }

    // Each runs until the recorder is full.
    mutating func hget() async throws
    mutating func lrange(last: Int, expecting: [String]) async throws
    mutating func hmget() async throws
    mutating func get() async throws
    mutating func getBlob() async throws
    mutating func setBlob() async throws
}

extension Lane {
    /// Runs until the lane's recorder is full.
    mutating func run() async throws {
        recorder.start()
        switch scenario {
        case .hget: try await hget()
        case .lrange5: try await lrange(last: 4, expecting: Array(Seed.items.prefix(5)))
        case .lrange100: try await lrange(last: 99, expecting: Seed.items)
        case .get1m: try await getBlob()
        case .set1m: try await setBlob()
        case .hmget10: try await hmget()
        case .get: try await get()
        }
    }
}

/// A lane of this package's client.
struct AsyncRedisLane: Lane {
    let redis: AsyncRedisClient
    let scenario: Scenario
    var recorder: LatencyRecorder

    mutating func hget() async throws {
        let (key, field, expected) = (scenario.key, Seed.field, Seed.name)
        while !recorder.isFull {
            let value = try await redis.hget(key, field)
            guard value == expected else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }

    mutating func lrange(last: Int, expecting expected: [String]) async throws {
        let key = scenario.key
        while !recorder.isFull {
            let elements = try await redis.lrange(key, 0, last)
            guard elements == expected else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }

    mutating func hmget() async throws {
        let (key, fields) = (scenario.key, Seed.fields)
        let expected: [String?] = Seed.fieldValues
        while !recorder.isFull {
            let values = try await redis.hmget(key, fields)
            guard values == expected else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }

    mutating func get() async throws {
        let (key, expected) = (scenario.key, Seed.name)
        while !recorder.isFull {
            let value = try await redis.send("GET", key, as: String?.self)
            guard value == expected else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }

    mutating func getBlob() async throws {
        let key = scenario.key
        while !recorder.isFull {
            let bytes = try await redis.send("GET", key, as: [UInt8].self)
            guard Blob.matches(bytes) else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }

    mutating func setBlob() async throws {
        let (key, blob) = (scenario.key, Seed.blob)
        let expected = RESPValue.simpleString("OK")
        while !recorder.isFull {
            let reply = try await redis.send("SET", key, blob)
            guard reply == expected else { throw UnexpectedReply(scenario: scenario) }
            recorder.lap()
        }
    }
}

/// A reply that is not what was seeded.
struct UnexpectedReply: Error, CustomStringConvertible {
    let scenario: Scenario
    var description: String { "unexpected reply to \(scenario)" }
}
