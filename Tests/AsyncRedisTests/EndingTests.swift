@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

/// How commands and connections end, when it is not with a reply.
@Suite struct EndingTests {
    private let loop = EventLoop(name: "ending-test")

    private func error(_ body: () async throws -> Void) async -> RedisError? {
        await #expect(throws: RedisError.self) { try await body() }
    }

    @Test func aClosedPortFailsAtOnce() async throws {
        let port = try ScriptedServer.closedPort()
        // Not at once would be never.
        let policy = EndpointPolicy(connectTimeout: .seconds(86_400))
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: "redis://127.0.0.1:\(port)", on: loop, policy: policy)
        }
        #expect(failure?.code == .connectFailed)
        #expect(failure?.outcome == .notSent)
        #expect(failure?.ioError?.name == "ECONNREFUSED")
    }

    @Test func aMissingSocketFailsAtOnce() async {
        let failure = await error {
            _ = try await AsyncRedisClient.connect(to: "unix:///no/such.sock", on: loop)
        }
        #expect(failure?.code == .connectFailed)
        #expect(failure?.ioError?.name == "ENOENT")
        let tooLong = "unix:///" + String(repeating: "x", count: 200)
        let longer = await error { _ = try await AsyncRedisClient.connect(to: tooLong, on: loop) }
        #expect(longer?.ioError?.name == "ENAMETOOLONG")
    }

    @Test func aConnectThatFailsAtOnceLeavesNothingOnTheLoop() async {
        let ownLoop = EventLoop(name: "empty-loop")
        let tooLong = "unix:///" + String(repeating: "x", count: 200)
        for _ in 0..<10 {
            _ = await error { _ = try await AsyncRedisClient.connect(to: tooLong, on: ownLoop) }
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
        let redis = try await AsyncRedisClient.connect(to: "redis://localhost:\(server.port)", on: loop)
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
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
            policy: EndpointPolicy(connectTimeout: .seconds(3600))
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
            _ = try await AsyncRedisClient.connect(to: "redis://no-such-host.invalid", on: loop)
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
        let redis = try await AsyncRedisClient.connect(to: url, on: loop)
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
        let failure = await error { _ = try await AsyncRedisClient.connect(to: url, on: loop) }
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
        let failure = await error { _ = try await AsyncRedisClient.connect(to: url, on: loop) }
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
            _ = try await AsyncRedisClient.connect(to: "redis://:x@127.0.0.1:\(server.port)", on: loop)
        }
        #expect(failure?.code == .connectionLost)
        #expect(failure?.outcome == .notSent)
        server.stop()
    }

    /// Ways a server can end a connection after it has answered the first of three commands.
    enum Fault: CaseIterable {
        case close, reset, halfReply, garbage, hugeLength, badTrailer
    }

    @Test(arguments: Fault.allCases)
    func repliesBeforeTheEndAreDeliveredAndTheRestFailInOrder(fault: Fault) async throws {
        let firstWasSeen = Gate()
        let server = try ScriptedServer { connection in
            for _ in 0..<3 { guard connection.readCommand() != nil else { return } }
            connection.write("+first\r\n")
            switch fault {
            case .close: break
            case .reset:
                // A reset throws away what the peer has not read yet: let it read the first reply.
                firstWasSeen.waitOnThread()
                connection.reset()
            case .halfReply: connection.write("$5\r\nab")
            case .garbage: connection.write("HTTP/1.1 400 Bad Request\r\n")
            case .hugeLength: connection.write("*9999999999999999999\r\n")
            case .badTrailer: connection.write("$2\r\nabcd")
            }
            if [.garbage, .hugeLength, .badTrailer].contains(fault) { _ = connection.readSome() }
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        let order = Collected<[Int]>([])
        await loop.run {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let first = try? await redis.send("ONE")
                    #expect(first == .simpleString("first"))
                    firstWasSeen.open()
                }
                for number in 2...3 {
                    group.addTask {
                        let failure = await #expect(throws: RedisError.self) { try await redis.send("OTHER") }
                        let isProtocol = [.garbage, .hugeLength, .badTrailer].contains(fault)
                        #expect(failure?.code == (isProtocol ? .protocolViolation : .connectionLost))
                        #expect(failure?.outcome == .indeterminate)
                        order.update { $0.append(number) }
                    }
                }
            }
        }
        #expect(order.value == [2, 3])
        #expect(redis.hasEnded)
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        server.stop()
    }

    @Test(arguments: ["+surprise\r\n", ":1\r\n", "-ERR max number of clients reached\r\n"])
    func aReplyNobodyAskedForEndsTheConnection(reply: String) async throws {
        let server = try ScriptedServer { connection in
            guard connection.readCommand() != nil else { return }
            connection.write("+OK\r\n" + reply)
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        #expect(try await redis.send("PING") == .simpleString("OK"))
        let failure = await error { _ = try await redis.send("PING") }
        #expect(failure?.code == (reply.hasPrefix("-") ? .connectionLost : .protocolViolation))
        if reply.hasPrefix("-") { #expect("\(failure!)".contains("max number of clients")) }
        server.stop()
    }

    @Test func closeWaitsForRepliesAndRefusesNewCommands() async throws {
        let maySendReply = Gate()
        let server = try ScriptedServer { connection in
            guard connection.readCommand() != nil else { return }
            maySendReply.waitOnThread()
            connection.write("+late\r\n")
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        let closed = Collected(false)
        try await loop.run {
            async let reply = redis.send("PING")
            await Task.yield()
            async let closing: Void = redis.close()
            await Task.yield()
            closed.update { $0 = redis.hasEnded }
            let refused = await #expect(throws: RedisError.self) { try await redis.send("PING") }
            #expect(refused?.code == .clientClosed)
            #expect(refused?.outcome == .notSent)
            maySendReply.open()
            let late = try await reply
            #expect(late == .simpleString("late"))
            await closing
        }
        await redis.close()
        server.stop()
    }

    @Test func aCloseThatIsNotAnsweredRunsOutOfTime() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        await loop.run {
            async let failure = error { _ = try await redis.send("PING") }
            await Task.yield()
            await redis.close(timeout: .milliseconds(30))
            #expect(await failure?.code == .clientClosed)
            #expect(await failure?.outcome == .indeterminate)
        }
        server.stop()
    }

    @Test func shutdownFailsWhatWaits() async throws {
        let received = Gate()
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            received.open()
            while connection.readSome() != nil {}
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        async let failure = error { _ = try await redis.send("PING") }
        await received.wait()
        redis.shutdown()
        redis.shutdown()
        #expect(await failure?.code == .clientClosed)
        #expect(await failure?.outcome == .indeterminate)
        await redis.close()
        server.stop()
    }

    @Test func theLoopsShutdownFailsWhatWaits() async throws {
        let ownLoop = EventLoop(name: "ending-loop")
        let received = Gate()
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            received.open()
            while connection.readSome() != nil {}
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: ownLoop)
        async let failure = error { _ = try await redis.send("PING") }
        await received.wait()
        await ownLoop.shutdown()
        #expect(await failure?.code == .loopShutDown)
        #expect(await failure?.outcome == .indeterminate)
        let later = await error { _ = try await redis.send("PING") }
        #expect(later?.code == .loopShutDown)
        let connect = await error { _ = try await AsyncRedisClient.connect(to: server.url, on: ownLoop) }
        #expect(connect?.code == .loopShutDown)
        await redis.close()
        server.stop()
    }

    @Test func aClientThatNobodyHoldsClosesItsConnection() async throws {
        let ended = Gate()
        let server = try ScriptedServer { connection in
            while connection.readSome() != nil {}
            ended.open()
        }
        _ = try await AsyncRedisClient.connect(to: server.url, on: loop)
        await ended.wait()
        server.stop()
    }

    @Test func cancellationEndsTheAwaitAndLeavesTheNeighboursAlone() async throws {
        let received = Gate()
        let mayAnswer = Gate()
        let server = try ScriptedServer { connection in
            for _ in 0..<2 { guard connection.readCommand() != nil else { return } }
            received.open()
            mayAnswer.waitOnThread()
            connection.write("+cancelled\r\n+neighbour\r\n")
            guard connection.readCommand() != nil else { return }
            connection.write("+next\r\n")
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop)
        try await loop.run {
            let cancelled = Task { try await redis.send("ONE") }
            let neighbour = Task { try await redis.send("TWO") }
            await received.wait()
            cancelled.cancel()
            let failure = await #expect(throws: RedisError.self) { try await cancelled.value }
            #expect(failure?.code == .cancelled)
            #expect(failure?.outcome == .indeterminate)
            mayAnswer.open()
            let reply = try await neighbour.value
            #expect(reply == .simpleString("neighbour"))
            let next = try await redis.send("THREE")
            #expect(next == .simpleString("next"))
        }
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        await redis.close()
        server.stop()
    }

    @Test func aLateCommandFailsAloneAndItsReplyIsDiscarded() async throws {
        let mayAnswer = Gate()
        let server = try ScriptedServer { connection in
            guard connection.readCommand() != nil else { return }
            mayAnswer.waitOnThread()
            connection.write("+late\r\n")
            guard connection.readCommand() != nil else { return }
            connection.write("+second\r\n")
            _ = connection.readSome()
        }
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: .milliseconds(30))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        async let late = error { _ = try await redis.send("ONE") }
        #expect(await late?.code == .deadlineExceeded)
        #expect(await late?.outcome == .indeterminate)
        // Its permit is still held: this one waits for it, and is never sent.
        let waiting = await error { _ = try await redis.send("NEVER") }
        #expect(waiting?.code == .deadlineExceeded)
        #expect(waiting?.outcome == .notSent)
        mayAnswer.open()
        var second: RESPValue?
        while second == nil { second = try? await redis.send("TWO") }
        #expect(second == .simpleString("second"))
        await redis.close()
        server.stop()
    }

    @Test func aSilentServerIsFoundDead() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let policy = EndpointPolicy(livenessTimeout: .milliseconds(50))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let failure = await error { _ = try await redis.send("PING") }
        #expect(failure?.code == .connectionLost)
        #expect(failure?.outcome == .indeterminate)
        server.stop()
    }
}
