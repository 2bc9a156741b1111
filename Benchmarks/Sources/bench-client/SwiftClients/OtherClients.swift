#if SwiftClients
    import Logging
    import NIOCore
    import NIOPosix
    @unsafe @preconcurrency import RediStack
    import Valkey

    // Other Redis clients written in Swift, each as it is shipped, on one connection.

    extension BenchClient {
        /// Connects with another client, measures and closes.
        static func reportOfOther(for arguments: Arguments) async throws -> Report {
            let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
            let configuration = try RedisConnection.Configuration(url: arguments.url, defaultLogger: logger)
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let loop = group.next()
            let actor = arguments.mode == .actor ? LaneActor(on: loop.executor) : nil
            let report: Report
            if arguments.client == .valkeySwift {
                report = try await ValkeyConnection.withConnection(
                    address: .hostname(configuration.hostname ?? "", port: configuration.port ?? 0),
                    eventLoop: loop,
                    logger: logger
                ) { connection in
                    let benchmark = Benchmark(arguments: arguments) {
                        ValkeyLane(connection: connection, scenario: arguments.scenario, recorder: $0)
                    }
                    return try await benchmark.measure(on: actor)
                }
            } else {
                let connection = try await RedisConnection.make(
                    configuration: configuration,
                    boundEventLoop: loop
                ).get()
                let benchmark = Benchmark(arguments: arguments) {
                    RediStackLane(connection: connection, scenario: arguments.scenario, recorder: $0)
                }
                report = try await benchmark.measure(on: actor)
                try await connection.close().get()
            }
            try await group.shutdownGracefully()
            return report
        }
    }
#endif
