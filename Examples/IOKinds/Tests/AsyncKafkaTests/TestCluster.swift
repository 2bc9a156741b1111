@_spi(Driver) import AsyncIO
import KafkaMock
import TestSupport
import Testing

@_spi(Driver) @testable import AsyncKafka
@testable import IOCalls
@_spi(Driver) import UVLoop

/// A cluster of a test's own, and clients for it.
struct TestCluster {
    let mock: MockCluster
    let loop: EventLoop

    init() throws {
        mock = try MockCluster()
        loop = EventLoop(name: "kafka-test")
    }

    private func spec(_ policy: EndpointPolicy, port: Int? = nil) -> EndpointSpec {
        EndpointSpec(id: "events", kind: .kafka, host: "127.0.0.1", port: port ?? mock.port, policy: policy)
    }

    /// A client whose threads begin when the test says so, or not at all.
    func client(
        _ policy: EndpointPolicy = .patient,
        startThread: @escaping KafkaClient.ThreadStarter
    ) -> KafkaClient {
        KafkaClient(spec(policy), limiter: InflightLimiter(policy), loop: loop, startThread: startThread)
    }

    func clients(_ policy: EndpointPolicy = .patient, port: Int? = nil) throws -> AsyncIOClients {
        let spec = spec(policy, port: port)
        let other = EndpointSpec(id: "other", kind: EndpointKind("other"), host: "localhost", port: 1)
        let unix = EndpointSpec(id: "unix", kind: .kafka, socketPath: "/tmp/kafka")
        var secret = spec
        (secret.id, secret.credentials) = ("secret", EndpointCredentials(password: "p"))
        var numbered = spec
        (numbered.id, numbered.database) = ("numbered", "1")
        let all = [spec, other, unix, secret, numbered]
        return AsyncIOClients(loop: loop, endpoints: try EndpointRegistry(all))
    }
}

/// The error that a message ends with; nil if it is delivered.
func failure(of value: String, on kafka: KafkaClient, to topic: String = "t", timeout: Duration? = nil) async
    -> KafkaError?
{
    do throws(KafkaError) {
        try await kafka.produce(Array(value.utf8), to: topic, timeout: timeout)
        return nil
    } catch {
        return error
    }
}

/// The error that a sequence without messages ends with; nil if it ends without one.
func end(of messages: KafkaMessages) async -> KafkaError? {
    var iterator = messages.makeAsyncIterator()
    do throws(KafkaError) {
        while try await iterator.next() != nil {}
        return nil
    } catch {
        return error
    }
}

/// What the suites about ends begin with.
protocol KafkaSuite {
    var cluster: TestCluster { get }
}

extension KafkaSuite {
    func start(_ value: String, _ kafka: KafkaClient) -> Task<KafkaError?, Never> {
        Task { await failure(of: value, on: kafka) }
    }

    /// Waits until so many messages run and so many wait.
    func holds(_ kafka: KafkaClient, running: Int, waiting: Int = 0) async -> Bool {
        await eventually {
            await cluster.loop.run {
                kafka.producer.calls.running.count == running
                    && kafka.producer.calls.waitingCount == waiting
            }
        }
    }

    /// Whether a consumer's thread waits with a message in its hands.
    func isFull(_ consumer: KafkaConsumer) async -> Bool {
        await cluster.loop.run { consumer.inlet?.blockedThreads == 1 }
    }
}
