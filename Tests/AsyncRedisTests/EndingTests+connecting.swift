@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

// How connecting ends, when it is not with a connection.

extension EndingTests {
    @Test func aClosedPortFailsAtOnce() async throws {
        let port = try ScriptedServer.closedPort()
        // Not at once would be never.
        let policy = EndpointPolicy(connectTimeout: .seconds(86_400), commandTimeout: nil)
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: "redis://127.0.0.1:\(port)", on: loop, policy: policy)
        }
        #expect(failure?.code == .connectFailed)
        #expect(failure?.outcome == .notSent)
        #expect(failure?.ioError?.name == "ECONNREFUSED")
    }

    @Test func aMissingSocketFailsAtOnce() async {
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: "unix:///no/such.sock", on: loop, policy: .patient)
        }
        #expect(failure?.code == .connectFailed)
        #expect(failure?.ioError?.name == "ENOENT")
        let tooLong = "unix:///" + String(repeating: "x", count: 200)
        let longer = await error {
            _ = try await AsyncRedisClient.connect(to: tooLong, on: loop, policy: .patient)
        }
        #expect(longer?.ioError?.name == "ENAMETOOLONG")
    }

    @Test func aConnectThatFailsAtOnceLeavesNothingOnTheLoop() async {
        let ownLoop = EventLoop(name: "empty-loop")
        let tooLong = "unix:///" + String(repeating: "x", count: 200)
        for _ in 0..<10 {
            _ = await error {
                _ = try await AsyncRedisClient.connect(to: tooLong, on: ownLoop, policy: .patient)
            }
        }
        // Closed handles leave in a later turn.
        var residents = Int.max
        while residents > 0 { residents = await ownLoop.run { ownLoop.core.driver.residentCount } }
        await ownLoop.shutdown()
    }

    @Test func aNameThatResolvesIsConnectedTo() async throws {
        let server = try ScriptedServer { connection in
            while connection.readCommand() != nil { connection.write("+PONG\r\n") }
        }
        let redis = try await AsyncRedisClient.connect(
            to: "redis://localhost:\(server.port)",
            on: loop,
            policy: .patient
        )
        #expect(try await redis.send("PING") == .simpleString("PONG"))
        await redis.close()
        server.stop()
    }

    @Test func enormousDurationsAreNoLimitAtAll() async throws {
        let server = try ScriptedServer { connection in
            while connection.readCommand() != nil { connection.write("+PONG\r\n") }
        }
        let forever = Duration.seconds(Int64.max)
        let policy = EndpointPolicy(
            connectTimeout: forever,
            commandTimeout: forever,
            livenessTimeout: forever
        )
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        #expect(try await redis.send("PING") == .simpleString("PONG"))
        try await loop.run { _ = try await redis.send("PING") }
        await redis.close(timeout: forever)
        server.stop()
    }

    @Test func aTaskThatIsCancelledAlreadySendsNothing() async throws {
        let commands = Collected<[[String]]>([])
        let server = try ScriptedServer { connection in
            while let command = connection.readTextCommand() {
                commands.update { $0.append(command) }
                connection.write("+OK\r\n")
            }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        for onLoop in [true, false] {
            let task = Task { [loop] in
                unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
                if onLoop { return try await loop.run { try await redis.send("INCR", "n") } }
                return try await redis.send("INCR", "n")
            }
            let failure = await error { _ = try await task.value }
            #expect(failure?.code == .cancelled)
            #expect(failure?.outcome == .notSent)
        }
        _ = try await redis.send("PING")
        #expect(commands.value == [["PING"]])
        await redis.close()
        server.stop()
    }

    @Test func aCloseWhileConnectingKeepsItsDeadline() async throws {
        // Accepts, and never answers the login.
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let spec = EndpointSpec(
            id: "silent",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            credentials: EndpointCredentials(password: "x"),
            policy: EndpointPolicy(connectTimeout: .seconds(3600), commandTimeout: nil)
        )
        let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        let redis = try io.redis("silent")
        async let failure = error { _ = try await redis.send("PING") }
        await redis.close(timeout: .milliseconds(30))
        #expect(await failure?.code == .clientClosed)
        #expect(await failure?.outcome == .notSent)
        server.stop()
    }

    @Test func aNameThatDoesNotResolveFails() async {
        let failure = await error {
            _ = try await AsyncRedisClient.connect(
                to: "redis://no-such-host.invalid",
                on: loop,
                policy: .patient
            )
        }
        #expect(failure?.code == .resolveFailed || failure?.code == .connectTimedOut)
        #expect(failure?.outcome == .notSent)
    }

    @Test func commandsIssuedWhileConnectingFailInOrderWithTheConnectsCause() async throws {
        let port = try ScriptedServer.closedPort()
        let registry = try EndpointRegistry([
            EndpointSpec(id: "gone", kind: .redis, host: "127.0.0.1", port: port)
        ])
        let io = AsyncIOClients(loop: loop, endpoints: registry)
        let order = Collected<[Int]>([])
        let redis = try io.redis("gone")
        await loop.run {
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<10 {
                    group.addTask {
                        let failure = await #expect(throws: RedisError.self) { try await redis.send("PING") }
                        #expect(failure?.code == .connectFailed)
                        #expect(failure?.outcome == .notSent)
                        order.update { $0.append(number) }
                    }
                }
            }
            #expect(redis.hasEnded)
            // Refused at once from then on, on the loop and elsewhere.
            let later = await #expect(throws: RedisError.self) { try await redis.send("PING") }
            #expect(later?.code == .connectFailed)
        }
        #expect(order.value == Array(0..<10))
    }

    @Test func loginAndDatabaseArePartOfConnecting() async throws {
        let commands = Collected<[[String]]>([])
        let server = try ScriptedServer { connection in
            while let command = connection.readTextCommand() {
                commands.update { $0.append(command) }
                connection.write("+OK\r\n")
            }
        }
        let url = "redis://ada:lovelace@127.0.0.1:\(server.port)/3"
        let redis = try await AsyncRedisClient.connect(to: url, on: loop, policy: .patient)
        _ = try await redis.send("PING")
        #expect(commands.value == [["AUTH", "ada", "lovelace"], ["SELECT", "3"], ["PING"]])
        await redis.close()
        server.stop()
    }

    @Test func aRefusedLoginIsTheConnectsFailureAndShowsNoPassword() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            connection.write("-WRONGPASS invalid username-password pair\r\n")
            _ = connection.readSome()
        }
        let url = "redis://:hunter2@127.0.0.1:\(server.port)"
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: url, on: loop, policy: .patient)
        }
        #expect(failure?.code == .handshakeFailed)
        #expect(failure?.outcome == .notSent)
        #expect("\(failure!)".contains("WRONGPASS"))
        #expect(!"\(failure!)".contains("hunter2"))
        server.stop()
    }

    @Test func aServerThatRepeatsTheLoginInItsErrorDoesNotGetItShown() async throws {
        let server = try ScriptedServer { connection in
            let words = connection.readTextCommand() ?? []
            connection.write(
                "-ERR unknown command 'AUTH', with args beginning with: \(words.dropFirst())\r\n"
            )
            _ = connection.readSome()
        }
        let url = "redis://ada:hunter2@127.0.0.1:\(server.port)"
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: url, on: loop, policy: .patient)
        }
        #expect(failure?.code == .handshakeFailed)
        #expect(failure?.serverMessage == Array("ERR".utf8))
        var dumped = ""
        dump(failure, to: &dumped)
        for text in ["\(failure!)", String(reflecting: failure!), dumped] {
            #expect(!text.contains("hunter2"))
        }
        server.stop()
    }

    @Test func aServerThatAcceptsAndNeverAnswersTheLoginTimesOut() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let url = "redis://:x@127.0.0.1:\(server.port)"
        let policy = EndpointPolicy(connectTimeout: .milliseconds(50))
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: url, on: loop, policy: policy)
        }
        #expect(failure?.code == .connectTimedOut)
        server.stop()
    }

    @Test func aServerThatClosesDuringTheLoginIsTheConnectsFailure() async throws {
        let server = try ScriptedServer { connection in _ = connection.readCommand() }
        let failure = await error {
            _ = try await AsyncRedisClient.connect(
                to: "redis://:x@127.0.0.1:\(server.port)",
                on: loop,
                policy: .patient
            )
        }
        #expect(failure?.code == .connectionLost)
        #expect(failure?.outcome == .notSent)
        server.stop()
    }
}
