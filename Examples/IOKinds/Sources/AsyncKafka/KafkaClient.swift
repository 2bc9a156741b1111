@_spi(Driver) import AsyncIO
public import IOCalls
@_spi(Driver) import UVLoop

/// A client of one Kafka cluster, over librdkafka.
///
/// At most the endpoint's `maxInflight` messages are on their way, of all its clients together; further ones wait in turn. The client
/// never repeats a message. It ends when all brokers are gone: every message is then refused with the cause, and
/// ``AsyncIO/AsyncIOClients/kafka(_:)`` makes a new client. With a client end its sequences. One that nobody holds any more is shut
/// down.
///
/// Everything here may be called from any thread. A task that runs on the client's loop is served without leaving it; none sees the
/// threads: the client, and each of its sequences, has one of its own and those of an instance of librdkafka.
public final class KafkaClient: KindClient {
    let producer: KafkaProducer
    /// What ends the client with its last holder.
    public let lifetime: ClientLifetime

    /// Starts a thread that runs a body.
    typealias ThreadStarter = @Sendable (_ body: @escaping @Sendable () -> Void) throws(IOError) -> Void

    /// The system's own ``ThreadStarter``.
    @Sendable static func startThread(_ body: @escaping @Sendable () -> Void) throws(IOError) {
        try LoopThread.tryToStart(named: "kafka-poll", body)
    }

    /// Makes a client that begins to connect at once.
    init(
        _ spec: EndpointSpec,
        limiter: InflightLimiter,
        loop: EventLoop,
        startThread: @escaping ThreadStarter = startThread
    ) {
        producer = KafkaProducer(spec, limiter: limiter, loop: loop, startThread: startThread)
        lifetime = ClientLifetime(producer.calls)
        loop.post { [producer] in producer.open() }
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
            loop: producer.calls.loop
        )
        producer.calls.loop.post { [producer] in producer.open(consumer) }
        return KafkaMessages(lease: .init(consumer, self))
    }

    private static let topicCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

    /// Why a topic is none; nil if it may be one.
    ///
    /// Source: `Topic.validate` in Kafka's clients.
    private func refusal(of topic: String) -> KafkaError? {
        let isLegal = topic.utf8.allSatisfy(Self.topicCharacters.utf8.contains)
        guard !isLegal || !(1...249).contains(topic.utf8.count) || topic == "." || topic == ".." else {
            return nil
        }
        let message =
            "a topic has 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'"
        return KafkaError(.invalidCommand, .notSent, endpoint: endpoint, message)
    }

    func forget(_ consumer: KafkaConsumer) {
        producer.calls.loop.post { [producer] in producer.forget(consumer) }
    }
}
