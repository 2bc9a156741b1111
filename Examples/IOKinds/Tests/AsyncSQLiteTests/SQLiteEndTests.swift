import IOCalls
import TestSupport
import Testing

@testable import AsyncSQLite

/// How queries end early: by their deadline, their task's cancellation, or with their client or loop.
@Suite(.serialized) struct SQLiteEndTests {
    private let database: TemporaryDatabase

    init() throws { database = try TemporaryDatabase() }

    private func table(_ policy: EndpointPolicy = .patient) async throws -> (AsyncIOClients, SQLiteClient) {
        let io = try database.clients(policy)
        let sqlite = try io.sqlite("ledger")
        _ = try await sqlite.query("CREATE TABLE entry (amount)")
        return (io, sqlite)
    }

    /// How many queries of the client's have come in.
    private func count(_ sqlite: SQLiteClient) async -> UInt64 {
        await database.loop.run { sqlite.database.calls.submitted }
    }

    /// The end of a query that never ends by itself; `meanwhile` is done while it runs, or waits.
    private func end(
        of sql: String,
        on sqlite: SQLiteClient,
        _ meanwhile: (Task<SQLiteError?, Never>) async throws -> Void
    ) async throws -> SQLiteError? {
        let before = await count(sqlite)
        let task = Task { () -> SQLiteError? in
            do throws(SQLiteError) {
                _ = try await sqlite.query(sql)
                return nil
            } catch {
                return error
            }
        }
        #expect(await eventually { await count(sqlite) > before })
        try await meanwhile(task)
        return await task.value
    }

    @Test func readersAndTheWriterDoNotWaitForEachOther() async throws {
        let (io, sqlite) = try await table()
        let error = try await end(of: Endless.reading, on: sqlite) { reader in
            let other = try await end(of: Endless.reading, on: sqlite) { other in
                _ = try await sqlite.query("INSERT INTO entry VALUES (1)")
                other.cancel()
            }
            #expect(other?.code == .cancelled)
            let writer = try await end(of: Endless.writing, on: sqlite) { writer in
                // The writer has begun when another write finds that it has to wait.
                let rows = try await sqlite.query("SELECT * FROM entry")
                #expect(rows.count == 1)
                let late = await #expect(throws: SQLiteError.self) {
                    try await sqlite.query("DELETE FROM entry", timeout: .milliseconds(30))
                }
                #expect(late?.code == .deadlineExceeded)
                #expect(late?.outcome == .notSent)
                writer.cancel()
            }
            #expect(writer?.outcome == .indeterminate)
            reader.cancel()
        }
        #expect(error?.code == .cancelled)
        #expect(error?.outcome == .indeterminate)
        // What was interrupted changed nothing, and its connection serves on.
        _ = try await sqlite.query("INSERT INTO entry VALUES (2)")
        #expect(try await sqlite.query("SELECT amount FROM entry").map { $0["amount"] } == [1, 2])
        await io.close()
        await database.remove()
    }

    @Test func aThreadOfThePoolIsLeftToOthers() async throws {
        let (io, sqlite) = try await table()
        let statements = Array(repeating: Endless.reading, count: 4) + [Endless.writing, Endless.writing]
        let tasks = statements.map { sql in Task { _ = try? await sqlite.query(sql) } }
        let calls = sqlite.database.calls
        #expect(await eventually { await database.loop.run { calls.submitted } == 7 })
        let isDone = Gate()
        let other = Task {
            try await database.loop.offload {}
            isDone.open()
        }
        #expect(await eventually { isDone.isOpen })
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        try await other.value
        await io.close()
        await database.remove()
    }

    @Test func permitsBoundWhatRunsAndAreGivenBack() async throws {
        let (io, sqlite) = try await table(.init(maxInflight: 1, commandTimeout: nil))
        for _ in 0..<10 {
            let error = try await end(of: Endless.reading, on: sqlite) { running in
                // A reader is idle, and the one permit is taken.
                let waiting = await #expect(throws: SQLiteError.self) {
                    try await sqlite.query("SELECT 1", timeout: .milliseconds(20))
                }
                #expect(waiting?.outcome == .notSent)
                running.cancel()
            }
            #expect(error?.code == .cancelled)
        }
        #expect(try await sqlite.query("SELECT 1").count == 1)
        await io.close()
        await database.remove()
    }

    @Test func whatWaitsBeyondTheLimitIsRefused() async throws {
        let (io, sqlite) = try await table(.init(maxInflight: 1, maxWaiting: 1, commandTimeout: nil))
        let running = try await end(of: Endless.reading, on: sqlite) { running in
            let waiting = try await end(of: "SELECT 1", on: sqlite) { _ in
                let refused = await #expect(throws: SQLiteError.self) { try await sqlite.query("SELECT 1") }
                #expect(refused?.code == .overloaded)
                #expect(refused?.outcome == .notSent)
                running.cancel()
            }
            #expect(waiting == nil)
        }
        #expect(running?.code == .cancelled)
        await io.close()
        await database.remove()
    }

    enum Limit: CaseIterable { case policy, call, task, cancellation }

    /// Whatever ends it, a query that runs ends within 20 ms of it.
    @Test(arguments: Limit.allCases)
    func earlyEndsAreInTime(limit: Limit) async throws {
        let time = Duration.milliseconds(60)
        let io = try database.clients(.init(commandTimeout: limit == .policy ? time : nil))
        let sqlite = try io.sqlite("ledger")
        // Its file and a reader are open: that counts, too, and takes what it takes.
        #expect(await eventually { (try? await sqlite.query("SELECT 1"))?.count == 1 })
        let noise = SchedulingNoise(besides: "sqlite-test")
        let end = await TimedEnd<SQLiteError>.of(within: time) {
            switch limit {
            case .policy: _ = try await sqlite.query(Endless.reading)
            case .call: _ = try await sqlite.query(Endless.reading, timeout: time)
            case .task: try await withIOTimeout(time) { _ = try await sqlite.query(Endless.reading) }
            case .cancellation:
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try await sqlite.query(Endless.reading) }
                    try await database.loop.sleep(for: time)
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
        await io.close()
        await database.remove()
    }

    @Test func closeWaitsForWhatWasAcceptedAndRefusesTheRest() async throws {
        let (io, sqlite) = try await table()
        let before = await count(sqlite)
        let tasks = (0..<50).map { number in
            Task { try await sqlite.query("INSERT INTO entry VALUES (?)", [.integer(Int64(number))]) }
        }
        #expect(await eventually { await count(sqlite) == before + 50 })
        let closing = Task { await sqlite.close(timeout: .seconds(3600)) }
        #expect(await eventually { sqlite.hasEnded })
        let late = await #expect(throws: SQLiteError.self) { try await sqlite.query("SELECT 1") }
        #expect(late?.code == .clientClosed)
        #expect(late?.outcome == .notSent)
        for task in tasks { _ = try await task.value }
        await closing.value
        #expect(try await io.sqlite("ledger").query("SELECT * FROM entry").count == 50)
        await io.close()
        await database.remove()
    }

    @Test func closeGivesUpAtItsTimeout() async throws {
        let (_, sqlite) = try await table()
        let error = try await end(of: Endless.writing, on: sqlite) { _ in
            await sqlite.close(timeout: .milliseconds(20))
        }
        #expect(error?.code == .clientClosed)
        await database.remove()
    }

    @Test func shutdownEndsWhatRunsAndWhatWaits() async throws {
        let (_, sqlite) = try await table()
        let running = try await end(of: Endless.writing, on: sqlite) { _ in
            // The pool takes bodies in their order: the first has begun when this one has.
            _ = try await sqlite.query("SELECT 1")
            let waiting = try await end(of: "DELETE FROM entry", on: sqlite) { _ in
                sqlite.shutdown()
            }
            #expect(waiting?.code == .clientClosed)
            #expect(waiting?.outcome == .notSent)
        }
        #expect(running?.code == .clientClosed)
        #expect(running?.outcome == .indeterminate)
        await database.remove()
    }

    @Test func theLoopsShutdownEndsEverything() async throws {
        let (io, sqlite) = try await table()
        let running = try await end(of: Endless.writing, on: sqlite) { _ in
            // The pool takes bodies in their order: the first has begun when this one has.
            _ = try await sqlite.query("SELECT 1")
            let waiting = try await end(of: "DELETE FROM entry", on: sqlite) { _ in
                // It waits for bodies, which are hurried.
                await database.loop.shutdown()
            }
            #expect(waiting?.code == .loopShutDown)
            #expect(waiting?.outcome == .notSent)
        }
        #expect(running?.code == .loopShutDown)
        #expect(running?.outcome == .indeterminate)
        let late = await #expect(throws: SQLiteError.self) { try await sqlite.query("SELECT 1") }
        #expect(late?.code == .loopShutDown)
        await io.close()
        await database.remove()
    }

    @Test func aClientThatNobodyHoldsClosesItsFile() async throws {
        try await {
            let (_, sqlite) = try await table()
            _ = try await sqlite.query("SELECT 1")
            #expect(database.exists("-wal"))
        }()
        #expect(await eventually { !database.exists("-wal") })
        await database.remove()
    }
}
