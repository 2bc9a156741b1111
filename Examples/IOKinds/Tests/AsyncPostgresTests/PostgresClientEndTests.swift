import TestSupport
import Testing

@testable import AsyncPostgres

/// How queries end with their client, or their loop.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresClientEndTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    @Test func closeWaitsForWhatWasAcceptedAndRefusesTheRest() async throws {
        let (postgres, watcher) = (try client(), try client())
        let task = start("SELECT pg_advisory_lock(6) /* closing */", postgres)
        #expect(await task.value == nil)
        // Held by a session of the first client's; the next query waits for it, on the server.
        let blocked = start("SELECT pg_advisory_lock(6) /* blocked */", watcher)
        #expect(await runs("blocked", 1, seenBy: postgres))
        let isClosed = Gate()
        let closing = Task {
            await watcher.close(timeout: .seconds(3600))
            isClosed.open()
        }
        #expect(await eventually { watcher.hasEnded })
        #expect(await failure(of: "SELECT 1", on: watcher)?.code == .clientClosed)
        #expect(!isClosed.isOpen)
        // With its session goes the lock.
        await postgres.close()
        #expect(await blocked.value == nil)
        await closing.value
        await loop.shutdown()
    }

    @Test func closeGivesUpAtItsTimeout() async throws {
        let (postgres, watcher) = (try client(), try client())
        let task = start("SELECT pg_sleep(3600) /* close-timeout */", postgres)
        #expect(await runs("close-timeout", 1, seenBy: watcher))
        await postgres.close(timeout: .milliseconds(20))
        let error = await task.value
        #expect(error?.code == .clientClosed)
        #expect(error?.outcome == .indeterminate)
        #expect(await runs("close-timeout", 0, seenBy: watcher))
        await loop.shutdown()
    }

    @Test func theLoopsShutdownEndsEverything() async throws {
        let otherLoop = EventLoop(name: "watcher")
        let watcher = try PostgresServer.clients(on: otherLoop).postgres("orders")
        let postgres = try client(.init(maxInflight: 1, commandTimeout: nil))
        let running = start("SELECT pg_sleep(3600) /* shutdown */", postgres)
        #expect(await runs("shutdown", 1, seenBy: watcher))
        let waiting = start("SELECT 1", postgres)
        #expect(await eventually { await loop.run { postgres.pool.calls.waitingCount } == 1 })
        await loop.shutdown()
        let (first, second) = (await running.value, await waiting.value)
        #expect(first?.code == .loopShutDown)
        #expect(first?.outcome == .indeterminate)
        #expect(second?.code == .loopShutDown)
        #expect(second?.outcome == .notSent)
        #expect(await failure(of: "SELECT 1", on: postgres)?.code == .loopShutDown)
        await otherLoop.shutdown()
    }

    @Test func shutdownInEveryStateOfConnectingIsClean() async throws {
        for turns in 0..<20 {
            let loop = EventLoop(name: "short-lived")
            let host = turns % 2 == 0 ? "127.0.0.1" : "localhost"
            let io = try PostgresServer.clients(PostgresServer.spec(host: host), on: loop)
            let postgres = try io.postgres("orders")
            let task = Task { await failure(of: "SELECT pg_sleep(3600)", on: postgres) }
            for _ in 0..<turns { try await loop.sleep(for: .zero) }
            await loop.shutdown()
            #expect(await task.value?.code == .loopShutDown)
        }
    }

    @Test func closeWaitsForAConnectionThatIsOnThePool() async throws {
        let isChallenged = Gate()
        let server = try ScriptedServer { $0.challenge(rounds: 1_000_000) { isChallenged.open() } }
        let spec = PostgresServer.spec(.init(maxInflight: 1), port: server.port)
        let postgres = try PostgresServer.clients(spec, on: loop).postgres("orders")
        await isChallenged.wait()
        // Having turned so often, the loop has seen the challenge.
        for _ in 0..<100 { await loop.run {} }
        // Both ends of the connection are in this process.
        let before = openDescriptors()
        await postgres.close(timeout: .seconds(3600))
        #expect(openDescriptors() < before)
        await loop.shutdown()
        server.stop()
    }

    @Test func descriptorsReturnToWhereTheyWere() async throws {
        let before = openDescriptors()
        for _ in 0..<20 {
            let io = try PostgresServer.clients(on: loop)
            let postgres = try io.postgres("orders")
            let task = start("SELECT pg_sleep(3600)", postgres)
            _ = try await postgres.query("SELECT 1")
            task.cancel()
            _ = await task.value
            await io.close()
        }
        // Other tests run beside this one: allow for a few of theirs, not for sixty of ours.
        #expect(await eventually { openDescriptors() < before + 30 })
        await loop.shutdown()
    }
}
