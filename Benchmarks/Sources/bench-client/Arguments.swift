/// What the command line asks for.
struct Arguments: Sendable {
    /// Where the lanes run.
    enum Mode: String {
        /// On the event loop, beside the connection.
        case loop
        /// On an actor that lives on the event loop.
        case actor
        /// On Swift's global executor.
        case pool
    }

    /// Whose client runs the lanes.
    enum Client: String {
        /// This package's.
        case asyncRedis = "swift-async-redis"
        case valkeySwift = "valkey-swift"
        case rediStack = "redistack"
    }

    /// Why the command line was refused.
    struct UsageError: Error {
        let problem: String
    }

    static let usage = """
        usage: bench-client --url redis://HOST[:PORT]
                            --scenario hget|lrange5|lrange100|get1m|set1m|hmget10|get
                            --concurrency N --requests M      (1 <= N <= M)
                            [--mode loop|actor|pool]          (default: loop)
                            [--max-inflight N]                (default: 1024, or as many as the concurrency)
                            [--client swift-async-redis|valkey-swift|redistack]
                                    (default: swift-async-redis; the others only in the bench-client of
                                    Benchmarks/SwiftClients, and with --mode actor or pool)
        """

    let url: String
    let scenario: Scenario
    let concurrency: Int
    let requests: Int
    let mode: Mode
    /// The client's policy; nil for room for one command of every lane.
    let maxInflight: Int?
    let client: Client

    /// Reads the words after the program's name.
    init(parsing words: ArraySlice<String>) throws(UsageError) {
        var url: String?
        var scenario: Scenario?
        var concurrency: Int?
        var requests: Int?
        var mode = Mode.loop
        var maxInflight: Int?
        var client = Client.asyncRedis
        var rest = words
        while let flag = rest.popFirst() {
            guard let value = rest.popFirst() else { throw UsageError(problem: "\(flag) has no value") }
            switch flag {
            case "--url":
                url = value
            case "--scenario":
                scenario = try Self.choice(value, flag)
            case "--concurrency":
                concurrency = try Self.number(value, in: 1...1_000_000, flag)
            case "--requests":
                requests = try Self.number(value, in: 1...1_000_000_000, flag)
            case "--mode":
                mode = try Self.choice(value, flag)
            case "--max-inflight":
                maxInflight = try Self.number(value, in: 1...1_000_000, flag)
            case "--client":
                client = try Self.choice(value, flag)
            default:
                throw UsageError(problem: "no such flag: \(flag)")
            }
        }
        guard let url, let scenario, let concurrency, let requests else {
            throw UsageError(problem: "--url, --scenario, --concurrency and --requests are needed")
        }
        guard requests >= concurrency else {
            throw UsageError(problem: "--requests must be at least --concurrency")
        }
        if client != .asyncRedis { try Self.check(client, mode) }
        self.url = url
        self.scenario = scenario
        self.concurrency = concurrency
        self.requests = requests
        self.mode = mode
        self.maxInflight = maxInflight
        self.client = client
    }

    private static func check(_ client: Client, _ mode: Mode) throws(UsageError) {
        #if SwiftClients
            if mode == .loop {
                throw UsageError(problem: "--client \(client.rawValue) runs with --mode actor or pool")
            }
        #else
            throw UsageError(
                problem: "--client \(client.rawValue) is in the bench-client of Benchmarks/SwiftClients only"
            )
        #endif
    }

    private static func choice<Choice: RawRepresentable<String>>(
        _ value: String,
        _ flag: String
    ) throws(UsageError) -> Choice {
        guard let choice = Choice(rawValue: value) else {
            throw UsageError(problem: "\(flag) cannot be \(value)")
        }
        return choice
    }

    private static func number(
        _ value: String,
        in range: ClosedRange<Int>,
        _ flag: String
    ) throws(UsageError) -> Int {
        guard let number = Int(value), range.contains(number) else {
            throw UsageError(problem: "\(flag) must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
