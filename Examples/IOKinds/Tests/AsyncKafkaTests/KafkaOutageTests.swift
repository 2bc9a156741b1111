import IOCalls
import KafkaMock
import TestSupport
import Testing

@_spi(Driver) @testable import AsyncKafka
@_spi(Driver) import UVLoop

/// A cluster that goes away, or is not there, or says nothing.
@Suite(.serialized) struct KafkaOutageTests: KafkaSuite {
    let cluster: TestCluster

    init() throws {
        cluster = try TestCluster()
        cluster.mock.makeTopic("t", partitions: 1)
    }

    @Test func aClusterThatGoesAwayEndsEveryAwaitAndTheClient() async throws {
        let io = try cluster.clients(
            .init(maxInflight: 2, connectTimeout: .seconds(3600), commandTimeout: nil)
        )
        let kafka = try io.kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        var iterator = kafka.consume("t", from: .beginning).makeAsyncIterator()
        #expect(try await iterator.next() != nil)
        cluster.mock.delayAnswers(milliseconds: 3_600_000)
        let tasks = (0..<5).map { start("\($0)", kafka) }
        #expect(await holds(kafka, running: 2, waiting: 3))
        cluster.mock.goAway()
        var outcomes: [KafkaError.Outcome?] = []
        for task in tasks {
            let error = await task.value
            #expect(error?.code == .connectionLost)
            outcomes.append(error?.outcome)
        }
        // Three waited. Of the others each may have been stored, if librdkafka had sent it by then.
        let notSent = outcomes.count { $0 == .notSent }
        #expect(notSent >= 3)
        #expect(notSent + outcomes.count { $0 == .indeterminate } == 5)
        #expect(await eventually { kafka.hasEnded })
        let refused = await failure(of: "x", on: kafka)
        #expect(refused?.code == .connectionLost)
        #expect(refused?.outcome == .notSent)
        do throws(KafkaError) {
            while try await iterator.next() != nil {}
            Issue.record("the sequence ended as if nothing had happened")
        } catch {
            #expect(error.code == .connectionLost)
        }
        cluster.mock.delayAnswers(milliseconds: 0)
        cluster.mock.comeBack()
        let next = try io.kafka("events")
        #expect(next !== kafka)
        #expect(await failure(of: "x", on: next) == nil)
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func aClusterThatIsNotThereIsSaidAtOnce() async throws {
        let io = try cluster.clients(port: try ScriptedServer.closedPort())
        let kafka = try io.kafka("events")
        let error = await failure(of: "x", on: kafka)
        #expect(error?.code == .connectFailed)
        #expect(error?.outcome == .notSent)
        #expect(await eventually { kafka.hasEnded })
        for refused in [await failure(of: "x", on: kafka), await end(of: kafka.consume("t", from: .end))] {
            #expect(refused?.code == .connectFailed)
            #expect(refused?.outcome == .notSent)
        }
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func aClusterThatIsSilentIsNotWaitedForLongerThanConnectingMayTake() async throws {
        let silent = try SilentListener()
        let policy = EndpointPolicy(connectTimeout: .milliseconds(100), commandTimeout: nil)
        let kafka = try cluster.clients(policy, port: silent.port).kafka("events")
        let produced = Collected<[KafkaError?]>([])
        let producing = Task {
            let error = await failure(of: "x", on: kafka)
            produced.update { $0.append(error) }
        }
        let read = await end(of: kafka.consume("t", from: .beginning))
        #expect(read?.code == .connectTimedOut)
        #expect(read?.outcome == .notSent)
        // librdkafka takes a second for it at least, which it does not tell from a refusal.
        #expect(await eventually { !produced.value.isEmpty })
        #expect(produced.value.first??.code == .connectFailed)
        #expect(produced.value.first??.outcome == .notSent)
        kafka.shutdown()
        await producing.value
        withExtendedLifetime(silent) {}
        await cluster.loop.shutdown()
    }

    /// Nothing but the endpoint's `livenessTimeout` ends the wait for a broker that accepts everything and answers nothing.
    @Test func aClusterThatFallsSilentIsGivenUp() async throws {
        let policy = EndpointPolicy(
            connectTimeout: .seconds(3600),
            commandTimeout: nil,
            livenessTimeout: .milliseconds(1)
        )
        let kafka = try cluster.clients(policy).kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        // A reader, whose broker may wait before it answers, is given that time, too.
        var iterator = kafka.consume("t", from: .beginning).makeAsyncIterator()
        #expect(try await iterator.next() != nil)
        cluster.mock.delayAnswers(milliseconds: 3_600_000)
        let ended = Collected<KafkaError?>(nil)
        let producing = Task {
            let error = await failure(of: "y", on: kafka)
            ended.update { $0 = error }
        }
        // librdkafka takes a second for it at least.
        #expect(await eventually { ended.value != nil })
        #expect(ended.value?.outcome == .indeterminate)
        // Of its own request's time or, if another one's was over first, of the connection.
        #expect([.deadlineExceeded, .connectionLost].contains(ended.value?.code))
        kafka.shutdown()
        await producing.value
        await cluster.loop.shutdown()
    }

    /// The next call of a caller who has seen it is not refused with the same end.
    @Test func whoHearsOfTheEndGetsAnotherClientAtOnce() async throws {
        let io = try cluster.clients(port: try ScriptedServer.closedPort())
        for _ in 0..<5 {
            let kafka = try io.kafka("events")
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        #expect(await failure(of: "\(number)", on: kafka)?.code == .connectFailed)
                        #expect(kafka.hasEnded)
                    }
                }
            }
        }
        await io.close()
        await cluster.loop.shutdown()
    }

    /// The sequence's instance of librdkafka may hear of it before the client's.
    @Test(arguments: 0..<60) func whoHearsOfItFromASequenceGetsAnotherClientAtOnce(run: Int) async throws {
        let kafka = try cluster.clients().kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        var iterator = kafka.consume("t", from: .beginning).makeAsyncIterator()
        #expect(try await iterator.next() != nil)
        cluster.mock.goAway()
        let next = try? await iterator.next()
        let hasEnded = kafka.hasEnded
        #expect(next == nil)
        #expect(hasEnded)
        await cluster.loop.shutdown()
    }
}
