import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncPostgres

/// What a client does with fewer connections than it wants.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresPoolTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    /// A server that gives no more than so many connections.
    @Test func whatTheServerDoesNotGiveIsDoneWithout() async throws {
        let watcher = try client()
        _ = try? await watcher.query("CREATE ROLE few LOGIN CONNECTION LIMIT 2")
        _ = try await watcher.query("ALTER ROLE few CONNECTION LIMIT 2")
        var spec = PostgresServer.spec(.init(maxInflight: 6, commandTimeout: nil))
        spec.credentials = .init(username: "few", password: "")
        let postgres = try PostgresServer.clients(spec, on: loop).postgres("orders")
        #expect(try await postgres.query("SELECT 1").count == 1)
        func processes() async throws -> Int {
            try await withThrowingTaskGroup(of: String?.self) { group in
                for number in 0..<30 {
                    group.addTask {
                        let sql = "SELECT $1 AS n, pg_backend_pid() AS p, pg_sleep(0.005)"
                        let rows = try await postgres.query(sql, ["\(number)"])
                        #expect(rows.first?["n"] == "\(number)")
                        return rows.first?["p"]
                    }
                }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }.count
            }
        }
        // They wait for those that there are.
        #expect(try await processes() == 2)
        _ = try await watcher.query("ALTER ROLE few CONNECTION LIMIT 3")
        // After some time the server is asked for another.
        await loop.run { _ = postgres.pool.tick(LoopClock.instant(after: .seconds(60))) }
        #expect(try await processes() == 3)
        #expect(!postgres.hasEnded)
        await postgres.close()
        await loop.shutdown()
    }

    /// A call that was put back keeps its place, its limits and its ends.
    @Test func whoIsPutBackStillHasItsTime() async throws {
        let (isAsked, isRefused, isOver) = (Gate(), Gate(), Gate())
        let server = try ScriptedServer { connection in
            guard connection.index == 0 else {
                _ = connection.readSome()
                connection.refuse("53300")
                return isRefused.open()
            }
            connection.admit()
            for _ in 0..<2 {
                _ = connection.readSome()
                isAsked.open()
                isOver.waitOnThread()
                connection.answer(["here"])
                connection.readyForMore()
            }
            _ = connection.readSome()
        }
        let postgres = try client(.init(maxInflight: 4, commandTimeout: nil), port: server.port)
        let first = start("SELECT 1", postgres)
        await isAsked.wait()
        let late = await failure(of: "SELECT 2", on: postgres, timeout: .milliseconds(100))
        #expect(late?.code == .deadlineExceeded)
        #expect(late?.outcome == .notSent)
        await isRefused.wait()
        let next = start("SELECT 3", postgres)
        isOver.open()
        #expect(await first.value == nil)
        #expect(await next.value == nil)
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }

    /// A connection that never comes to stand holds up nobody as long as another one is free.
    @Test func whoWaitsForAConnectTakesWhatIsFreeFirst() async throws {
        let (isAsked, isConnecting, mayAnswer, isOver) = (Gate(), Gate(), Gate(), Gate())
        let server = try ScriptedServer { connection in
            guard connection.index == 0 else {
                isConnecting.open()
                return isOver.waitOnThread()
            }
            connection.admit()
            for _ in 0..<2 {
                _ = connection.readSome()
                isAsked.open()
                mayAnswer.waitOnThread()
                connection.answer(["here"])
                connection.readyForMore()
            }
            _ = connection.readSome()
        }
        let policy = EndpointPolicy(maxInflight: 2, connectTimeout: .seconds(3600), commandTimeout: nil)
        let postgres = try client(policy, port: server.port)
        let first = start("SELECT 1", postgres)
        await isAsked.wait()
        let second = start("SELECT 2", postgres)
        await isConnecting.wait()
        mayAnswer.open()
        #expect(await first.value == nil)
        #expect(await second.value == nil)
        isOver.open()
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }

    /// Two connections of a server that dies do not end at the same time: the first to be lost is enough.
    @Test(arguments: [true, false])
    func whoHearsThatItsServerDiedGetsAnotherClientAtOnce(isSilent: Bool) async throws {
        let (isAsked, mayEnd) = ([Gate(), Gate()], [Gate(), Gate()])
        let server = try ScriptedServer { connection in
            connection.admit()
            _ = connection.readSome()
            if connection.index < 2 {
                isAsked[connection.index].open()
                mayEnd[connection.index].waitOnThread()
                if connection.index == 0 {
                    if !isSilent { connection.refuse("57P01", by: "secure_read") }
                    return
                }
            }
            connection.answer(["by \(connection.index)"])
            connection.readyForMore()
            _ = connection.readSome()
        }
        let policy = EndpointPolicy(maxInflight: 3, connectTimeout: .seconds(3600), commandTimeout: nil)
        let io = try PostgresServer.clients(PostgresServer.spec(policy, port: server.port), on: loop)
        let postgres = try io.postgres("orders")
        let first = start("SELECT 1", postgres)
        await isAsked[0].wait()
        let second = Task { try await postgres.query("SELECT 2") }
        await isAsked[1].wait()
        mayEnd[0].open()
        #expect(await first.value?.code == .connectionLost)
        let next = try io.postgres("orders")
        #expect(next !== postgres)
        #expect(try await next.query("SELECT 3").first?["text"] == "by 2")
        // What runs on the other one may end, and with it the client does.
        mayEnd[1].open()
        #expect(try await second.value.first?["text"] == "by 1")
        let refused = await failure(of: "SELECT 4", on: postgres)
        #expect(refused?.code == .connectionLost)
        #expect(refused?.outcome == .notSent)
        #expect(await eventually { await loop.run { postgres.pool.calls.failure != nil } })
        await io.close()
        await loop.shutdown()
        server.stop()
    }
}
