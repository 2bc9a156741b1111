#if SwiftClients
    import Logging
    import NIOCore
    import NIOPosix
    @unsafe @preconcurrency import RediStack
    import Valkey

    // Other Redis clients written in Swift: default settings, nothing logged or traced, one connection, one event loop thread.

    extension BenchClient {
        /// Connects with another client, measures and closes.
        static func reportOfOther(for arguments: Arguments) async throws -> Report {
            let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
            let configuration = try RedisConnection.Configuration(url: arguments.url, defaultLogger: logger)
            guard let host = configuration.hostname, let port = configuration.port,
                configuration.password == nil, configuration.initialDatabase ?? 0 == 0
            else { throw UnsupportedURL(url: arguments.url) }
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let loop = group.next()
            let report: Result<Report, any Error>
            do {
                if arguments.client == .valkeySwift {
                    let address = ValkeyServerAddress.hostname(host, port: port)
                    report = .success(try await measureValkey(arguments, address, on: loop, logger))
                } else {
                    report = .success(try await measureRediStack(arguments, configuration, on: loop))
                }
            } catch {
                report = .failure(error)
            }
            try await group.shutdownGracefully()
            return try report.get()
        }

        private static func laneActor(for arguments: Arguments, on loop: any EventLoop) -> LaneActor? {
            arguments.mode == .actor ? LaneActor(on: loop.executor) : nil
        }

        private static func measureValkey(
            _ arguments: Arguments,
            _ address: ValkeyServerAddress,
            on loop: any EventLoop,
            _ logger: Logger
        ) async throws -> Report {
            try await ValkeyConnection.withConnection(
                address: address,
                eventLoop: loop,
                logger: logger
            ) { connection in
                let blob = ByteBuffer(bytes: Seed.blob)
                let benchmark = Benchmark(arguments: arguments) {
                    ValkeyLane(
                        connection: connection,
                        scenario: arguments.scenario,
                        blob: blob,
                        recorder: $0
                    )
                }
                return try await benchmark.measure(on: laneActor(for: arguments, on: loop))
            }
        }

        private static func measureRediStack(
            _ arguments: Arguments,
            _ configuration: RedisConnection.Configuration,
            on loop: any EventLoop
        ) async throws -> Report {
            let connection = try await RedisConnection.make(
                configuration: configuration,
                boundEventLoop: loop
            )
            .get()
            let blob = RESPValue.bulkString(ByteBuffer(bytes: Seed.blob))
            let benchmark = Benchmark(arguments: arguments) {
                RediStackLane(
                    connection: connection,
                    scenario: arguments.scenario,
                    blob: blob,
                    recorder: $0
                )
            }
            let report: Result<Report, any Error>
            do {
                report = .success(try await benchmark.measure(on: laneActor(for: arguments, on: loop)))
            } catch {
                report = .failure(error)
            }
            try await connection.close().get()
            return try report.get()
        }
    }

    /// A URL that not all clients would understand alike.
    private struct UnsupportedURL: Error, CustomStringConvertible {
        let url: String
        var description: String { "other clients are measured with redis://HOST:PORT only, not with \(url)" }
    }
#endif
