import TestSupport
import Testing

@testable import AsyncPostgres

/// A server that dies, whatever it was doing, and comes back.
@Suite(.enabled(if: PostgresServer.isThere)) struct PostgresOutageTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    enum Stage: CaseIterable { case accepting, authenticating, idle, babbling, asked, answering, cancelling }

    @Test(arguments: Stage.allCases)
    func everyAwaitEndsAndTheNextClientHasANewConnection(stage: Stage) async throws {
        let (isAsked, isOver) = (Gate(), Gate())
        let server = try ScriptedServer { connection in
            switch connection.index {
            case 0: connection.die(stage, isAsked, isOver)
            // The connection that cancels.
            case 1 where stage == .cancelling:
                connection.admit()
                _ = connection.readSome()
                isOver.open()
            default:
                connection.admit()
                _ = connection.readSome()
                connection.answer(["back"])
                connection.readyForMore()
                _ = connection.readSome()
            }
        }
        let policy = EndpointPolicy(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)
        let io = try PostgresServer.clients(PostgresServer.spec(policy, port: server.port), on: loop)
        let postgres = try io.postgres("orders")
        let isQuiet = [.idle, .babbling].contains(stage)
        let task = start("SELECT 1", postgres)
        if stage == .cancelling {
            await isAsked.wait()
            task.cancel()
        }
        let first = await task.value
        if stage == .babbling { isOver.open() }
        #expect(await eventually { postgres.hasEnded })
        let next = await failure(of: "SELECT 2", on: postgres)
        let isConnecting = [.accepting, .authenticating].contains(stage)
        #expect(next?.code == (isConnecting ? .connectFailed : .connectionLost))
        #expect(next?.outcome == .notSent)
        #expect(first?.code == (isQuiet ? nil : stage == .cancelling ? .cancelled : next?.code))
        #expect(first?.outcome == (isQuiet ? nil : isConnecting ? .notSent : .indeterminate))
        #expect(try await io.postgres("orders").query("SELECT 3").first?["text"] == "back")
        await io.close()
        await loop.shutdown()
        server.stop()
    }

    /// The next call of a caller who has seen it is not refused with the same end.
    @Test func whoHearsOfTheEndGetsAnotherClientAtOnce() async throws {
        let spec = PostgresServer.spec(port: try ScriptedServer.closedPort())
        let io = try PostgresServer.clients(spec, on: loop)
        var missed = 0
        for _ in 0..<200 {
            let postgres = try io.postgres("orders")
            _ = try? await postgres.query("SELECT 1")
            // Looked at first of all.
            if !postgres.hasEnded { missed += 1 }
        }
        #expect(missed == 0)
        await io.close()
        await loop.shutdown()
    }
}

extension ServerConnection {
    fileprivate func die(_ stage: PostgresOutageTests.Stage, _ isAsked: Gate, _ isOver: Gate) {
        if stage == .accepting { return }
        if stage == .authenticating { return challenge(rounds: 1) {} }
        admit()
        _ = readSome()
        isAsked.open()
        if stage == .cancelling { isOver.waitOnThread() }
        if stage == .asked || stage == .cancelling { return }
        answer(["here"])
        if stage == .answering { return }
        readyForMore()
        if stage == .idle { return }
        isOver.waitOnThread()
        // A row of one byte less than its own length has.
        write([UInt8(ascii: "D"), 0, 0, 0, 3])
        _ = readSome()
    }
}
