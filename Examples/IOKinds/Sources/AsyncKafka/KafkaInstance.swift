import AsyncIO
import CKafka
import IOCalls

/// How an instance of librdkafka is set up.
@safe struct KafkaConfiguration {
    let type: rd_kafka_type_t
    let spec: EndpointSpec
    /// What is set beside that which all instances have.
    let settings: [(String, String)]
    /// What the callbacks are for; whoever uses the instance keeps it alive.
    let context: AnyObject
    /// Sets callbacks, which then are called on the thread that polls the instance.
    let prepare: (OpaquePointer) -> Void

    private var common: [(String, String)] {
        let policy = spec.policy
        // librdkafka takes no less, and no more; without a limit it has the longest that there is.
        let connectMilliseconds = max(1000, policy.connectTimeout.clampedMilliseconds)
        let silentMilliseconds = min(max(1000, policy.livenessTimeout?.clampedMilliseconds ?? .max), 300_000)
        return [
            ("bootstrap.servers", Self.broker(spec)), ("client.id", "async-kafka"),
            ("socket.connection.setup.timeout.ms", "\(connectMilliseconds)"),
            ("socket.timeout.ms", "\(silentMilliseconds)"),
            // Nothing is printed to the terminal; what matters comes as an error.
            ("log_level", "0"),
        ]
    }

    /// Makes an instance, which connects by itself; it may block.
    func makeInstance() throws(KafkaError) -> OpaquePointer {
        var error = [CChar](repeating: 0, count: 512)
        let configuration = unsafe rd_kafka_conf_new()
        func failed() -> KafkaError {
            // The instance owns the configuration; a failed call does not.
            unsafe rd_kafka_conf_destroy(configuration)
            let bytes = error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            let message = "librdkafka cannot be set up: \(String(decoding: bytes, as: UTF8.self))"
            return KafkaError(.connectFailed, .notSent, endpoint: spec.id, message)
        }
        for (name, value) in common + settings
        // librdkafka copies both.
        where unsafe rd_kafka_conf_set(configuration, name, value, &error, error.count) != RD_KAFKA_CONF_OK {
            throw failed()
        }
        unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(context).toOpaque())
        if let configuration = unsafe configuration { unsafe prepare(configuration) }
        guard let instance = unsafe rd_kafka_new(type, configuration, &error, error.count) else {
            throw failed()
        }
        if type == RD_KAFKA_CONSUMER { unsafe rd_kafka_poll_set_consumer(instance) }
        return unsafe instance
    }

    /// Where the thread that polls the instance waits.
    func queue(of instance: OpaquePointer) -> OpaquePointer? {
        type == RD_KAFKA_CONSUMER
            ? unsafe rd_kafka_queue_get_consumer(instance) : unsafe rd_kafka_queue_get_main(instance)
    }

    /// A broker's name as librdkafka reads it: an address of version 6 has colons of its own.
    static func broker(_ spec: EndpointSpec) -> String {
        let isBare = spec.host.contains(":") && !spec.host.hasPrefix("[")
        return isBare ? "[\(spec.host)]:\(spec.port)" : "\(spec.host):\(spec.port)"
    }
}

extension KafkaError {
    /// The error of an event of librdkafka's that says that the cluster cannot be reached; nil for any other event.
    ///
    /// It was lost if the instance has ever had an answer from it.
    static func outage(
        _ instance: OpaquePointer?,
        _ error: Int32,
        _ reason: UnsafePointer<CChar>?,
        endpoint: String
    ) -> KafkaError? {
        guard
            error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN.rawValue
                || error == RD_KAFKA_RESP_ERR__FATAL.rawValue
        else { return nil }
        // librdkafka's, during its call; it is copied.
        let words = unsafe reason.map { unsafe String(cString: $0) } ?? "no reason given"
        // Every answer that lists the brokers has it. Asked with no time it does not wait; the copy is given back.
        let cluster = unsafe rd_kafka_clusterid(instance, 0)
        defer { unsafe rd_kafka_mem_free(instance, cluster) }
        return KafkaError(
            unsafe cluster == nil ? .connectFailed : .connectionLost,
            .notSent,
            endpoint: endpoint,
            "the cluster cannot be reached: \(words)"
        )
    }
}
