#if SwiftClients
    import NIOCore
    @unsafe @preconcurrency import RediStack

    /// A lane of RediStack.
    struct RediStackLane: Lane {
        let connection: RedisConnection
        let scenario: Scenario
        /// What `set1m` sends.
        let blob: RESPValue
        var recorder: LatencyRecorder

        mutating func run() async throws {
            let key = RedisKey(scenario.key)
            recorder.start()
            switch scenario {
            case .hget: try await hget(key)
            case .lrange5: try await lrange(key, last: 4, expecting: Array(Seed.items.prefix(5)))
            case .lrange100: try await lrange(key, last: 99, expecting: Seed.items)
            case .get1m: try await get(key)
            case .set1m: try await set(key)
            case .hmget10: try await hmget(key)
            }
        }

        private mutating func hget(_ key: RedisKey) async throws {
            let (field, expected) = (Seed.field, Seed.name)
            while !recorder.isFull {
                let value = try await connection.hget(field, from: key, as: String.self).value()
                guard value == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func lrange(_ key: RedisKey, last: Int, expecting expected: [String]) async throws {
            let expected: [String?] = expected
            while !recorder.isFull {
                let elements = try await connection.lrange(
                    from: key,
                    firstIndex: 0,
                    lastIndex: last,
                    as: String.self
                )
                .value()
                guard elements == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func hmget(_ key: RedisKey) async throws {
            let fields = Seed.fields
            let expected: [String?] = Seed.fieldValues
            while !recorder.isFull {
                let values = try await connection.hmget(fields, from: key, as: String.self).value()
                guard values == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func get(_ key: RedisKey) async throws {
            while !recorder.isFull {
                // As `[UInt8]` it would expect an array of numbers.
                let buffer = try await connection.get(key).value().byteBuffer
                guard let buffer, Blob.matches([UInt8](buffer.readableBytesView)) else {
                    throw UnexpectedReply(scenario: scenario)
                }
                recorder.lap()
            }
        }

        private mutating func set(_ key: RedisKey) async throws {
            let words = [RESPValue(from: key), blob]
            while !recorder.isFull {
                let reply = try await connection.send(command: "SET", with: words).value()
                guard reply.string == "OK" else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }
    }

    extension EventLoopFuture where Value: Sendable {
        /// The value, for a task that stays on its actor: NIO's `get()` would take it to Swift's global executor and back.
        fileprivate nonisolated(nonsending) func value() async throws -> Value {
            try await withCheckedThrowingContinuation { continuation in
                whenComplete { continuation.resume(with: $0) }
            }
        }
    }
#endif
