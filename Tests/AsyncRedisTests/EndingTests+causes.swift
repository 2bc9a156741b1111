@_spi(Driver) import AsyncIO
import TestSupport
import Testing

@testable import AsyncRedis

/// What first comes upon a connection that is over.
enum Finder: CaseIterable, Sendable {
    /// The poll that follows.
    case read
    /// The look at an idle connection's socket before a command is written to it.
    case look
    /// The write of a command while another one is on the wire.
    case write
}

extension EndingTests {
    /// The socket tells a failure once: whoever finds it, the commands get to know it.
    @Test(arguments: Finder.allCases, [true, false])
    func commandsAreToldWhyTheConnectionEnded(finder: Finder, isReset: Bool) async throws {
        let (isRead, mayEnd, hasEnded) = (Gate(), Gate(), Gate())
        let server = try ScriptedServer { connection in
            _ = connection.readCommand()
            if finder != .write { connection.write("+PONG\r\n") }
            isRead.open()
            mayEnd.waitOnThread()
            if isReset { connection.reset() } else { connection.close() }
            hasEnded.open()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        async let first = loop.run { await ending(of: redis) }
        await isRead.wait()
        if finder != .write { #expect(await first == nil) }
        let second = await loop.run {
            mayEnd.open()
            hasEnded.waitOnThread()
            // The loop is busy, and does not look at its sockets, while the end arrives.
            let busyUntil = ContinuousClock.now + .milliseconds(2)
            while ContinuousClock.now < busyUntil {}
            if finder == .read { #expect(await eventually { redis.hasEnded }) }
            return await ending(of: redis)
        }
        for failure in finder == .write ? [await first, second] : [second] {
            #expect(failure?.code == .connectionLost)
            let name = failure?.ioError?.name
            #expect(name == (isReset ? "ECONNRESET" : nil), "\(String(describing: failure))")
        }
        server.stop()
        await loop.shutdown()
    }

    /// What comes in one poll with the last reply is told as what it is, too.
    @Test(arguments: [true, false])
    func commandsBehindTheLastReplyAreToldWhyTheConnectionEnded(isReset: Bool) async throws {
        let (areRead, mayEnd, hasEnded) = (Gate(), Gate(), Gate())
        let server = try ScriptedServer { connection in
            for _ in 0..<2 { _ = connection.readCommand() }
            areRead.open()
            mayEnd.waitOnThread()
            connection.write("+PONG\r\n")
            if isReset { connection.reset() } else { connection.close() }
            hasEnded.open()
        }
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        async let first = loop.run { await ending(of: redis) }
        async let second = loop.run { await ending(of: redis) }
        await areRead.wait()
        await loop.run {
            mayEnd.open()
            hasEnded.waitOnThread()
            // The loop is busy, and does not look at its sockets, while the end arrives.
            let busyUntil = ContinuousClock.now + .milliseconds(2)
            while ContinuousClock.now < busyUntil {}
        }
        let failures = [await first, await second].compactMap { $0 }
        #expect(failures.map(\.code) == [.connectionLost])
        #expect(failures.map { $0.ioError?.name } == [isReset ? "ECONNRESET" : nil])
        server.stop()
        await loop.shutdown()
    }

    /// How a command ends; nil for a reply.
    private func ending(of redis: AsyncRedisClient) async -> RedisError? {
        do throws(RedisError) {
            _ = try await redis.send("PING")
            return nil
        } catch {
            return error
        }
    }
}
