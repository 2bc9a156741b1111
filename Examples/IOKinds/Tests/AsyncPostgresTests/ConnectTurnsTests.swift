import TestSupport
import Testing

@testable import AsyncPostgres

/// How few threads of the pool connecting holds.
@Suite(.serialized) struct ConnectTurnsTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    @Test func turnsComeInOrderFewAtATimeAndOneOfEachServers() async throws {
        let (turns, begun) = (ConnectTurns(), Collected<[String]>([]))
        func take(_ server: String, _ name: String) -> ConnectTurns.Turn {
            turns.take(server, on: loop) { begun.update { $0.append(name) } }
        }
        // Having run something itself, the loop has run what was posted before it.
        func begunByNow() async -> [String] {
            await loop.run {}
            return begun.value
        }
        let (first, second, given) = (take("a", "a1"), take("a", "a2"), take("b", "given up"))
        let (third, fourth) = (take("b", "b1"), take("c", "c1"))
        #expect(await begunByNow() == ["a1", "given up"])
        turns.giveBack(given)
        #expect(await begunByNow() == ["a1", "given up", "b1"])
        let gone = take("b", "gone")
        turns.giveBack(gone)
        turns.giveBack(third)
        #expect(await begunByNow() == ["a1", "given up", "b1", "c1"])
        turns.giveBack(first)
        turns.giveBack(fourth)
        #expect(await begunByNow() == ["a1", "given up", "b1", "c1", "a2"])
        turns.giveBack(second)
        await loop.shutdown()
    }

    /// Four connections that prove their passwords, of one server or of as many.
    @Test(arguments: [1, 4])
    func connectingLeavesThreadsOfThePoolFree(servers: Int) async throws {
        let (waiting, challenged, proved) = (Collected(0), Collected(0), Collected(0))
        let areTwo = Gate()
        let servers = try (0..<servers).map { _ in
            try ScriptedServer { connection in
                // That many rounds take more than half a second, and none begins before two may.
                connection.challenge(rounds: 1_000_000) {
                    waiting.update { $0 += 1 }
                    if waiting.value >= 2 { areTwo.open() }
                    areTwo.waitOnThread()
                } _: {
                    challenged.update { $0 += 1 }
                }
                proved.update { $0 += 1 }
            }
        }
        let clients = try servers.map { try client(port: $0.port) }
        let tasks = (0..<4).map { start("SELECT 1", clients[$0 % clients.count]) }
        #expect(await eventually { challenged.value >= 2 })
        // A body of somebody else's waits for none of them.
        for _ in 0..<30 { try await loop.offload {} }
        #expect(proved.value == 0)
        for postgres in clients { postgres.shutdown() }
        for task in tasks { #expect(await task.value?.code == .clientClosed) }
        await loop.shutdown()
        for server in servers { server.stop() }
    }
}
