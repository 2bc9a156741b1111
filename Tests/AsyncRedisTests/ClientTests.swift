@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

/// The client against a scripted server: what callers see.
@Suite struct ClientTests {
    private let loop = EventLoop(name: "client-test")

    /// Answers each command with its own last word, as a bulk string.
    private static func echo(_ connection: ServerConnection) {
        while let words = connection.readCommand(), let last = words.last {
            connection.write("$\(last.count)\r\n")
            connection.write(last)
            connection.write("\r\n")
        }
    }

    /// An actor that lives on a loop.
    private actor Cache {
        private let loop: EventLoop
        init(on loop: EventLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe loop.serialExecutor.asUnownedSerialExecutor()
        }

        /// How many jobs come to the executor that the task prefers meanwhile.
        func jobs(of executor: CountingExecutor, at url: String) async throws -> Int {
            let before = executor.jobs
            let redis = try await AsyncRedisClient.connect(to: url, on: loop, policy: .patient)
            for number in 0..<100 {
                let value = try await redis.hget("k", "\(number)")
                #expect(value == "\(number)")
                #expect(loop.isOnLoop)
            }
            let value = try await withIOTimeout(.seconds(600)) { try await redis.hget("k", "f") }
            #expect(value == "f")
            await redis.close()
            return executor.jobs - before
        }
    }

    @Test func anActorOfTheLoopIsServedWithoutLeavingItsThread() async throws {
        let server = try ScriptedServer { Self.echo($0) }
        let executor = CountingExecutor()
        let jobs = try await withTaskExecutorPreference(executor) { [loop] in
            try await Cache(on: loop).jobs(of: executor, at: server.url)
        }
        #expect(jobs == 0)
        server.stop()
    }

    @Test func typedCommandsDecodeTheirReplies() async throws {
        let script: [(command: [String], reply: String)] = [
            (["HGET", "user:1", "name"], "$3\r\nAda\r\n"), (["HGET", "user:1", "x"], "$-1\r\n"),
            (["LRANGE", "follow:1", "0", "4"], "*2\r\n$1\r\na\r\n$2\r\nbc\r\n"),
            (["LRANGE", "none", "0", "-1"], "*0\r\n"),
            (["HMGET", "user:1", "name", "x"], "*2\r\n$3\r\nAda\r\n$-1\r\n"), (["SET", "k", "v"], "+OK\r\n"),
            (["INCR", "n"], ":42\r\n"), (["GET", "k"], "$1\r\nv\r\n"),
        ]
        let server = try ScriptedServer { connection in
            for step in script {
                #expect(connection.readTextCommand() == step.command)
                connection.write(step.reply)
            }
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        #expect(try await redis.hget("user:1", "name") == "Ada")
        #expect(try await redis.hget("user:1", "x") == nil)
        #expect(try await redis.lrange("follow:1", 0, 4) == ["a", "bc"])
        #expect(try await redis.lrange("none", 0, -1) == [])
        #expect(try await redis.hmget("user:1", ["name", "x"]) == ["Ada", nil])
        #expect(try await redis.send("SET", "k", "v") == .simpleString("OK"))
        #expect(try await redis.send("INCR", "n", as: Int.self) == 42)
        #expect(try await redis.send("GET", "k", as: [UInt8].self) == [0x76])
        await redis.close()
        server.stop()
    }

    @Test func anElementOfTheWrongTypeIsAnErrorAndTheConnectionLives() async throws {
        let server = try ScriptedServer { connection in
            for reply in [
                "*2\r\n$1\r\na\r\n:7\r\n", "*2\r\n$1\r\na\r\n$-1\r\n", ":1\r\n", "$2\r\n\u{0}", "$1\r\nx\r\n",
            ] {
                guard connection.readCommand() != nil else { return }
                connection.write(
                    reply == "$2\r\n\u{0}" ? [0x24, 0x32, 13, 10, 0xff, 0xfe, 13, 10] : Array(reply.utf8)
                )
            }
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        for element in ["integer 7", "null"] {
            let error = await #expect(throws: RedisError.self) { try await redis.lrange("k", 0, -1) }
            #expect(error?.code == .unexpectedReply)
            #expect(error?.outcome == .answered)
            #expect("\(error!)".contains("element 1"))
            #expect("\(error!)".contains(element))
        }
        let wrongShape = await #expect(throws: RedisError.self) { try await redis.hget("k", "f") }
        #expect(wrongShape?.code == .unexpectedReply)
        let notText = await #expect(throws: RedisError.self) { try await redis.hget("k", "f") }
        #expect("\(notText!)".contains("UTF-8"))
        #expect(try await redis.hget("k", "f") == "x")
        await redis.close()
        server.stop()
    }

    @Test func anErrorReplyIsRejectedWithTheServersCode() async throws {
        let server = try ScriptedServer { connection in
            for reply in ["-WRONGTYPE no hash\r\n", "-oops lower\r\n", "+OK\r\n"] {
                guard connection.readCommand() != nil else { return }
                connection.write(reply)
            }
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let wrongType = await #expect(throws: RedisError.self) { try await redis.hget("k", "f") }
        #expect(wrongType?.code == .wrongType)
        #expect(wrongType?.outcome == .rejected)
        #expect(wrongType?.serverMessage == Array("WRONGTYPE no hash".utf8))
        #expect(wrongType?.endpoint == "127.0.0.1:\(server.port)")
        let other = await #expect(throws: RedisError.self) { try await redis.hget("k", "f") }
        #expect(other?.code == .generic)
        #expect(try await redis.send("PING") == .simpleString("OK"))
        await redis.close()
        server.stop()
    }

    /// No probe comes into a transaction, and they go on once the server has given it up.
    @Test func anIdleConnectionIsProbedBehindATransactionThatWasAborted() async throws {
        let names = Collected<[String]>([])
        let server = try ScriptedServer { connection in
            while let name = connection.readTextCommand()?.first {
                names.update { $0.append(name) }
                connection.write(name == "EXEC" ? "-EXECABORT Transaction discarded\r\n" : "+OK\r\n")
            }
        }
        let redis = try await AsyncRedisClient.connect(
            to: server.url,
            on: loop,
            policy: EndpointPolicy(commandTimeout: .seconds(600), idleProbeInterval: .milliseconds(1))
        )
        _ = try await redis.send("MULTI")
        await #expect(throws: RedisError.self) { try await redis.send("EXEC") }
        #expect(await eventually { names.value.last == "PING" })
        let inside = names.value.drop { $0 != "MULTI" }.prefix { $0 != "EXEC" }
        #expect(inside == ["MULTI"])
        await redis.close()
        server.stop()
    }

    @Test func badCommandsAreRefusedBeforeTheyAreSent() async throws {
        let server = try ScriptedServer(Self.echo)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        for onLoop in [false, true] {
            let empty = await #expect(throws: RedisError.self) {
                if onLoop { return try await loop.run { try await redis.send(words: []) } }
                return try await redis.send(words: [])
            }
            #expect(empty?.code == .invalidCommand)
            #expect(empty?.outcome == .notSent)
        }
        await #expect(throws: RedisError.self) { try await redis.hmget("k", []) }
        #expect(try await redis.send("ECHO", "still there") == .bulkString("still there"))
        await redis.close()
        server.stop()
    }

    @Test(arguments: [
        ["SUBSCRIBE", "a"], ["monitor"], ["Client", "reply", "SKIP"], ["HELLO", "3"], ["psubscribe", "*"],
    ])
    func commandsThatChangeHowAServerAnswersAreRefused(words: [String]) async throws {
        let server = try ScriptedServer(Self.echo)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let failure = await #expect(throws: RedisError.self) { try await redis.send(words: words) }
        #expect(failure?.code == .invalidCommand)
        #expect(failure?.outcome == .notSent)
        #expect(try await redis.send("CLIENT", "ID") == .bulkString("ID"))
        await redis.close()
        server.stop()
    }

    @Test func everyTaskGetsTheReplyToItsOwnQuestion() async throws {
        let server = try ScriptedServer(Self.echo)
        let redis = try await AsyncRedisClient.connect(
            to: server.url,
            on: loop,
            policy: .init(maxInflight: 64, commandTimeout: nil)
        )
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<5000 {
                group.addTask { [loop] in
                    let question = "question \(number)"
                    if number.isMultiple(of: 2) {
                        return await loop.run {
                            (try? await redis.send("ECHO", question)) == .bulkString(question)
                        }
                    }
                    return (try? await redis.send("ECHO", question)) == .bulkString(question)
                }
            }
            for await isRight in group { #expect(isRight) }
        }
        #expect(await loop.run { redis.connection.limiter.inflight } == 0)
        #expect(await loop.run { redis.connection.limiter.peakInflight } == 64)
        await redis.close()
        server.stop()
    }

    @Test func noMoreThanMaxInflightAreEverUnanswered() async throws {
        let mostUnanswered = Collected(0)
        let server = try ScriptedServer { connection in
            // Reads all that comes before it answers anything, again and again.
            var total = 0
            while total < 1000 {
                var unanswered = 0
                while unanswered < 8, total + unanswered < 1000 {
                    guard connection.readCommand() != nil else { return }
                    unanswered += 1
                }
                let most = unanswered
                mostUnanswered.update { $0 = max($0, most) }
                total += unanswered
                connection.write(String(repeating: "+OK\r\n", count: unanswered))
            }
            // A command beyond the limit would have been read as a ninth.
            _ = connection.readSome()
        }
        let redis = try await AsyncRedisClient.connect(
            to: server.url,
            on: loop,
            policy: .init(maxInflight: 8, commandTimeout: nil)
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<1000 { group.addTask { _ = try await redis.send("PING") } }
            try await group.waitForAll()
        }
        #expect(mostUnanswered.value == 8)
        await redis.close()
        server.stop()
    }

    @Test func aLargeCommandAndItsReplyPassEachOther() async throws {
        let server = try ScriptedServer(Self.echo)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        let large = [UInt8](repeating: 0xab, count: 8 << 20)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<3 { group.addTask { try await redis.send("ECHO", large) == .bulkString(large) } }
            group.addTask { try await redis.send("ECHO", "small") == .bulkString("small") }
            for try await isRight in group { #expect(isRight) }
        }
        await redis.close()
        server.stop()
    }

    @Test func theWayInFromOtherThreadsIsBoundedWhileTheLoopIsBusy() async throws {
        let server = try ScriptedServer(Self.echo)
        let policy = EndpointPolicy(
            maxInflight: 2,
            maxWaiting: 3,
            maxQueuedBytes: 10_000,
            commandTimeout: nil
        )
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let isBusy = Gate()
        let mayGoOn = Gate()
        loop.post {
            isBusy.open()
            mayGoOn.waitOnThread()
        }
        await isBusy.wait()
        await withTaskGroup(of: RedisError.Code?.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    do throws(RedisError) {
                        _ = try await redis.send("ECHO", "x")
                        return nil
                    } catch {
                        return error.code
                    }
                }
            }
            // Refused while the loop cannot even look: fifteen of twenty.
            for _ in 0..<15 { #expect(await group.next() == .overloaded) }
            mayGoOn.open()
            for await code in group { #expect(code == nil) }
        }
        await redis.close()
        server.stop()
    }

    @Test func queuedBytesAreBoundedAndOneLargeCommandPasses() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let policy = EndpointPolicy(maxInflight: 1, maxQueuedBytes: 100_000, commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let large = [UInt8](repeating: 1, count: 90_000)
        await loop.run {
            async let first: Void = expectFailure(.clientClosed) {
                _ = try await redis.send("SET", "k", large)
            }
            await Task.yield()
            // The first has not left in this turn: a second does not fit beside it.
            await expectFailure(.overloaded) { _ = try await redis.send("SET", "k", large) }
            redis.shutdown()
            await first
        }
        server.stop()
    }

    private func expectFailure(_ code: RedisError.Code, _ body: () async throws -> Void) async {
        let failure = await #expect(throws: RedisError.self) { try await body() }
        #expect(failure?.code == code)
    }

    @Test func overloadIsRefusedAtOnce() async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let policy = EndpointPolicy(maxInflight: 1, maxWaiting: 1, commandTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        await withTaskGroup(of: RedisError?.self) { group in
            for _ in 0..<3 {
                group.addTask { [loop] in
                    await loop.run {
                        do throws(RedisError) {
                            _ = try await redis.send("PING")
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
            }
            // One is on the wire and one waits: the third is refused, and is the first to end.
            let first = await group.next() ?? nil
            #expect(first?.code == .overloaded)
            #expect(first?.outcome == .notSent)
            redis.shutdown()
            var outcomes: Set<RedisError.Outcome> = []
            for await error in group { if let error { outcomes.insert(error.outcome) } }
            #expect(outcomes == [.indeterminate, .notSent])
        }
        server.stop()
    }
}
