@_spi(Driver) import AsyncIO
import CKafka
import IOCalls
@_spi(Driver) import UVLoop

/// The server of a client's calls: hands messages to librdkafka, and hears of each from its poll thread.
///
/// It belongs to its loop's thread.
final class KafkaProducer: CallServer, @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.
    typealias Kind = Kafka

    struct Request: Sendable {
        let topic: String
        let key: [UInt8]?
        let value: [UInt8]
    }

    typealias Value = KafkaReceipt
    typealias Running = Never

    /// What the poll thread tells the loop.
    enum Event: Sendable {
        /// A message's delivery report.
        case reported(CallOf<KafkaProducer>, Result<KafkaReceipt, KafkaError>)
        /// The cluster cannot be reached.
        case outage(KafkaError)
    }

    /// How many reports may be on their way to the loop before the poll thread waits.
    private static let maxReports = 1024

    let calls: Calls<KafkaProducer>
    let spec: EndpointSpec
    private var handle: KafkaHandle?
    private var events: LoopInlet<Event>?
    private var outage: KafkaError?
    private var isPurged = false
    private var consumers: [ObjectIdentifier: KafkaConsumer] = [:]
    /// How many poll threads there are.
    private(set) var threadCount = 0

    init(_ spec: EndpointSpec, limiter: InflightLimiter, loop: EventLoop) {
        self.spec = spec
        calls = Calls(spec, lanes: 1, limiter: limiter, loop: loop)
        calls.server = self
    }

    // MARK: Connect

    /// Makes librdkafka's instance, which connects by itself.
    func open() {
        guard calls.failure == nil else { return }
        let events: LoopInlet<Event>
        do throws(IOError) {
            events = try LoopInlet(
                on: calls.loop,
                capacity: Self.maxReports,
                arrived: { [weak self] in self?.takeEvents() },
                loopWillShutDown: { [weak self] in self?.loopWillShutDown() }
            )
        } catch {
            return calls.end(calls.shutDown)
        }
        self.events = events
        let context = KafkaContext(endpoint: spec.id, events: events)
        do throws(KafkaError) {
            let handle = unsafe try KafkaHandle(RD_KAFKA_PRODUCER, spec, settings, context: context) {
                configuration in
                unsafe rd_kafka_conf_set_dr_msg_cb(configuration, reportCallback)
                unsafe rd_kafka_conf_set_error_cb(configuration, errorCallback)
            }
            self.handle = handle
            run(handle, context) { KafkaProducer.poll(handle) }
            calls.addSeats(.max)
        } catch {
            calls.end(error)
        }
    }

    /// A message is sent once, at once, and given up when the endpoint's time is over.
    private var settings: [(String, String)] {
        // 0 stands for no limit.
        let milliseconds = spec.policy.commandTimeout?.clampedMilliseconds ?? 0
        return [
            ("message.send.max.retries", "0"), ("linger.ms", "0"), ("message.timeout.ms", "\(milliseconds)"),
        ]
    }

    /// Runs a handle's thread, and counts it until it has ended.
    func run(_ handle: KafkaHandle, _ context: any Sendable, _ poll: @escaping @Sendable () -> Void) {
        threadCount += 1
        handle.start(context: context, poll: poll) { [self] in
            calls.loop.post { [self] in
                threadCount -= 1
                stopIfDone()
            }
        }
    }

    /// What the thread does: it calls the callbacks until it is told to stop, and then for what is given up with it.
    private static func poll(_ handle: KafkaHandle) {
        while !handle.isStopping { unsafe rd_kafka_poll(handle.instance, KafkaHandle.pollMilliseconds) }
        unsafe rd_kafka_purge(handle.instance, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
        // Each message has its report by now, or a moment later.
        while unsafe rd_kafka_outq_len(handle.instance) > 0 { unsafe rd_kafka_poll(handle.instance, 10) }
    }

    // MARK: Calls

    static func byteCount(of request: Request) -> Int { request.value.count + (request.key?.count ?? 0) }

    func start(_ call: CallOf<KafkaProducer>) {
        if let outage { return calls.finish(call, .failure(outage.with(.notSent))) }
        guard let handle else { return calls.finish(call, .failure(calls.shutDown)) }
        let request = call.request
        // Released by its delivery report, which librdkafka makes for every message that it accepts.
        let reference = unsafe Unmanaged.passRetained(call)
        let key = request.key ?? []
        let error = unsafe key.withUnsafeBufferPointer { bytes in
            // A key that is there and empty has an address, too. librdkafka copies key and value before it returns.
            let start = unsafe request.key == nil ? nil : bytes.baseAddress ?? UnsafePointer(bitPattern: 1)
            return unsafe ckafka_produce(
                handle.instance,
                request.topic,
                start,
                key.count,
                request.value,
                request.value.count,
                reference.toOpaque()
            )
        }
        guard error != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        unsafe reference.release()
        let failure = KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: spec.id)
        calls.finish(call, .failure(failure.with(.notSent)))
    }

    /// librdkafka takes no single message back: it is sent, or given up when its time is over, and reported then.
    func abandon(_ call: CallOf<KafkaProducer>) -> CallOutcome {
        // With their client all are given up.
        if calls.failure != nil { purge() }
        return .indeterminate
    }

    private func purge() {
        guard let handle, !isPurged else { return }
        isPurged = true
        let flags = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING
        unsafe rd_kafka_purge(handle.instance, flags)
    }

    func tick(_ now: UInt64) -> Bool {
        // Calls that were abandoned before the client ended are not abandoned again.
        if calls.failure != nil { purge() }
        return false
    }

    // MARK: Told by the poll thread

    private func takeEvents() {
        guard let events else { return }
        for event in events.take() {
            switch event {
            case .reported(let call, .failure(let error)) where error.code == .connectionLost:
                calls.finish(call, .failure(outage?.with(error.outcome) ?? error))
            case .reported(let call, let result): calls.finish(call, result)
            case .outage(let error): lost(error)
            }
        }
        // What was given up has been reported, each message with its own outcome.
        if let outage, calls.runningCalls.isEmpty { calls.end(outage) }
    }

    private func lost(_ error: KafkaError) {
        guard outage == nil else { return }
        outage = error
        purge()
    }

    private func loopWillShutDown() {
        calls.end(calls.shutDown)
        // Nobody hears of reports any more.
        for call in calls.runningCalls { calls.finish(call, .failure(calls.shutDown)) }
    }

    // MARK: Consumers

    /// Begins to read for a consumer.
    func open(_ consumer: KafkaConsumer) {
        if let failure = calls.failure { return consumer.end(failure) }
        consumers[ObjectIdentifier(consumer)] = consumer
        consumer.open(self)
    }

    /// Nobody holds a consumer's sequence any more.
    func forget(_ consumer: KafkaConsumer) {
        consumers[ObjectIdentifier(consumer)] = nil
        consumer.end(nil)
    }

    // MARK: End

    func stop() {
        for consumer in consumers.values { consumer.end(calls.failure) }
        consumers = [:]
        handle?.stop()
        handle = nil
        stopIfDone()
    }

    private func stopIfDone() {
        guard handle == nil, threadCount == 0, calls.failure != nil else { return }
        events?.close()
        events = nil
        calls.stopped()
    }
}

// MARK: - Called by librdkafka, on the poll thread

private func reportCallback(
    _: OpaquePointer?,
    _ message: UnsafePointer<rd_kafka_message_t>?,
    _ context: UnsafeMutableRawPointer?
) {
    guard let message = unsafe message, let opaque = unsafe message.pointee._private,
        let shared = unsafe KafkaContext<KafkaProducer.Event>.of(context)
    else { return }
    // `start(_:)` retained it for this report.
    let call = unsafe Unmanaged<CallOf<KafkaProducer>>.fromOpaque(opaque).takeRetainedValue()
    let result: Result<KafkaReceipt, KafkaError>
    // librdkafka's own, during this call; the status lies behind it in memory, so no copy of it will do.
    let report = unsafe message.pointee
    if unsafe report.err == RD_KAFKA_RESP_ERR_NO_ERROR {
        result = unsafe .success(KafkaReceipt(partition: Int(report.partition), offset: Int(report.offset)))
    } else {
        let status = unsafe rd_kafka_message_status(message)
        result = unsafe .failure(KafkaError(report.err, status, endpoint: shared.endpoint))
    }
    // Waits while too many are on their way; without a loop nobody wants it.
    _ = shared.events.send(.reported(call, result))
}

private func errorCallback(
    _ instance: OpaquePointer?,
    _ error: Int32,
    _ reason: UnsafePointer<CChar>?,
    _ context: UnsafeMutableRawPointer?
) {
    guard let shared = unsafe KafkaContext<KafkaProducer.Event>.of(context),
        let outage = unsafe KafkaHandle.outage(instance, error, reason, endpoint: shared.endpoint)
    else { return }
    _ = shared.events.send(.outage(outage))
}
