import CKafka

/// Why there is no mock cluster.
public struct MockClusterError: Error, CustomStringConvertible {
    /// librdkafka's reason.
    let reason: String

    /// What went wrong, and what to do.
    public var description: String {
        """
        librdkafka's mock cluster could not be started: \(reason). It needs librdkafka 1.3 or later, a free port on 127.0.0.1, \
        and some descriptors and threads.
        """
    }
}

/// A cluster in this process: librdkafka's own, for tests.
@safe public final class MockCluster: @unchecked Sendable {
    // Safe to share: librdkafka's mock cluster is for any thread.
    private let owner: OpaquePointer
    private let cluster: OpaquePointer

    /// The broker's port on 127.0.0.1.
    public let port: Int

    /// Starts a cluster.
    ///
    /// - Parameter brokers: how many brokers it has, at least 1.
    /// - Throws: ``MockClusterError`` if librdkafka cannot; nothing of it is left behind.
    public init(brokers: Int = 1) throws(MockClusterError) {
        var words = [CChar](repeating: 0, count: 512)
        let configuration = unsafe rd_kafka_conf_new()
        func failed() -> MockClusterError {
            // The instance owns the configuration; a failed call does not.
            unsafe rd_kafka_conf_destroy(configuration)
            return MockClusterError(
                reason: String(decoding: words.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            )
        }
        for (name, value) in [("test.mock.num.brokers", "\(brokers)"), ("log_level", "0")]
        // librdkafka copies both.
        where unsafe rd_kafka_conf_set(configuration, name, value, &words, words.count) != RD_KAFKA_CONF_OK {
            throw failed()
        }
        guard let owner = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, configuration, &words, words.count) else {
            throw failed()
        }
        guard let cluster = unsafe rd_kafka_handle_mock_cluster(owner),
            let addresses = unsafe rd_kafka_mock_cluster_bootstraps(cluster),
            // `host:port`, kept by the cluster and copied here.
            let port = unsafe Int(String(cString: addresses).split(separator: ":").last ?? "")
        else {
            // With it goes whatever it has made of a cluster.
            unsafe rd_kafka_destroy(owner)
            throw MockClusterError(reason: "it has made no broker")
        }
        unsafe (self.owner, self.cluster) = unsafe (owner, cluster)
        self.port = port
    }

    deinit {
        // The cluster is its owner's.
        unsafe rd_kafka_destroy(owner)
    }

    /// Makes a topic.
    public func makeTopic(_ name: String, partitions: Int) {
        unsafe rd_kafka_mock_topic_create(cluster, name, Int32(partitions), 1)
    }

    /// Has the broker let every request wait so long before it is answered.
    public func delayAnswers(milliseconds: Int) {
        unsafe rd_kafka_mock_broker_set_rtt(cluster, 1, Int32(milliseconds))
    }

    /// Has the broker refuse the next message: as too large, or as one that its sender has no right to send.
    public func refuseNextMessage(isTooLarge: Bool = false) {
        // The number of `Produce` in Kafka's protocol.
        let produce: Int16 = 0
        var errors = [
            isTooLarge ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE : RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        ]
        unsafe rd_kafka_mock_push_request_errors_array(cluster, produce, errors.count, &errors)
    }

    /// Has the broker refuse everything of a topic, as one that its readers have no right to read.
    public func hide(_ topic: String) {
        unsafe rd_kafka_mock_topic_set_error(cluster, topic, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    }

    /// Ends the broker's connections and lets nobody connect, until `comeBack()`.
    public func goAway() { unsafe rd_kafka_mock_broker_set_down(cluster, 1) }

    /// Lets clients connect again.
    public func comeBack() { unsafe rd_kafka_mock_broker_set_up(cluster, 1) }
}
