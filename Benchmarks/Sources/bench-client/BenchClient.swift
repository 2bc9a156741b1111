import AsyncRedis

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Closed-loop lanes over one connection, measured: the counterpart of `bench-hiredis`, with the same scenarios,
/// keys, values, checks and JSON, so that the two can be run in turn and their numbers divided.
@main
struct BenchClient {
    static func main() async {
        let arguments: Arguments
        do {
            arguments = try Arguments(parsing: CommandLine.arguments.dropFirst())
        } catch {
            printError("bench-client: \(error.problem)\n\(Arguments.usage)")
            exit(2)
        }
        do {
            print(try await report(for: arguments).json)
        } catch let error as RedisError where error.code == .invalidURL {
            printError("bench-client: \(error)\n\(Arguments.usage)")
            exit(2)
        } catch {
            printError("bench-client: \(error)")
            exit(1)
        }
    }

    /// Connects, seeds, measures and closes.
    private static func report(for arguments: Arguments) async throws -> Report {
        let loop = EventLoop(name: "bench")
        let redis = try await AsyncRedisClient.connect(
            to: arguments.url,
            on: loop,
            policy: policy(for: arguments)
        )
        try await arguments.scenario.seed(redis)
        #if SwiftClients
            if arguments.client != .asyncRedis {
                await redis.close()
                await loop.shutdown()
                return try await reportOfOther(for: arguments)
            }
        #endif
        let benchmark = Benchmark(arguments: arguments) {
            AsyncRedisLane(redis: redis, scenario: arguments.scenario, recorder: $0)
        }
        let report =
            switch arguments.mode {
            case .loop: try await loop.run { try await benchmark.measure() }
            case .actor: try await benchmark.measure(on: LaneActor(on: loop.serialExecutor))
            case .pool: try await benchmark.measureOnPool()
            }
        await redis.close()
        await loop.shutdown()
        return report
    }

    /// The policy as shipped, with room for one command of every lane, as hiredis has, if it is not said otherwise.
    private static func policy(for arguments: Arguments) -> EndpointPolicy {
        var policy = EndpointPolicy()
        policy.maxInflight = arguments.maxInflight ?? max(policy.maxInflight, arguments.concurrency)
        if arguments.scenario == .set1m {
            policy.maxQueuedBytes = max(policy.maxQueuedBytes, 2 * Blob.size * arguments.concurrency)
        }
        return policy
    }

    private static func printError(_ text: String) {
        var line = text + "\n"
        // The bytes live for the length of the closure, and write() keeps no pointer.
        line.withUTF8 { bytes in _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
