import AsyncKafka
import AsyncPostgres
import AsyncRedis
import AsyncSQLite

/// What failed, by the kind of I/O, and the error's code and outcome.
struct Failures: Sendable {
    private var counts: [String: (count: Int, example: String)] = [:]

    var isEmpty: Bool { counts.isEmpty }
    var count: Int { counts.values.reduce(0) { $0 + $1.count } }

    /// Notes what becomes of a call: it has to return true.
    mutating func note(_ kind: String, _ call: () async throws -> Bool) async {
        do {
            if try await !call() { add("\(kind) wrongAnswer", 1, "the answer is not what was stored") }
        } catch {
            let what =
                switch error {
                case let error as RedisError: "\(error.code), \(error.outcome)"
                case let error as PostgresError: "\(error.code), \(error.outcome)"
                case let error as SQLiteError: "\(error.code), \(error.outcome)"
                case let error as KafkaError: "\(error.code), \(error.outcome)"
                default: "unknown"
                }
            add("\(kind) \(what)", 1, "\(error)")
        }
    }

    mutating func add(_ other: Failures) {
        for (what, entry) in other.counts { add(what, entry.count, entry.example) }
    }

    private mutating func add(_ what: String, _ count: Int, _ example: String) {
        counts[what, default: (0, example)].count += count
    }

    func print() {
        for (what, entry) in counts.sorted(by: { $0.key < $1.key }) {
            Swift.print("failed: \(entry.count) × \(what), for example: \(entry.example)")
        }
    }
}
