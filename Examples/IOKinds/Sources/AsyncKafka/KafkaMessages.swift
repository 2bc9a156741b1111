public import IOCalls
import UVLoop

/// The messages of a topic, as they come.
///
/// At most so many as its buffer has places are read ahead; while they are not taken nothing more is read. The order is that of each
/// partition. The sequence can be iterated once, by several tasks if need be, each message going to one of them: one task waits for
/// it, and of further ones the endpoint's `maxWaiting` in line. It ends when its client is closed, and fails when the cluster
/// cannot be reached.
public struct KafkaMessages: AsyncSequence, Sendable {
    /// What the sequence gives.
    public typealias Element = KafkaMessage
    /// How it fails.
    public typealias Failure = KafkaError

    /// Ends the reading when nobody holds the sequence any more.
    final class Lease: Sendable {
        let consumer: KafkaConsumer
        private let client: KafkaClient

        init(_ consumer: KafkaConsumer, _ client: KafkaClient) {
            self.consumer = consumer
            self.client = client
        }

        deinit { client.forget(consumer) }
    }

    let lease: Lease

    /// Makes an iterator.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lease: lease) }

    /// Iterates over the messages.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let lease: Lease
        private var isOver = false

        init(lease: Lease) { self.lease = lease }

        /// Waits for the next message.
        ///
        /// - Returns: the message, or nil at the end.
        /// - Throws: ``KafkaError``: `cancelled`, `deadlineExceeded` at the end of ``AsyncIO/withIOTimeout(_:_:)``, and `overloaded`
        ///   if too many tasks wait, after each of which the sequence goes on; `invalidCommand` for a topic that cannot be one,
        ///   `connectFailed`, `connectTimedOut`, `connectionLost`, the cluster's own codes and `loopShutDown`, with which it ends.
        public mutating func next() async throws(KafkaError) -> KafkaMessage? {
            try await next(isolation: #isolation)
        }

        /// As ``next()``.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(KafkaError) -> KafkaMessage? {
            guard !isOver else { return nil }
            let message = try await lease.consumer.calls.perform((), timeout: nil)
            isOver = message == nil
            return message
        }
    }
}
