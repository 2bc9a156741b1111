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

        private var key: RedisKey { RedisKey(scenario.key) }

        mutating func hget() async throws {
            let key = self.key
            let (field, expected) = (Seed.field, Seed.name)
            while !recorder.isFull {
                let value = try await connection.hget(field, from: key, as: String.self).value()
                guard value == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func lrange(last: Int, expecting expected: [String]) async throws {
            let key = self.key
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

        mutating func hmget() async throws {
            let key = self.key
            let fields = Seed.fields
            let expected: [String?] = Seed.fieldValues
            while !recorder.isFull {
                let values = try await connection.hmget(fields, from: key, as: String.self).value()
                guard values == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func get() async throws {
            let key = self.key
            let expected = Seed.name
            while !recorder.isFull {
                let value = try await connection.get(key, as: String.self).value()
                guard value == expected else { throw UnexpectedReply(scenario: scenario) }
                recorder.lap()
            }
        }

        mutating func getBlob() async throws {
            let key = self.key
            while !recorder.isFull {
                // As `[UInt8]` it would expect an array of numbers.
                let buffer = try await connection.get(key).value().byteBuffer
                guard let buffer, Blob.matches([UInt8](buffer.readableBytesView)) else {
                    throw UnexpectedReply(scenario: scenario)
                }
                recorder.lap()
            }
        }

        mutating func setBlob() async throws {
            let key = self.key
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
            // As NIO does in `get()`.
            try unsafe await withUnsafeThrowingContinuation { continuation in
                whenComplete { unsafe continuation.resume(with: $0) }
            }
        }
    }
#endif
