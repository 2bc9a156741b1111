import AsyncIO
import CKafka
import IOCalls

/// An instance of librdkafka, for the thread that has it.
@safe struct KafkaInstance {
    let pointer: OpaquePointer
    /// Where its thread waits for what it tells.
    let queue: OpaquePointer?
    let endpoint: String

    /// Makes an instance, which connects by itself; it may block.
    ///
    /// - Parameter settings: what is set beside that which all instances have.
    init(
        _ type: rd_kafka_type_t,
        _ spec: EndpointSpec,
        _ settings: KeyValuePairs<String, String>
    ) throws(KafkaError) {
        var error = [CChar](repeating: 0, count: 512)
        let configuration = unsafe rd_kafka_conf_new()
        func failed() -> KafkaError {
            // The instance owns the configuration; a failed call does not.
            unsafe rd_kafka_conf_destroy(configuration)
            let bytes = error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            let message = "librdkafka cannot be set up: \(String(decoding: bytes, as: UTF8.self))"
            return KafkaError(.connectFailed, .notSent, endpoint: spec.id, message)
        }
        for (name, value) in Self.common(spec) + settings
        // librdkafka copies both.
        where unsafe rd_kafka_conf_set(configuration, name, value, &error, error.count) != RD_KAFKA_CONF_OK {
            throw failed()
        }
        unsafe rd_kafka_conf_set_events(configuration, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR)
        guard let instance = unsafe rd_kafka_new(type, configuration, &error, error.count) else {
            throw failed()
        }
        let isConsumer = type == RD_KAFKA_CONSUMER
        if isConsumer { unsafe rd_kafka_poll_set_consumer(instance) }
        unsafe pointer = unsafe instance
        unsafe queue =
            isConsumer
            ? unsafe rd_kafka_queue_get_consumer(instance) : unsafe rd_kafka_queue_get_main(instance)
        endpoint = spec.id
    }

    private static func common(_ spec: EndpointSpec) -> [(String, String)] {
        // librdkafka takes no less, and no more; without a limit it has the longest that there is.
        let connectMilliseconds = max(1000, spec.policy.connectTimeout.clampedMilliseconds)
        let silence = spec.policy.livenessTimeout?.clampedMilliseconds ?? .max
        return [
            ("bootstrap.servers", broker(spec)), ("client.id", "async-kafka"),
            ("socket.connection.setup.timeout.ms", "\(connectMilliseconds)"),
            ("socket.timeout.ms", "\(min(max(1000, silence), 300_000))"),
            // Nothing is printed to the terminal; what matters comes as an error.
            ("log_level", "0"),
        ]
    }

    /// A broker's name as librdkafka reads it: an address of version 6 has colons of its own.
    static func broker(_ spec: EndpointSpec) -> String {
        let isBare = spec.host.contains(":") && !spec.host.hasPrefix("[")
        return isBare ? "[\(spec.host)]:\(spec.port)" : "\(spec.host):\(spec.port)"
    }

    /// Waits until there is something to tell, but no longer than so.
    ///
    /// - Parameter tell: given each message that was read, or has its delivery report; librdkafka's until it returns.
    /// - Returns: why nothing more can be done; nil if nothing has happened to the whole.
    func poll(milliseconds: Int32, _ tell: (UnsafePointer<rd_kafka_message_t>) -> Void) -> KafkaError? {
        guard let event = unsafe rd_kafka_queue_poll(queue, milliseconds) else { return nil }
        // Owned by this thread until it is destroyed.
        defer { unsafe rd_kafka_event_destroy(event) }
        while let message = unsafe rd_kafka_event_message_next(event) { unsafe tell(message) }
        let error = unsafe rd_kafka_event_error(event)
        switch error {
        case RD_KAFKA_RESP_ERR_NO_ERROR: return nil
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__FATAL:
            // The event's own; it is copied.
            let words = unsafe rd_kafka_event_error_string(event).map { unsafe String(cString: $0) }
            // It was lost if it has ever answered: every answer that lists the brokers has it. Asked with no time it does not wait.
            let cluster = unsafe rd_kafka_clusterid(pointer, 0)
            defer { unsafe rd_kafka_mem_free(pointer, cluster) }
            let code: KafkaError.Code = unsafe cluster == nil ? .connectFailed : .connectionLost
            let message = "the cluster cannot be reached: \(words ?? "no reason given")"
            return KafkaError(code, .notSent, endpoint: endpoint, message)
        default:
            // What is of no partition, such as the loss of one broker, is librdkafka's to mend.
            guard let partition = unsafe rd_kafka_event_topic_partition(event) else { return nil }
            unsafe rd_kafka_topic_partition_destroy(partition)
            return KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: endpoint)
        }
    }
}
