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

        private var key: ValkeyKey { ValkeyKey(scenario.key) }

        mutating func hget() async throws {
            let key = self.key
            let (field, expected) = (Seed.field, Seed.name)
            while !recorder.isFull {
                let value = try await connection.hget(key, field: field)
                guard value.map({ String($0) }) == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func lrange(last: Int, expecting expected: [String]) async throws {
            let key = self.key
            while !recorder.isFull {
                let elements = try await connection.lrange(key, start: 0, stop: last).decode(
                    as: [String].self
                )
                guard elements == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func hmget() async throws {
            let key = self.key
            let (fields, expected) = (Seed.fields, Seed.fieldValues)
            while !recorder.isFull {
                let values = try await connection.hmget(key, fields: fields).decode(as: [String].self)
                guard values == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func get() async throws {
            let key = self.key
            let expected = Seed.name
            while !recorder.isFull {
                let value = try await connection.get(key)
                guard value.map({ String($0) }) == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func getBlob() async throws {
            let key = self.key
            while !recorder.isFull {
                let value = try await connection.get(key)
                // As a buffer, whose bytes are copied all at once.
                guard let value, Blob.matches([UInt8](ByteBuffer(value).readableBytesView)) else {
                    throw UnexpectedReply(scenario: scenario)
                }
                recorder.lap()
            }
        }

        mutating func setBlob() async throws {
            let key = self.key
            while !recorder.isFull {
                let reply = try await connection.set(key, value: blob)
                guard reply.map({ String($0) }) == "OK" else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }
    }
#endif
