@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// The process's Redis clients by endpoint id.
@Suite struct ClientsTests {
    private let loop = EventLoop(name: "clients-test")

    private func clients(_ port: Int) throws -> AsyncIOClients {
        let specs = [
            EndpointSpec(
                id: "redis",
                kind: .redis,
                host: "127.0.0.1",
                port: port,
                policy: .init(maxInflight: 4, commandTimeout: nil)
            ),
            EndpointSpec(id: "bad-database", kind: .redis, host: "127.0.0.1", port: port, database: "x"),
            EndpointSpec(id: "other", kind: EndpointKind("other"), host: "127.0.0.1", port: port),
        ]
        return AsyncIOClients(loop: loop, endpoints: try EndpointRegistry(specs))
    }

    private static func pong(_ connection: ServerConnection) {
        while connection.readCommand() != nil { connection.write("+PONG\r\n") }
    }

    @Test func theSameClientEveryTimeFromEverywhere() async throws {
        let server = try ScriptedServer(Self.pong)
        let io = try clients(server.port)
        let first = try io.redis("redis")
        #expect(try await first.send("PING") == .simpleString("PONG"))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { try io.redis("redis") === first } }
            for try await isSame in group { #expect(isSame) }
        }
        #expect(try await loop.run { try io.redis("redis") === first })
        #expect(server.connectionCount == 1)
        await io.close()
        server.stop()
    }

    @Test(arguments: [
        ("nope", EndpointError.Code.unknownID), ("other", .wrongKind), ("bad-database", .invalidSetting),
    ])
    func whatCannotBeAClientIsRefused(id: String, code: EndpointError.Code) async throws {
        let io = try clients(1)
        let error = try #require(throws: RedisError.self) { try io.redis(id) }
        #expect(error.code == .invalidEndpoint)
        #expect(error.endpointError?.code == code)
        #expect("\(error)".contains(id))
    }

    @Test func anEndedClientIsReplacedAtTheNextCallAndNotBefore() async throws {
        let server = try ScriptedServer { connection in
            // The first connection ends with its first command; later ones work.
            guard connection.readCommand() != nil, connection.index > 0 else { return }
            connection.write("+PONG\r\n")
            Self.pong(connection)
        }
        let io = try clients(server.port)
        let first = try io.redis("redis")
        let failure = await #expect(throws: RedisError.self) { try await first.send("PING") }
        #expect(failure?.code == .connectionLost)
        // The old client stays what it is.
        await #expect(throws: RedisError.self) { try await first.send("PING") }
        #expect(server.connectionCount == 1)

        let second = try io.redis("redis")
        #expect(second !== first)
        #expect(try await second.send("PING") == .simpleString("PONG"))
        #expect(try io.redis("redis") === second)
        #expect(server.connectionCount == 2)
        await io.close()
        server.stop()
    }

    @Test func oneAttemptAtATimeAndEachFailureIsSeen() async throws {
        let server = try ScriptedServer { _ in }
        let io = try clients(server.port)
        for round in 1...3 {
            let codes = await loop.run {
                await withTaskGroup(of: RedisError.Code?.self) { group in
                    for _ in 0..<50 {
                        group.addTask {
                            do {
                                _ = try await io.redis("redis").send("PING")
                                return nil
                            } catch {
                                return (error as? RedisError)?.code
                            }
                        }
                    }
                    var codes: [RedisError.Code?] = []
                    for await code in group { codes.append(code) }
                    return codes
                }
            }
            #expect(codes.count == 50)
            #expect(codes.allSatisfy { $0 == .connectionLost })
            #expect(server.connectionCount == round)
        }
        server.stop()
    }

    @Test func aClosingClientAndItsSuccessorShareWhatMayWait() async throws {
        let server = try ScriptedServer { connection in
            // The first connection answers nothing; later ones work.
            if connection.index == 0 { while connection.readSome() != nil {} } else { Self.pong(connection) }
        }
        let policy = EndpointPolicy(maxInflight: 1, maxWaiting: 2, commandTimeout: nil)
        let spec = EndpointSpec(
            id: "small",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            policy: policy
        )
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let first = try io.redis("small")
        // Before that all three would wait, which is one too many.
        #expect(await eventually { await loop.run { first.connection.machine.value.mayAskForPermit } })
        let waiting = (0..<3).map { _ in Task { try? await first.send("PING") } }
        #expect(await eventually { await loop.run { first.connection.machine.value.waitingCount == 2 } })
        let closing = Task { await first.close(timeout: .seconds(60)) }
        #expect(await eventually { first.hasEnded })

        let second = try io.redis("small")
        #expect(second !== first)
        let refused = await #expect(throws: RedisError.self) {
            try await loop.run { try await second.send("PING") }
        }
        #expect(refused?.code == .overloaded)
        #expect(refused?.outcome == .notSent)

        // What the first leaves, its permit and its room, is the second's.
        first.shutdown()
        for task in waiting { #expect(await task.value == nil) }
        await closing.value
        #expect(try await second.send("PING") == .simpleString("PONG"))
        #expect(second.connection.limiter.backlog.all == .init())
        await io.close()
        server.stop()
    }

    @Test func closedClientsRefuseNewOnes() async throws {
        let server = try ScriptedServer(Self.pong)
        let io = try clients(server.port)
        let redis = try io.redis("redis")
        _ = try await redis.send("PING")
        await io.close()
        #expect(redis.hasEnded)
        let error = try #require(throws: RedisError.self) { try io.redis("redis") }
        #expect(error.endpointError?.code == .clientsClosed)
        io.shutdown()
        server.stop()
    }
}
