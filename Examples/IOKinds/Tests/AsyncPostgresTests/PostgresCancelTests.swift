@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncPostgres

/// What becomes of a query that cannot be cancelled at the first attempt.
@Suite(.enabled(if: PostgresServer.isThere)) struct PostgresCancelTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    private let single = EndpointPolicy(maxInflight: 1, commandTimeout: nil, livenessTimeout: .seconds(3600))

    enum Loss: CaseIterable { case connecting, asked, refused }

    @Test(arguments: Loss.allCases) func aLostCancellationIsTriedAgain(loss: Loss) async throws {
        let (isRunning, isCancelled) = (Gate(), Gate())
        let server = try ScriptedServer { connection in
            if connection.index == 1, loss == .connecting { return }
            connection.admit()
            _ = connection.readSome()
            if connection.index == 0 {
                isRunning.open()
                isCancelled.waitOnThread()
                connection.refuse("57014")
                connection.readyForMore()
                guard connection.readSome() != nil else { return }
            } else if connection.index == 1 {
                guard loss == .refused else { return }
                connection.refuse("42501")
                connection.readyForMore()
                _ = connection.readSome()
            }
            connection.answer(["by \(connection.index)"])
            connection.readyForMore()
            if connection.index > 0 { isCancelled.open() }
            _ = connection.readSome()
        }
        let postgres = try client(single, port: server.port)
        let task = start("SELECT 1", postgres)
        await isRunning.wait()
        task.cancel()
        #expect(await task.value?.outcome == .indeterminate)
        let next = try await postgres.query("SELECT 2")
        // A signal whose end is not known could still hit the first connection's next query.
        #expect(next.first?["text"] == (loss == .asked ? "by 3" : "by 0"))
        #expect(!postgres.hasEnded)
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }

    @Test func whatCannotBeCancelledIsGivenUpWithItsConnectionAlone() async throws {
        let (isRunning, isGivenUp) = (Gate(), Gate())
        let server = try ScriptedServer { connection in
            let isFirst = connection.index == 0
            guard isFirst || isGivenUp.isOpen else { return }
            connection.admit()
            _ = connection.readSome()
            if isFirst {
                isRunning.open()
            } else {
                connection.answer(["new"])
                connection.readyForMore()
            }
            _ = connection.readSome()
            if isFirst { isGivenUp.open() }
        }
        let policy = EndpointPolicy(maxInflight: 1, commandTimeout: nil, livenessTimeout: .milliseconds(300))
        let postgres = try client(policy, port: server.port)
        let task = start("SELECT 1", postgres)
        await isRunning.wait()
        task.cancel()
        #expect(await task.value?.outcome == .indeterminate)
        await isGivenUp.wait()
        // It has been tried more than once.
        #expect(server.connectionCount > 2)
        #expect(try await postgres.query("SELECT 2").first?["text"] == "new")
        #expect(!postgres.hasEnded)
        await postgres.close()
        await loop.shutdown()
        server.stop()
    }
}
