@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// How commands and connections end, when it is not with a reply.
@Suite struct EndingTests {
    let loop = EventLoop(name: "ending-test")

    func error(_ body: () async throws -> Void) async -> RedisError? {
        await #expect(throws: RedisError.self) { try await body() }
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        #expect(try await redis.send("PING") == .simpleString("OK"))
        let failure = await error { _ = try await redis.send("PING") }
        #expect(failure?.code == (reply.hasPrefix("-") ? .connectionLost : .protocolViolation))
        if reply.hasPrefix("-") { #expect("\(failure!)".contains("max number of clients")) }
        server.stop()
    }

    @Test func whatCameBeforeACommandWasWrittenIsNotItsReply() async throws {
        let mayWrite = Gate()
        let hasWritten = Gate()
        let server = try ScriptedServer { connection in
            guard connection.readCommand() != nil else { return }
            connection.write("+PONG\r\n")
            mayWrite.waitOnThread()
            connection.write("$5\r\nWRONG\r\n")
            hasWritten.open()
            #expect(connection.readSome() == nil, "the question is not sent")
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        #expect(try await redis.send("PING") == .simpleString("PONG"))
        let failure = await loop.run { () async -> RedisError? in
            // The loop is busy, and does not look at its sockets, while the reply to nothing arrives.
            mayWrite.open()
            hasWritten.waitOnThread()
            let busyUntil = ContinuousClock.now + .milliseconds(2)
            while ContinuousClock.now < busyUntil {}
            return await error { _ = try await redis.send("ECHO", "question") }
        }
        #expect(failure?.code == .protocolViolation)
        #expect(failure?.outcome == .notSent)
        server.stop()
    }

    @Test func whatCameBeforeTheLoginWasWrittenIsNotItsReply() async throws {
        let hasWritten = Gate()
        let received = Collected<[UInt8]?>(nil)
        let server = try ScriptedServer { connection in
            connection.write("+OK\r\n")
            hasWritten.open()
            let bytes = connection.readSome()
            received.update { $0 = bytes }
        }
        let spec = EndpointSpec(
            id: "talkative",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            credentials: .init(password: "secret")
        )
        let redis = try await loop.run { [loop] in
            let limiter = InflightLimiter(spec.policy)
            let redis = try AsyncRedisClient(spec, isOwn: false, limiter: limiter, loop: loop)
            // The loop is busy until the server's word has come, and finds it when it finds that it is connected.
            hasWritten.waitOnThread()
            let busyUntil = ContinuousClock.now + .milliseconds(2)
            while ContinuousClock.now < busyUntil {}
            return redis
        }
        let failure = await error { _ = try await redis.send("PING") }
        #expect(failure?.code == .protocolViolation)
        #expect(failure?.outcome == .notSent)
        server.stop()
        #expect(received.value == nil, "the login is not sent")
    }

    @Test func aCloseWhileConnectingEndsWithTheLastCommandThatWaited() async throws {
        let listener = try SilentListener()
        let spec = EndpointSpec(
            id: "mute",
            kind: .redis,
            host: "127.0.0.1",
            port: listener.port,
            credentials: .init(password: "secret"),
            policy: .patient
        )
        let limiter = InflightLimiter(spec.policy)
        // All of it on the loop: the kernel gives the connect up after two minutes, for which a busy machine's other tests may keep
        // the threads of the pool.
        try await loop.run {
            let redis = try AsyncRedisClient(spec, isOwn: false, limiter: limiter, loop: loop)
            let command = Task(executorPreference: loop.taskExecutor) {
                await error { _ = try await redis.send("PING") }
            }
            while redis.connection.machine.value.waitingCount == 0 { await Task.yield() }
            let closing = Task(executorPreference: loop.taskExecutor) {
                await redis.close(timeout: .seconds(60))
            }
            while !redis.hasEnded { await Task.yield() }
            let start = ContinuousClock.now
            command.cancel()
            #expect(await command.value?.code == .cancelled)
            await closing.value
            #expect(
                ContinuousClock.now - start < .seconds(30),
                "it does not wait for a connection that nobody needs"
            )
        }
    }

    @Test func closeWaitsForRepliesAndRefusesNewCommands() async throws {
        let maySendReply = Gate()
        let server = try ScriptedServer { connection in
            guard connection.readCommand() != nil else { return }
            maySendReply.waitOnThread()
            connection.write("+late\r\n")
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        await loop.run {
            async let failure = error { _ = try await redis.send("PING") }
            await Task.yield()
            await redis.close(timeout: .milliseconds(300))
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: ownLoop, policy: .patient)
        async let failure = error { _ = try await redis.send("PING") }
        await received.wait()
        await ownLoop.shutdown()
        #expect(await failure?.code == .loopShutDown)
        #expect(await failure?.outcome == .indeterminate)
        let later = await error { _ = try await redis.send("PING") }
        #expect(later?.code == .loopShutDown)
        let connect = await error {
            _ = try await AsyncRedisClient.connect(to: server.url, on: ownLoop, policy: .patient)
        }
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
        _ = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
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
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
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
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        // Time enough to be written on any machine.
        let late = await error { _ = try await redis.send("ONE", timeout: .milliseconds(500)) }
        #expect(late?.code == .deadlineExceeded)
        #expect(late?.outcome == .indeterminate)
        // Its permit is still held: this one waits for it, and is never sent.
        let waiting = await error { _ = try await redis.send("NEVER", timeout: .milliseconds(30)) }
        #expect(waiting?.code == .deadlineExceeded)
        #expect(waiting?.outcome == .notSent)
        mayAnswer.open()
        #expect(try await redis.send("TWO") == .simpleString("second"))
        await redis.close()
        server.stop()
    }

    @Test func aSilentServerIsFoundDead() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let policy = EndpointPolicy(commandTimeout: nil, livenessTimeout: .milliseconds(50))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let failure = await error { _ = try await redis.send("PING") }
        #expect(failure?.code == .connectionLost)
        #expect(failure?.outcome == .indeterminate)
        server.stop()
    }

    /// The one that waits is found cancelled when a permit is free for it, and one that ended earlier is still behind it.
    @Test func aCommandBehindOnesThatEndedWhileTheyWaitedIsSent() async throws {
        for _ in 0..<20 {
            let mayAnswer = Gate()
            let server = try ScriptedServer { connection in
                guard connection.readCommand() != nil else { return }
                mayAnswer.waitOnThread()
                connection.write("+first\r\n")
                guard connection.readTextCommand() == ["LAST"] else { return }
                connection.write("+last\r\n")
                _ = connection.readSome()
            }
            let policy = EndpointPolicy(maxInflight: 1, commandTimeout: nil)
            let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
            try await loop.run {
                async let first = redis.send("FIRST")
                let cancelled = Task(executorPreference: loop.taskExecutor) { try await redis.send("NEVER") }
                await Task.yield()
                let late = await error { _ = try await redis.send("LATE", timeout: .milliseconds(1)) }
                #expect(late?.code == .deadlineExceeded)
                cancelled.cancel()
                mayAnswer.open()
                let reply = try await first
                #expect(reply == .simpleString("first"))
                let last = try await redis.send("LAST")
                #expect(last == .simpleString("last"))
            }
            await redis.close()
            server.stop()
        }
    }

    /// Whoever asks only after the connection stood and broke has sent nothing either.
    @Test func aConnectThatIsToldLateOfALostConnectionIsNotSent() async throws {
        let server = try ScriptedServer { connection in _ = connection.readCommand() }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let lost = await error { _ = try await redis.send("PING") }
        #expect(lost?.outcome == .indeterminate)
        let told = await loop.run {
            var told: RedisError?
            redis.connection.whenConnected { told = $0 }
            return told
        }
        #expect(told?.code == .connectionLost)
        #expect(told?.outcome == .notSent)
        server.stop()
    }
}
