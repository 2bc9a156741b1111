import TestSupport
import Testing

@testable import AsyncRedis
@_spi(Driver) @testable import UVLoop

/// When commands on the loop are written: at the turn's end, or in quarters of what is on the wire.
@Suite struct WritePaceTests {
    private let loop = EventLoop(name: "write-pace-test")
    private static let ping = Array("*1\r\n$4\r\nPING\r\n".utf8)

    @Test(arguments: [0, 1, 10, 47, 48, 100, 1000])
    func aQuarterIsWrittenAtOnceIfItIsWorthAWrite(inflight: Int) {
        let isWorthIt = inflight >= 48 && EventLoop.hasSeveralProcessors
        #expect(RedisConnection.quarter(ofInflight: inflight) == (isWorthIt ? inflight / 4 : nil))
    }

    /// Has tasks on the loop send 128 commands to a server that answers 64 at once.
    ///
    /// - Returns: how many commands had been written when each task had its first reply.
    private func written(tasks: Int) async throws -> [Int] {
        let server = try ScriptedServer { connection in
            while true {
                for _ in 0..<64 { guard connection.readCommand() != nil else { return } }
                connection.write(String(repeating: "+PONG\r\n", count: 64))
            }
        }
        var policy = EndpointPolicy.patient
        policy.maxInflight = 64
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        let written = Collected<[Int]>([])
        try await loop.run {
            try await withThrowingTaskGroup { group in
                for _ in 0..<tasks {
                    group.addTask {
                        _ = try await redis.send("PING")
                        let count = Int(redis.connection.writer.bytesHandedOver) / Self.ping.count
                        written.update { $0.append(count) }
                        if tasks == 64 { _ = try await redis.send("PING") }
                    }
                }
                try await group.waitForAll()
            }
        }
        await redis.close()
        server.stop()
        return written.value
    }

    /// Each of 64 tasks sends a second command when it has its first reply, all in one turn.
    @Test func theServerHasWorkWhileTheTurnGoesOn() async throws {
        let perWrite = RedisConnection.quarter(ofInflight: 64) ?? .max
        let expected = (0..<64).map { 64 + $0 / perWrite * perWrite }
        #expect(try await written(tasks: 64) == expected)
    }

    /// Of 128 commands 64 wait for a permit; the replies to the first 64 give them theirs.
    @Test func whatAPermitHadWaitForIsWrittenBeforeTheTasksGoOn() async throws {
        let hasPieces = RedisConnection.quarter(ofInflight: 64) != nil
        let written = try await written(tasks: 128)
        #expect(written.prefix(64) == ArraySlice(repeating: hasPieces ? 128 : 64, count: 64))
        #expect(written.dropFirst(64) == ArraySlice(repeating: 128, count: 64))
    }

    /// A poll that ends after a time costs the kernel a timer, at each command of a task that sends one after the other.
    @Test func aConnectionAtWorkGivesPollsNoTimeOut() async throws {
        let mayAnswer = Gate()
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            mayAnswer.waitOnThread()
            connection.write("+PONG\r\n")
            _ = connection.readSome()
        }
        let policy = EndpointPolicy(connectTimeout: .seconds(3600), commandTimeout: .seconds(3600))
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: policy)
        async let reply = redis.send("PING")
        let isUnderWay = await eventually { await loop.run { redis.connection.machine.value.inflight > 0 } }
        #expect(isUnderWay)
        for _ in 0..<20 {
            let timeOut = await loop.run { redis.connection.core.driver.pollTimeOut }
            // With work left over from the turn before the loop does not sleep at all, which takes no timer.
            #expect(timeOut == nil || timeOut == 0)
        }
        mayAnswer.open()
        #expect(try await reply == .simpleString("PONG"))
        await redis.close()
        server.stop()
    }
}
