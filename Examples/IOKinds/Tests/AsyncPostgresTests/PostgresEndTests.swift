@_spi(Driver) import AsyncIO
import Foundation
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncPostgres

/// How queries end early: by their deadline or their task's cancellation.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresEndTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    @Test func aCancelledQueryIsCancelledOnTheServerAndHarmsNobody() async throws {
        let (postgres, watcher) = (try client(.init(maxInflight: 2, commandTimeout: nil)), try client())
        for round in 0..<10 {
            let mark = "cancelled-\(round)"
            let task = start("SELECT pg_sleep(3600) /* \(mark) */", postgres)
            #expect(await runs(mark, 1, seenBy: watcher))
            task.cancel()
            let error = await task.value
            #expect(error?.code == .cancelled)
            #expect(error?.outcome == .indeterminate)
            // Its connection and its permit serve on, and no signal hits who comes next.
            for _ in 0..<10 { #expect(try await postgres.query("SELECT 1").count == 1) }
            #expect(await runs(mark, 0, seenBy: watcher))
        }
        await postgres.close()
        await loop.shutdown()
    }

    @Test func aCancellationThatIsLateHitsNobody() async throws {
        let (postgres, watcher) = (try client(.init(maxInflight: 1, commandTimeout: nil)), try client())
        // The connection that cancels stands after this; then its server's process is stopped.
        let first = start("SELECT pg_sleep(3600) /* first */", postgres)
        #expect(await runs("first", 1, seenBy: watcher))
        first.cancel()
        #expect(await first.value?.code == .cancelled)
        #expect(try await postgres.query("SELECT 1").count == 1)
        let find =
            "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_cancel_backend($1)' ORDER BY backend_start DESC"
        let found = try await watcher.query(find).first?["pid"].flatMap { pid_t($0) }
        let canceller = try #require(found)
        kill(canceller, SIGSTOP)

        let cancelled = start("SELECT pg_sleep(0.5) /* over-by-itself */", postgres)
        #expect(await runs("over-by-itself", 1, seenBy: watcher))
        cancelled.cancel()
        #expect(await cancelled.value?.outcome == .indeterminate)
        let next = start("SELECT pg_sleep(0.3) /* next */", postgres)
        #expect(await runs("over-by-itself", 0, seenBy: watcher))
        // Its turn has not come, although its connection has nothing to do.
        #expect(await running("next", seenBy: watcher) == 0)
        kill(canceller, SIGCONT)
        #expect(await next.value == nil)
        await postgres.close()
        await loop.shutdown()
    }

    enum Silence: CaseIterable { case connecting, asked }

    @Test(arguments: Silence.allCases)
    func aSilentServerIsNotAskedForEverToCancel(silence: Silence) async throws {
        let (isRunning, isReached, isOver) = (Gate(), Gate(), Gate())
        let server = try ScriptedServer { connection in
            let isFirst = connection.index == 0
            if isFirst || silence == .asked { connection.admit() }
            while connection.readSome() != nil { (isFirst ? isRunning : isReached).open() }
            if isFirst { isOver.open() }
        }
        let policy = EndpointPolicy(
            maxInflight: 1,
            connectTimeout: .seconds(1000),
            commandTimeout: nil,
            livenessTimeout: .seconds(3000)
        )
        let postgres = try client(policy, port: server.port)
        let task = start("SELECT 1", postgres)
        await isRunning.wait()
        task.cancel()
        #expect(await task.value?.outcome == .indeterminate)
        await isReached.wait()
        // The time to connect is over, and after that the query's.
        await loop.run { _ = postgres.pool.tick(LoopClock.instant(after: .seconds(2000))) }
        #expect(!isOver.isOpen)
        await loop.run { _ = postgres.pool.tick(LoopClock.instant(after: .seconds(4000))) }
        await isOver.wait()
        // It was the only connection, and the client goes on without it.
        #expect(!postgres.hasEnded)
        await loop.shutdown()
        server.stop()
    }

    @Test func aQueryThatWaitsIsNeverSent() async throws {
        let (postgres, watcher) = (try client(.init(maxInflight: 1, commandTimeout: nil)), try client())
        _ = try await watcher.query("DROP TABLE IF EXISTS waiting")
        _ = try await watcher.query("CREATE TABLE waiting (n int)")
        let running = start("SELECT pg_sleep(3600) /* in-front */", postgres)
        #expect(await runs("in-front", 1, seenBy: watcher))
        let waiting = start("INSERT INTO waiting VALUES (1)", postgres)
        let late = await failure(
            of: "INSERT INTO waiting VALUES (2)",
            on: postgres,
            timeout: .milliseconds(20)
        )
        #expect(late?.code == .deadlineExceeded)
        #expect(late?.outcome == .notSent)
        waiting.cancel()
        let error = await waiting.value
        #expect(error?.code == .cancelled)
        #expect(error?.outcome == .notSent)
        running.cancel()
        _ = await running.value
        #expect(try await postgres.query("SELECT * FROM waiting") == [])
        await postgres.close()
        await loop.shutdown()
    }

    enum Limit: CaseIterable { case policy, call, task, cancellation }

    /// Whatever ends it, a query that runs ends within 20 ms of it.
    @Test(arguments: Limit.allCases)
    func earlyEndsAreInTime(limit: Limit) async throws {
        let time = Duration.milliseconds(60)
        let postgres = try client(.init(commandTimeout: limit == .policy ? time : nil))
        let sleep = "SELECT pg_sleep(3600)"
        // The connection stands: that counts, too, and takes what it takes.
        #expect(await eventually { await failure(of: "SELECT 1", on: postgres) == nil })
        let noise = SchedulingNoise(besides: "postgres-test")
        let end = await TimedEnd<PostgresError>.of(within: time) {
            switch limit {
            case .policy: _ = try await postgres.query(sleep)
            case .call: _ = try await postgres.query(sleep, timeout: time)
            case .task: try await withIOTimeout(time) { _ = try await postgres.query(sleep) }
            case .cancellation:
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try await postgres.query(sleep) }
                    try await loop.sleep(for: time)
                    group.cancelAll()
                    try await group.waitForAll()
                }
            }
        }
        let allowance = await noise.stop()
        #expect(end.error?.code == (limit == .cancellation ? .cancelled : .deadlineExceeded))
        #expect(end.error?.outcome == .indeterminate)
        #expect(end.lateness > .milliseconds(-2))
        #expect(end.lateness < .milliseconds(20) + allowance)
        await postgres.close()
        await loop.shutdown()
    }

    @Test func aClientThatIsDroppedStillLetsItsCancelledQueryEnd() async throws {
        let limiter = InflightLimiter(capacity: 1)
        let policy = EndpointPolicy(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)
        let spec = PostgresServer.spec(policy)
        let watcher = try client()
        #expect(try await watcher.query("SELECT 1").count == 1)
        let before = openDescriptors()
        func drop() async throws {
            let postgres = PostgresClient(
                spec,
                address: try PostgresAddress(spec),
                limiter: limiter,
                loop: loop
            )
            let task = start("SELECT pg_sleep(3600) /* dropped */", postgres)
            #expect(await runs("dropped", 1, seenBy: watcher))
            task.cancel()
            #expect(await task.value?.code == .cancelled)
        }
        try await drop()
        #expect(await eventually { await loop.run { limiter.inflight } == 0 })
        #expect(await runs("dropped", 0, seenBy: watcher))
        #expect(await eventually { openDescriptors() <= before })
        await loop.shutdown()
    }
}
