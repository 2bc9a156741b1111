@_spi(Driver) import AsyncIO
import TestSupport
import Testing
import UVLoop

@testable import AsyncRedis

/// Many commands at once, and a real server that fails.
@Suite(.enabled(if: RealRedis.isThere, "set REDIS_URL to run the integration tests"))
struct LoadAndFaultTests {
    private let loop = EventLoop(name: "integration")

    @Test func tenThousandCommandsWithSixtyFourOnTheWire() async throws {
        let policy = EndpointPolicy(maxInflight: 64, commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: RealRedis.url ?? "", on: loop, policy: policy)
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<10_000 {
                group.addTask { [loop] in
                    let question = "question \(number)"
                    let ask: @Sendable () async throws -> Bool = {
                        try await redis.send("ECHO", question) == .bulkString(question)
                    }
                    return (try? await number.isMultiple(of: 2) ? loop.run(ask) : ask()) ?? false
                }
            }
            for await isRight in group { #expect(isRight) }
        }
        #expect(await loop.run { redis.connection.limiter.peakInflight } == 64)
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await redis.close()
    }

    @Test func aClosedPortFailsWithinAHundredMilliseconds() async throws {
        let port = try ScriptedServer.closedPort()
        // The first use of the loop is not what is timed.
        await loop.run {}
        let start = ContinuousClock.now
        let failure = await #expect(throws: RedisError.self) {
            _ = try await AsyncRedisClient.connect(
                to: "redis://127.0.0.1:\(port)",
                on: loop,
                policy: .patient
            )
        }
        #expect(ContinuousClock.now - start < .milliseconds(100))
        #expect(failure?.code == .connectFailed)
    }

    @Test func aNameThatDoesNotResolve() async throws {
        let failure = await #expect(throws: RedisError.self) {
            _ = try await AsyncRedisClient.connect(
                to: "redis://no-such-host.invalid",
                on: loop,
                policy: .patient
            )
        }
        #expect(failure?.code == .resolveFailed || failure?.code == .connectTimedOut)
        #expect(failure?.outcome == .notSent)
    }

    @Test func killedInTheMiddleEveryAwaitEndsAndTheNextClientWorks() async throws {
        let server = try OwnRedisServer()
        let spec = EndpointSpec(id: "own", kind: .redis, host: "127.0.0.1", port: server.port)
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let redis = try io.redis("own")
        _ = try await redis.send("SET", "k", "v")

        let answered = Gate()
        let outcomes = try await withThrowingTaskGroup(of: RedisError.Outcome?.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    // Each task goes on until its command fails: the kill finds all of them at work.
                    while true {
                        do throws(RedisError) {
                            guard try await redis.send("GET", "k") == .bulkString("v") else {
                                return .answered
                            }
                            answered.open()
                        } catch {
                            return error.outcome
                        }
                    }
                }
            }
            await answered.wait()
            server.kill()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.count == 200)
        #expect(outcomes.allSatisfy { $0 == .indeterminate || $0 == .notSent })
        #expect(redis.hasEnded)
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)

        // Down: the attempt is made, fails at once, and its caller sees it.
        let down = await #expect(throws: RedisError.self) { _ = try await io.redis("own").send("PING") }
        #expect(down?.code == .connectFailed)

        try server.start()
        #expect(try await io.redis("own").send("PING") == .simpleString("PONG"))
        await io.close()
    }

    @Test func aServerThatIsStoppedIsFoundDeadByLiveness() async throws {
        let server = try OwnRedisServer()
        let policy = EndpointPolicy(commandTimeout: nil, livenessTimeout: .milliseconds(100))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        _ = try await redis.send("PING")
        server.stopAnswering()
        let failure = await #expect(throws: RedisError.self) { _ = try await redis.send("PING") }
        #expect(failure?.code == .connectionLost)
        #expect(failure?.outcome == .indeterminate)
        server.answerAgain()
    }

    @Test func aClientKilledByTheServerSaysSo() async throws {
        let redis = try await AsyncRedisClient.connect(to: RealRedis.url ?? "", on: loop, policy: .patient)
        let id = try await redis.send("CLIENT", "ID", as: Int.self)
        let other = try await AsyncRedisClient.connect(to: RealRedis.url ?? "", on: loop, policy: .patient)
        _ = try await other.send("CLIENT", "KILL", "ID", id)
        let failure = await #expect(throws: RedisError.self) {
            while true { _ = try await redis.send("PING") }
        }
        #expect(failure?.code == .connectionLost)
        await other.close()
    }

    @Test func tooManyClientsIsTheirFailureAndSaysSo() async throws {
        let server = try OwnRedisServer("--maxclients", "3")
        var clients: [AsyncRedisClient] = []
        // With a database to select, the server's word comes while the client connects; the first too many hears it.
        let failure = await #expect(throws: RedisError.self) {
            for _ in 0..<4 {
                let client = try await AsyncRedisClient.connect(
                    to: server.url + "/1",
                    on: loop,
                    policy: .patient
                )
                _ = try await client.send("PING")
                clients.append(client)
            }
        }
        #expect(failure?.code == .handshakeFailed || failure?.code == .connectionLost)
        #expect(failure.map { "\($0)" }?.contains("max number of clients") == true)
        for client in clients { await client.close() }
    }
}
