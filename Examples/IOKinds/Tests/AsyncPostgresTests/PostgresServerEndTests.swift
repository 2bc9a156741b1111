import Foundation
import TestSupport
import Testing

@testable import AsyncPostgres

/// How queries end with their connection, or their server.
@Suite(.serialized, .enabled(if: PostgresServer.isThere)) struct PostgresServerEndTests: PostgresScene {
    let loop = EventLoop(name: "postgres-test")

    @Test func aConnectionThatIsEndedFailsItsOwnQueryAlone() async throws {
        let (postgres, watcher) = (try client(), try client())
        let first = start("SELECT pg_sleep(3600) /* ended-one */", postgres)
        let second = start("SELECT pg_sleep(3600) /* left-alone */", postgres)
        #expect(await runs("ended-one", 1, seenBy: watcher))
        #expect(await runs("left-alone", 1, seenBy: watcher))
        let kill =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()"
        _ = try await watcher.query(kill, ["%ended-one%"])
        let error = await first.value
        #expect(error?.code == .connectionLost)
        #expect(error?.outcome == .indeterminate)
        #expect(error?.message.contains("administrator command") == true)
        #expect(!postgres.hasEnded)
        #expect(try await postgres.query("SELECT 1").count == 1)
        second.cancel()
        #expect(await second.value?.code == .cancelled)
        await postgres.close()
        await loop.shutdown()
    }

    @Test func provingAPasswordDoesNotHoldTheLoopUp() async throws {
        let (turns, turnsMeanwhile) = (Collected(0), Collected(0))
        let server = try ScriptedServer { connection in
            connection.challenge(rounds: 1_000_000) { turnsMeanwhile.update { $0 = -turns.value } }
            turnsMeanwhile.update { $0 += turns.value }
        }
        let postgres = try client(.patient, port: server.port)
        let counting = Task { [loop] in
            await loop.run {
                while !Task.isCancelled {
                    turns.update { $0 += 1 }
                    try? await loop.sleep(for: .milliseconds(1))
                }
            }
        }
        // The server has what it wanted, and goes.
        let error = await failure(of: "SELECT 1", on: postgres)
        #expect(error?.code == .connectFailed)
        #expect(error?.outcome == .notSent)
        // A million rounds take some tenths of a second.
        #expect(turnsMeanwhile.value >= 10)
        counting.cancel()
        await counting.value
        await loop.shutdown()
        server.stop()
    }

    @Test func aConnectionThatCannotBeHadIsDoneWithout() async throws {
        let directory = NSTemporaryDirectory() + "postgres-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let socket = "\(directory)/.s.PGSQL.5432"
        let target = try #require(PostgresServer.socket)
        try FileManager.default.createSymbolicLink(atPath: socket, withDestinationPath: target)
        var spec = PostgresServer.spec()
        spec.socketPath = socket
        let (postgres, watcher) = (
            try PostgresServer.clients(spec, on: loop).postgres("orders"), try client()
        )
        let running = start("SELECT pg_sleep(3600) /* by-socket */", postgres)
        #expect(await runs("by-socket", 1, seenBy: watcher))
        try FileManager.default.removeItem(atPath: socket)
        // It needs a second connection, and there is nothing to connect to any more: it waits for the first.
        let error = await failure(of: "SELECT 1", on: postgres, timeout: .milliseconds(100))
        #expect(error?.code == .deadlineExceeded)
        #expect(error?.outcome == .notSent)
        #expect(!postgres.hasEnded)
        // Nor is there for the connection that would cancel.
        postgres.shutdown()
        #expect(await running.value?.code == .clientClosed)
        await loop.shutdown()
    }

    @Test func anIdleClientNoticesItsServersEnd() async throws {
        let (postgres, watcher) = (try client(.init(maxInflight: 1)), try client())
        let pid = try await postgres.query("SELECT pg_backend_pid() AS p").first?["p"]
        _ = try await watcher.query("SELECT pg_terminate_backend($1)", [pid])
        #expect(await eventually { postgres.hasEnded })
        let error = await failure(of: "SELECT 1", on: postgres)
        #expect(error?.code == .connectionLost)
        #expect(error?.outcome == .notSent)
        await loop.shutdown()
    }

    @Test func aSilentServerHoldsNobodyUp() async throws {
        let policy = EndpointPolicy(
            maxInflight: 1,
            commandTimeout: .milliseconds(100),
            livenessTimeout: .milliseconds(200)
        )
        let postgres = try client(policy)
        let found = Collected<pid_t?>(nil)
        #expect(
            await eventually {
                let rows = try? await postgres.query("SELECT pg_backend_pid() AS p")
                found.update { $0 = rows?.first?["p"].flatMap { pid_t($0) } }
                return found.value != nil
            }
        )
        let process = try #require(found.value)
        kill(process, SIGSTOP)
        let (running, waiting) = (start("SELECT 1", postgres), start("SELECT 2", postgres))
        let errors = [await running.value, await waiting.value]
        #expect(errors.allSatisfy { $0?.code == .deadlineExceeded })
        #expect(Set(errors.map { $0?.outcome }) == [.indeterminate, .notSent])
        // The connection is given up, and the next query has another.
        #expect(await eventually { await failure(of: "SELECT 3", on: postgres) == nil })
        #expect(!postgres.hasEnded)
        kill(process, SIGCONT)
        await loop.shutdown()
    }

    @Test func aServerThatIsKilledEndsEveryAwait() async throws {
        let (policy, port) = (EndpointPolicy(maxInflight: 4, commandTimeout: nil), PostgresServer.victimPort)
        let io = try PostgresServer.clients(PostgresServer.spec(policy, port: port), on: loop)
        let postgres = try io.postgres("orders")
        let watcher = try client(port: port)
        let tasks = (0..<20).map { _ in
            Task {
                (await failure(of: "SELECT pg_sleep(3600) /* victim */", on: postgres), postgres.hasEnded)
            }
        }
        #expect(await runs("victim", 4, seenBy: watcher))
        kill(try #require(PostgresServer.victimPID), SIGKILL)
        var (outcomes, missed): ([PostgresError.Outcome?], Int) = ([], 0)
        for task in tasks {
            let (error, hadEnded) = await task.value
            #expect(error?.code == .connectionLost || error?.code == .connectFailed)
            outcomes.append(error?.outcome)
            missed += hadEnded ? 0 : 1
        }
        // Its connections end one after the other, and whoever hears of one is not given the client again.
        #expect(missed == 0)
        #expect(outcomes.filter { $0 == .indeterminate }.count == 4)
        #expect(outcomes.filter { $0 == .notSent }.count == 16)
        #expect(await eventually { postgres.hasEnded })
        let next = try io.postgres("orders")
        #expect(next !== postgres)
        #expect(await failure(of: "SELECT 1", on: next)?.code == .connectFailed)
        await io.close()
        await loop.shutdown()
    }
}
