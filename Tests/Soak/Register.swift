import AsyncRedis

/// What is known of a value on the server that one task writes and reads, over any of its clients.
///
/// Each write has a number. One that was answered has run. One that was `notSent` must never show. One whose end is
/// `indeterminate` runs once or never: behind it on its own connection, but on another one perhaps much later, when a server
/// that was stopped gets to read a connection that is dead for the client.
struct Register {
    let key: String
    private var lastNumber = 0
    /// The write that the value comes from; nil if there is no value.
    private var current: Int?
    /// The client that said so: as long as its connection lives the server has not been restarted.
    private var witness: AsyncRedisClient?
    /// Writes that may have run or may run yet, each with its client.
    private var possible: [Int: AsyncRedisClient] = [:]
    private var refused: Set<Int> = []

    init(key: String) { self.key = key }

    /// Too many writes are in doubt for reads to say much: go on with another key.
    var isBlurred: Bool { possible.count > 24 || lastNumber > 5000 }

    /// A number for a write that begins.
    mutating func begin() -> Int {
        lastNumber += 1
        return lastNumber
    }

    mutating func wrote(_ number: Int, _ client: AsyncRedisClient, _ outcome: RedisError.Outcome?) {
        switch outcome {
        case nil:
            current = number
            witness = client
            // What was sent before it on the same connection has run before it.
            possible = possible.filter { $0.value !== client }
        case .indeterminate:
            possible[number] = client
        case .notSent, .rejected, .answered:
            refused.insert(number)
        }
    }

    /// A value was read.
    ///
    /// - Parameter number: the write it says it comes from; nil if there was none.
    /// - Returns: what is wrong with it.
    mutating func read(_ number: Int?, _ client: AsyncRedisClient) -> String? {
        guard let number else {
            if let current, witness === client {
                return "\(key) is absent on the connection that had \(current)"
            }
            current = nil
            witness = client
            return nil
        }
        if number == current {
            witness = client
            return nil
        }
        guard let writer = possible.removeValue(forKey: number) else {
            if refused.contains(number) { return "\(key) has \(number), which was not sent or refused" }
            if number > lastNumber || number < 1 { return "\(key) has \(number), which was never written" }
            let expected = current.map { "\($0)" } ?? "nothing"
            return "\(key) has \(number), which was overwritten; expected \(expected)"
        }
        possible = possible.filter { $0.value !== writer || $0.key > number }
        current = number
        witness = client
        return nil
    }
}

/// What is known of a number on the server that one task increments.
struct Counter {
    let key: String
    private var last: Int64 = 0
    private var witness: AsyncRedisClient?
    private var inDoubt: Int64 = 0
    private var begun: Int64 = 0

    init(key: String) { self.key = key }

    mutating func begin() { begun += 1 }

    mutating func ended(_ outcome: RedisError.Outcome) {
        if outcome == .indeterminate { inDoubt += 1 }
    }

    /// An increment was answered.
    ///
    /// - Returns: what is wrong with the number.
    mutating func answered(_ number: Int64, _ client: AsyncRedisClient) -> String? {
        defer {
            last = number
            witness = client
        }
        guard (1...begun).contains(number) else { return "\(key) is \(number) after \(begun) increments" }
        // With another connection the server may be another: then it counts from nothing.
        let least = witness === client ? last + 1 : 1
        guard (least...max(least, last + 1 + inDoubt)).contains(number) else {
            return "\(key) is \(number): expected \(least) to \(last + 1 + inDoubt)"
        }
        return nil
    }
}
