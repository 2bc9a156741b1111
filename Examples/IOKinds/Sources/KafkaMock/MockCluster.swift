import CKafka

/// A cluster of one broker in this process: librdkafka's own, for tests.
@safe public final class MockCluster: @unchecked Sendable {
    // Safe to share: librdkafka's mock cluster is for any thread.
    private let owner: OpaquePointer
    private let cluster: OpaquePointer

    /// The broker's port on 127.0.0.1.
    public let port: Int

    /// Starts a cluster, or nothing if librdkafka cannot.
    public init?() {
        let configuration = unsafe rd_kafka_conf_new()
        // librdkafka copies both; they are right, so no words of its are needed.
        unsafe rd_kafka_conf_set(configuration, "test.mock.num.brokers", "1", nil, 0)
        unsafe rd_kafka_conf_set(configuration, "log_level", "0", nil, 0)
        guard let owner = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, configuration, nil, 0) else { return nil }
        guard let cluster = unsafe rd_kafka_handle_mock_cluster(owner),
            let addresses = unsafe rd_kafka_mock_cluster_bootstraps(cluster),
            // `host:port`, kept by the cluster and copied here.
            let port = unsafe Int(String(cString: addresses).split(separator: ":").last ?? "")
        else {
            unsafe rd_kafka_destroy(owner)
            return nil
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
