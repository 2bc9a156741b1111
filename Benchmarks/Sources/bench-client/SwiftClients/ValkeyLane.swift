#if SwiftClients
    import NIOCore
    import Valkey

    /// A lane of valkey-swift.
    struct ValkeyLane: Lane {
        let connection: ValkeyConnection
        let scenario: Scenario
        /// What `set1m` sends.
        let blob: ByteBuffer
        var recorder: LatencyRecorder

        mutating func run() async throws {
            let key = ValkeyKey(scenario.key)
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

        private mutating func hget(_ key: ValkeyKey) async throws {
            let (field, expected) = (Seed.field, Seed.name)
            while !recorder.isFull {
                let value = try await connection.hget(key, field: field)
                guard value.map({ String($0) }) == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func lrange(_ key: ValkeyKey, last: Int, expecting expected: [String]) async throws {
            while !recorder.isFull {
                let elements = try await connection.lrange(key, start: 0, stop: last).decode(
                    as: [String].self
                )
                guard elements == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func hmget(_ key: ValkeyKey) async throws {
            let (fields, expected) = (Seed.fields, Seed.fieldValues)
            while !recorder.isFull {
                let values = try await connection.hmget(key, fields: fields).decode(as: [String].self)
                guard values == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        private mutating func get(_ key: ValkeyKey) async throws {
            while !recorder.isFull {
                let value = try await connection.get(key)
                guard let value, Blob.matches([UInt8](value)) else {
                    throw UnexpectedReply(scenario: scenario)
                }
                recorder.lap()
            }
        }

        private mutating func set(_ key: ValkeyKey) async throws {
            while !recorder.isFull {
                let reply = try await connection.set(key, value: blob)
                guard reply.map({ String($0) }) == "OK" else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }
    }
#endif
