import Glibc

/// What the harness tells the program, in pairs of `--name value`.
struct Settings: Sendable {
    let seconds: Int
    let seed: UInt64
    let redisPort: Int
    let socketPath: String
    let roughPort: Int
    let cuttingPort: Int
    let markedPort: Int
    let deadPort: Int

    /// How much later than its limit an await may end; the client's own word is 20 ms, on a machine with time for it.
    let allowance = Duration.milliseconds(500)
    /// How much earlier than its deadline a command may end: on the loop it counts from the beginning of the turn, and a
    /// turn is long when much is checked in it.
    let earliness = Duration.milliseconds(250)
    /// How much more memory may be allocated in the end than after the warm-up.
    let maxAllocatedGrowth = 4 << 20
    /// How much more memory may be resident: `malloc` keeps what lies between blocks in use.
    let maxResidentGrowth = 16 << 20
    /// The pool of tasks starts and ends threads as it likes, one for each core and a few for blocking work.
    let maxThreadGrowth = 4

    init(_ arguments: [String]) {
        var values: [String: String] = [:]
        for index in stride(from: 0, to: arguments.count - 1, by: 2) {
            values[arguments[index]] = arguments[index + 1]
        }
        func number(_ name: String) -> Int {
            guard let number = values[name].flatMap({ Int($0) }) else { Self.explain(name) }
            return number
        }
        guard let path = values["--socket"] else { Self.explain("--socket") }
        socketPath = path
        seconds = number("--seconds")
        seed = UInt64(clamping: number("--seed"))
        redisPort = number("--redis")
        roughPort = number("--rough")
        cuttingPort = number("--cutting")
        markedPort = number("--marked")
        deadPort = number("--dead")
    }

    private static func explain(_ name: String) -> Never {
        say("soak: \(name) is missing or no number. scripts/soak.sh starts this program with all it needs.")
        exit(2)
    }
}
