@_spi(Driver) public import AsyncIO
public import IOCalls
import UVLoop

/// A client of one Kafka cluster, over librdkafka.
///
/// At most the endpoint's `maxInflight` messages are on their way, of all its clients together; further ones wait in turn. The client
/// never repeats a message. It ends when all brokers are gone: every message is then refused with the cause, and
/// ``AsyncIO/AsyncIOClients/kafka(_:)`` makes a new client. A client that nobody holds any more is shut down.
///
/// Everything here may be called from any thread. A task that runs on the client's loop is served without leaving it; none sees the
/// threads: the client, and each of its sequences, has one of its own and those of an instance of librdkafka.
public final class KafkaClient: Sendable {
    let producer: KafkaProducer
    /// Keeps the loop alive for as long as the client is.
    private let loop: EventLoop

    /// The endpoint's id.
    public var endpoint: String { producer.calls.endpoint }

    /// Makes a client that begins to connect at once.
    init(
        _ spec: EndpointSpec,
        limiter: InflightLimiter,
        loop: EventLoop,
        startThread: @escaping PollThread.Starter = PollThread.start
    ) {
        self.loop = loop
        producer = KafkaProducer(spec, limiter: limiter, loop: loop, startThread: startThread)
        loop.post { [producer] in producer.open() }
    }

    deinit {
        loop.post { [producer] in producer.calls.shutdown() }
    }

    // MARK: Messages

    /// Sends one message, and waits for its delivery report.
    ///
    /// A wait that ends early does not take the message back. librdkafka gives it up, and its permit is free, when the endpoint's
    /// `commandTimeout` has passed since it was handed over. Without a `commandTimeout` that never happens while a broker is up: a
    /// message whose partition has no leader is kept until it has one, or the client ends. One that was sent to a broker which does
    /// not answer is given up some seconds after the endpoint's `livenessTimeout`.
    ///
    /// - Parameters:
    ///   - value: what it says.
    ///   - topic: the topic, of 1 to 249 characters of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`.
    ///   - key: messages of one key go to one partition; nil for any.
    ///   - timeout: the most time it may take; the endpoint's `commandTimeout` and ``AsyncIO/withIOTimeout(_:_:)`` hold beside it.
    /// - Returns: where it was stored.
    /// - Throws: ``KafkaError``: the cluster's own codes (*rejected*), `invalidCommand`, `messageTooLarge`, `connectFailed`,
    ///   `connectionLost`, `overloaded`, `clientClosed`, `loopShutDown`, `cancelled` and `deadlineExceeded`: *notSent* if the message
    ///   was never sent, *indeterminate* if it may have been stored.
    @discardableResult
    public func produce(
        _ value: [UInt8],
        to topic: String,
        key: [UInt8]? = nil,
        timeout: Duration? = nil
    ) async throws(KafkaError) -> KafkaReceipt {
        if let refusal = refusal(of: topic) { throw refusal }
        return try await producer.calls.perform(.init(topic: topic, key: key, value: value), timeout: timeout)
    }

    /// Reads a topic's messages, of all partitions it has now.
    ///
    /// It returns at once, and reads with connections of its own until nobody holds the sequence. It is in no consumer group and
    /// commits nothing.
    ///
    /// - Parameters:
    ///   - topic: the topic; one that ``produce(_:to:key:timeout:)`` refuses is what the sequence fails with.
    ///   - start: where to begin.
    ///   - buffer: how many messages this sequence may read ahead; less than 1 stands for 1. librdkafka reads about a MiB ahead besides.
    /// - Returns: the messages.
    public func consume(_ topic: String, from start: KafkaStart, buffer: Int = 100) -> KafkaMessages {
        let consumer = KafkaConsumer(
            producer.spec,
            topic: topic,
            from: start,
            buffer: max(1, buffer),
            end: refusal(of: topic),
            loop: loop
        )
        loop.post { [producer] in producer.open(consumer) }
        return KafkaMessages(lease: .init(consumer, self))
    }

    /// Why a topic is none; nil if it may be one.
    ///
    /// Source: `Topic.validate` in Kafka's clients.
    private func refusal(of topic: String) -> KafkaError? {
        let isLegal = topic.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard !isLegal || !(1...249).contains(topic.utf8.count) || topic == "." || topic == ".." else {
            return nil
        }
        let message =
            "a topic has 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'"
        return KafkaError(.invalidCommand, .notSent, endpoint: endpoint, message)
    }

    func forget(_ consumer: KafkaConsumer) {
        loop.post { [producer] in producer.forget(consumer) }
    }

    // MARK: Close

    /// Whether the client has been closed, or its cluster is gone: every further message is refused.
    public var hasEnded: Bool { producer.calls.hasEnded }

    /// Closes the client: new messages are refused at once, those accepted get their reports, then the connections are closed.
    ///
    /// Sequences end.
    ///
    /// - Parameter timeout: how long reports are waited for. What has none by then fails.
    public func close(timeout: Duration) async { await producer.calls.close(timeout: timeout) }

    /// Closes the client, waiting at most five seconds for reports.
    ///
    /// See ``close(timeout:)``.
    public func close() async { await close(timeout: .seconds(5)) }

    /// Ends the client at once.
    ///
    /// Messages that wait fail: *notSent* those that have not been handed over, *indeterminate* the others.
    public func shutdown() { producer.calls.shutdown() }
}

extension KafkaClient: IOClient {}
