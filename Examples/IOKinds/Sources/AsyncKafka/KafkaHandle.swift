import AsyncIO
import CKafka
import Glibc
import IOCalls
@_spi(Driver) import UVLoop

/// An instance of librdkafka, and the thread that polls it.
///
/// Any thread may use the instance until it has told it to stop; its own thread destroys it.
@safe final class KafkaHandle: @unchecked Sendable {
    // Safe to share: librdkafka's instance is for any thread, and `state` synchronises itself.
    let instance: OpaquePointer
    /// Where its thread waits for something to do.
    private let queue: OpaquePointer
    private struct State {
        var isStopping = false
        var isGone = false
    }

    private let state = Locked(State())

    /// How long its thread waits at most before it looks whether to stop; it is woken for that, too.
    static let pollMilliseconds: Int32 = 500

    /// Makes an instance, which connects by itself.
    ///
    /// - Parameters:
    ///   - context: what the callbacks that `prepare` sets are for; kept alive by the thread.
    ///   - prepare: sets callbacks, which then are called on the handle's thread.
    init(
        _ type: rd_kafka_type_t,
        _ spec: EndpointSpec,
        _ settings: [(String, String)],
        context: AnyObject,
        prepare: (OpaquePointer) -> Void
    ) throws(KafkaError) {
        var error = [CChar](repeating: 0, count: 512)
        func failed() -> KafkaError {
            let words = String(
                decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
                as: UTF8.self
            )
            return KafkaError(
                .connectFailed,
                .notSent,
                endpoint: spec.id,
                "librdkafka cannot be set up: \(words)"
            )
        }
        let configuration = unsafe rd_kafka_conf_new()
        // librdkafka takes no less.
        let connectMilliseconds = max(1000, spec.policy.connectTimeout.clampedMilliseconds)
        let common = [
            ("bootstrap.servers", Self.broker(spec)), ("client.id", "async-kafka"),
            ("socket.connection.setup.timeout.ms", "\(connectMilliseconds)"),
            // Nothing is printed to the terminal; what matters comes as an error.
            ("log_level", "0"),
        ]
        for (name, value) in common + settings
        // librdkafka copies both.
        where unsafe rd_kafka_conf_set(configuration, name, value, &error, error.count) != RD_KAFKA_CONF_OK {
            unsafe rd_kafka_conf_destroy(configuration)
            throw failed()
        }
        // The thread holds it until the instance is gone.
        unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(context).toOpaque())
        if let configuration = unsafe configuration { unsafe prepare(configuration) }
        // The instance owns the configuration from here on; a failed call does not.
        guard let instance = unsafe rd_kafka_new(type, configuration, &error, error.count) else {
            unsafe rd_kafka_conf_destroy(configuration)
            throw failed()
        }
        unsafe self.instance = unsafe instance
        if type == RD_KAFKA_CONSUMER {
            unsafe rd_kafka_poll_set_consumer(instance)
            unsafe queue = unsafe rd_kafka_queue_get_consumer(instance)
        } else {
            unsafe queue = unsafe rd_kafka_queue_get_main(instance)
        }
    }

    /// A broker's name as librdkafka reads it: an address of version 6 has colons of its own.
    static func broker(_ spec: EndpointSpec) -> String {
        let isBare = spec.host.contains(":") && !spec.host.hasPrefix("[")
        return isBare ? "[\(spec.host)]:\(spec.port)" : "\(spec.host):\(spec.port)"
    }

    /// Whether the thread is to end.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Has the thread end, and the instance with it.
    func stop() {
        state.withLock { state in
            state.isStopping = true
            // Under the lock: the thread does not destroy the queue meanwhile.
            if !state.isGone { unsafe rd_kafka_queue_yield(queue) }
        }
    }

    /// Starts the thread, which destroys the instance when `poll` returns, and then calls `ended`.
    func start(
        context: any Sendable,
        poll: @escaping @Sendable () -> Void,
        ended: @escaping @Sendable () -> Void
    ) {
        PollThread.start { [self] in
            poll()
            state.withLock { $0.isGone = true }
            unsafe rd_kafka_queue_destroy(queue)
            // It waits until its own threads are gone; a consumer is in no group that it would have to leave first.
            unsafe rd_kafka_destroy_flags(instance, Int32(RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE))
            withExtendedLifetime(context) {}
            ended()
        }
    }

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

/// What librdkafka's callbacks know, on a handle's thread: whom to tell.
final class KafkaContext<Event: Sendable>: Sendable {
    let endpoint: String
    let events: LoopInlet<Event>

    init(endpoint: String, events: LoopInlet<Event>) {
        self.endpoint = endpoint
        self.events = events
    }

    /// The context that a callback is given.
    static func of(_ pointer: UnsafeMutableRawPointer?) -> KafkaContext? {
        // The handle's thread, on which callbacks are called, holds it.
        unsafe pointer.map { unsafe Unmanaged<KafkaContext>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// A detached thread that runs one body.
private enum PollThread {
    final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func start(_ body: @escaping @Sendable () -> Void) {
        // Retained here, released by the thread that it is handed to.
        let start = unsafe Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let failure = unsafe pthread_create(&thread, nil, kafkaThreadMain, start.toOpaque())
        guard failure == 0 else {
            unsafe start.release()
            // Without it what was accepted would never end, and no caller could be told.
            fatalError("pthread_create failed (errno \(failure)): the process may start no further thread")
        }
        pthread_detach(thread)
    }
}

private func kafkaThreadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    // `start(_:)` retained it for this thread.
    let start = unsafe Unmanaged<PollThread.Start>.fromOpaque(argument).takeRetainedValue()
    unsafe ckafka_name_current_thread("kafka-poll")
    start.body()
    return nil
}
