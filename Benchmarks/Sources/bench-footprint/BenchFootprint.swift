import AsyncRedis
import Glibc

/// What a client takes besides time per command: memory and a start.
///
/// One measurement a run, as one line of JSON.
///
///     bench-footprint idle  URL CONNECTIONS    the memory of connections that have been used and are idle, on one loop
///     bench-footprint large URL KEY BYTES      the memory while that key's value of so many bytes arrives, and afterwards
///     bench-footprint start URL SINCE          the time from SINCE, nanoseconds on the monotonic clock, to the first reply
@main
struct BenchFootprint {
    static func main() async {
        var words = CommandLine.arguments.dropFirst()
        do {
            switch (words.popFirst(), words.popFirst(), words.popFirst(), words.popFirst()) {
            case ("idle"?, let url?, let count?, nil):
                print(try await idle(url, connections: number(count)))
            case ("large"?, let url?, let key?, let count?):
                print(try await large(url, key, bytes: number(count)))
            case ("start"?, let url?, let since?, nil):
                print(try await start(url, since: UInt64(number(since))))
            default:
                fail(2, "usage: idle URL CONNECTIONS | large URL KEY BYTES | start URL SINCE")
            }
        } catch {
            fail(1, "\(error)")
        }
    }

    private static func fail(_ status: Int32, _ words: String) -> Never {
        let line = Array("bench-footprint: \(words)\n".utf8)
        // The call keeps no pointer.
        _ = unsafe write(STDERR_FILENO, line, line.count)
        exit(status)
    }

    private static func number(_ word: String) throws -> Int {
        guard let number = Int(word), number > 0 else { throw Problem("not a number above 0: \(word)") }
        return number
    }
}

// MARK: - Idle connections

extension BenchFootprint {
    /// How many connections are made at a time.
    private static let connectingAtOnce = 100

    private static func idle(_ url: String, connections: Int) async throws -> String {
        let loop = EventLoop(name: "bench")
        // What the first ones bring along belongs to the process, not to a connection.
        var clients = try await connect(to: url, connectingAtOnce, on: loop)
        clients.reserveCapacity(connectingAtOnce + connections)
        Memory.trim()
        let before = try Memory.resident
        while clients.count < connectingAtOnce + connections {
            let missing = connectingAtOnce + connections - clients.count
            clients += try await connect(to: url, min(missing, connectingAtOnce), on: loop)
        }
        Memory.trim()
        let each = try Double(Memory.resident - before) / Double(connections)
        // Still usable, so still there.
        for client in clients { try await ping(client) }
        for client in clients { client.shutdown() }
        await loop.shutdown()
        return #"{"connections": \#(connections), "bytes_per_connection": \#(each.rounded())}"#
    }

    /// How many commands each connection has at a time before it rests.
    private static let burst = 100

    /// A script whose reply has a thousand levels.
    private static let deepReply = "local reply = {} for level = 1, 999 do reply = {reply} end return reply"

    /// Makes connections and uses each, with many commands at a time and a deep reply.
    private static func connect(
        to url: String,
        _ count: Int,
        on loop: EventLoop
    ) async throws -> [AsyncRedisClient] {
        try await withThrowingTaskGroup(of: AsyncRedisClient.self) { group in
            for _ in 0..<count {
                group.addTask {
                    let client = try await AsyncRedisClient.connect(to: url, on: loop)
                    try await withThrowingTaskGroup(of: Void.self) { commands in
                        for _ in 0..<burst { commands.addTask { try await ping(client) } }
                        try await commands.waitForAll()
                    }
                    _ = try await client.send("EVAL", deepReply, "0", as: Unread.self)
                    return client
                }
            }
            var clients: [AsyncRedisClient] = []
            for try await client in group { clients.append(client) }
            // They let go of what the commands needed once they have been idle for a tenth of a second.
            try await loop.sleep(for: .milliseconds(300))
            return clients
        }
    }

    private static func ping(_ client: AsyncRedisClient) async throws {
        guard try await client.send("PING") == .simpleString("PONG") else { throw Problem("no PONG") }
    }
}

// MARK: - A large reply

extension BenchFootprint {
    private static func large(_ url: String, _ key: String, bytes: Int) async throws -> String {
        let loop = EventLoop(name: "bench")
        var policy = EndpointPolicy()
        policy.commandTimeout = .seconds(120)
        let client = try await AsyncRedisClient.connect(to: url, on: loop, policy: policy)
        try await ping(client)
        Memory.trim()
        let before = try Memory.resident
        // Not read as anything, so that the arriving bytes alone are measured: the copy that is asked for is its caller's.
        _ = try await client.send("GET", key, as: Unread.self)
        let peak = try Memory.peak
        try await ping(client)
        let after = try Memory.resident
        await client.close()
        await loop.shutdown()
        return #"{"bytes": \#(bytes), "peak_to_size": \#(Double(peak - before) / Double(bytes)), "#
            + #""kept_bytes": \#(after - before)}"#
    }

    /// Any reply, stepped over.
    fileprivate struct Unread: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) { try reader.skip() }
    }
}

// MARK: - The start

extension BenchFootprint {
    private static func start(_ url: String, since: UInt64) async throws -> String {
        let client = try await AsyncRedisClient.connect(to: url)
        try await ping(client)
        let now = Memory.now
        guard now >= since else { throw Problem("SINCE lies ahead") }
        let elapsed = now - since
        return #"{"milliseconds": \#(Double(elapsed / 1000) / 1000)}"#
    }
}

struct Problem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
