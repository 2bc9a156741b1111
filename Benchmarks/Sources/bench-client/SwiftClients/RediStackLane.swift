#if SwiftClients
    import NIOCore
    @unsafe @preconcurrency import RediStack

    /// A lane of RediStack.
    struct RediStackLane: Lane {
        let connection: RedisConnection
        let scenario: Scenario
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
                let value = try await connection.hget(field, from: key, as: String.self).get()
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
                .get()
                guard elements == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func hmget(_ key: RedisKey) async throws {
            let fields = Seed.fields
            let expected: [String?] = Seed.fieldValues
            while !recorder.isFull {
                let values = try await connection.hmget(fields, from: key, as: String.self).get()
                guard values == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func get(_ key: RedisKey) async throws {
            while !recorder.isFull {
                // As `[UInt8]` it would expect an array of numbers.
                let buffer = try await connection.get(key).get().byteBuffer
                guard let buffer, Blob.matches([UInt8](buffer.readableBytesView)) else {
                    throw UnexpectedReply(scenario: scenario)
                }
                recorder.lap()
            }
        }

        private mutating func set(_ key: RedisKey) async throws {
            let blob = RESPValue.bulkString(ByteBuffer(bytes: Seed.blob))
            while !recorder.isFull {
                // Throws what is not `OK`.
                try await connection.set(key, to: blob).get()
                recorder.lap()
            }
        }
    }
#endif
