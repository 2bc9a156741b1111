@_spi(Driver) import AsyncIO
import CKafka
import IOCalls
@_spi(Driver) import UVLoop

/// The server of a client's calls: hands messages to the thread that has librdkafka, and hears of each from it.
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

    /// What the thread tells the loop.
    enum Event: Sendable {
        /// A message's delivery report.
        case reported(CallOf<KafkaProducer>, Result<KafkaReceipt, KafkaError>)
        /// The cluster cannot be reached.
        case outage(KafkaError)
    }

    /// How many reports may be on their way to the loop before the thread waits.
    private static let maxReports = 1024

    let calls: Calls<KafkaProducer>
    let spec: EndpointSpec
    private let thread = KafkaThread<CallOf<KafkaProducer>>()
    private let startThread: PollThread.Starter
    private(set) var events: LoopInlet<Event>?
    private var outage: KafkaError?
    private var isStopping = false
    private var consumers: [ObjectIdentifier: KafkaConsumer] = [:]
    /// How many threads there are, the consumers' among them.
    private(set) var threadCount = 0

    init(
        _ spec: EndpointSpec,
        limiter: InflightLimiter,
        loop: EventLoop,
        startThread: @escaping PollThread.Starter
    ) {
        self.spec = spec
        self.startThread = startThread
        calls = Calls(spec, lanes: 1, limiter: limiter, loop: loop)
        calls.server = self
    }

    // MARK: Connect

    /// Starts the thread, which makes librdkafka's instance; that connects by itself.
    func open() {
        guard calls.failure == nil else { return }
        do {
            let events = try LoopInlet<Event>(
                on: calls.loop,
                capacity: Self.maxReports,
                arrived: { [weak self] in self?.takeEvents() },
                loopWillShutDown: { [weak self] in self?.loopWillShutDown() }
            )
            self.events = events
            // After the loop's shutdown a report still gives its permit back.
            let context = KafkaContext(endpoint: spec.id, events: events) { [self] event in
                calls.loop.post { [self] in take(event) }
            }
            try run { [thread, spec] in KafkaProducer.work(thread, spec, context) }
            calls.addSeats(.max)
        } catch let error as KafkaError {
            calls.end(error)
        } catch {
            calls.end(calls.shutDown)
        }
    }

    /// Runs `body` on a thread, which is counted until it has ended; `over` is called on the loop then.
    func run(
        _ body: @escaping @Sendable () -> Void,
        over: @escaping @Sendable () -> Void = {}
    ) throws(KafkaError) {
        let failure = startThread { [self] in
            body()
            calls.loop.post { [self] in
                threadCount -= 1
                over()
                stopIfDone()
            }
        }
        guard failure == 0 else {
            let message = "the system starts no further thread"
            let cause = IOError(errno: failure)
            throw KafkaError(.connectFailed, .notSent, endpoint: spec.id, message, ioError: cause)
        }
        threadCount += 1
    }

    // MARK: Calls

    static func byteCount(of request: Request) -> Int { request.value.count + (request.key?.count ?? 0) }

    func start(_ call: CallOf<KafkaProducer>) {
        guard outage == nil, thread.hand(call) else {
            return calls.finish(call, .failure((outage ?? calls.shutDown).with(.notSent)))
        }
    }

    /// librdkafka takes no single message back: it is sent, or given up when its time is over, and reported then.
    func abandon(_ call: CallOf<KafkaProducer>) -> CallOutcome {
        // With their client all are given up.
        if calls.failure != nil { thread.stop() }
        return .indeterminate
    }

    func tick(_ now: UInt64) -> Bool {
        takeEvents()
        // Calls that were abandoned before the client ended are not abandoned again.
        if calls.failure != nil { thread.stop() }
        return false
    }

    // MARK: Told by the thread

    private func takeEvents() {
        for event in events?.take() ?? [] { take(event) }
        // What was given up has been reported, each message with its own outcome.
        if let outage, !calls.isRunning { calls.end(outage) }
    }

    private func take(_ event: Event) {
        switch event {
        case .reported(let call, .failure(let error)) where error.code == .connectionLost:
            let cause = calls.failure ?? outage ?? error
            calls.finish(call, .failure(cause.with(error.outcome)))
        case .reported(let call, let result):
            calls.finish(call, result)
        case .outage(let error):
            lost(error)
        }
    }

    /// The cluster cannot be reached: what is on its way is given up, and then the client ends.
    func lost(_ error: KafkaError) {
        outage = outage ?? error
        calls.refuse(error)
        thread.stop()
        if !calls.isRunning { calls.end(error) }
    }

    private func loopWillShutDown() {
        // What was reported before was delivered.
        takeEvents()
        calls.end(calls.shutDown)
        // Nobody tells it the time any more: what was abandoned before is given up now.
        thread.stop()
    }

    // MARK: Consumers

    /// Begins to read for a consumer.
    func open(_ consumer: KafkaConsumer) {
        if let failure = calls.failure { consumer.end(failure) }
        consumers[ObjectIdentifier(consumer)] = consumer
        consumer.open(self)
    }

    /// Nobody holds a consumer's sequence any more.
    func forget(_ consumer: KafkaConsumer) {
        consumers[ObjectIdentifier(consumer)] = nil
        consumer.calls.shutdown()
    }

    // MARK: End

    func stop() {
        isStopping = true
        for consumer in consumers.values { consumer.end(calls.failure ?? calls.shutDown) }
        consumers = [:]
        thread.stop()
        stopIfDone()
    }

    private func stopIfDone() {
        guard isStopping, threadCount == 0 else { return }
        events?.close()
        events = nil
        calls.stopped()
    }
}

// MARK: - The thread

extension KafkaProducer {
    /// What the thread does: it hands messages to librdkafka and calls the callbacks, until it is told to end; what is on its way
    /// then is given up.
    private static func work(
        _ thread: KafkaThread<CallOf<KafkaProducer>>,
        _ spec: EndpointSpec,
        _ context: KafkaContext<Event>
    ) {
        // A message is sent once, at once, and given up when the endpoint's time is over; 0 stands for no limit.
        let milliseconds = spec.policy.commandTimeout?.clampedMilliseconds ?? 0
        let configuration = unsafe KafkaConfiguration(
            type: RD_KAFKA_PRODUCER,
            spec: spec,
            settings: [
                ("message.send.max.retries", "0"), ("linger.ms", "0"),
                ("message.timeout.ms", "\(milliseconds)"),
            ],
            context: context,
            prepare: { configuration in
                unsafe rd_kafka_conf_set_dr_msg_cb(configuration, reportCallback)
                unsafe rd_kafka_conf_set_error_cb(configuration, errorCallback)
            }
        )
        do throws(KafkaError) {
            unsafe try thread.withInstance(configuration) { instance in
                while let calls = thread.take() {
                    for call in calls { unsafe produce(call, instance, context) }
                    unsafe rd_kafka_poll(instance, thread.pollMilliseconds)
                }
                let everything = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
                // Until each message has its report: a purge misses one that is just between two of librdkafka's queues. It is not
                // waited for: one of librdkafka's threads may be looking a name up.
                repeat {
                    unsafe rd_kafka_purge(instance, everything | RD_KAFKA_PURGE_F_NON_BLOCKING)
                    unsafe rd_kafka_poll(instance, 10)
                } while unsafe rd_kafka_outq_len(instance) > 0
            }
        } catch {
            context.tell(.outage(error))
        }
        let unsent = RD_KAFKA_MSG_STATUS_NOT_PERSISTED
        for call in thread.close() {
            let error = KafkaError(RD_KAFKA_RESP_ERR__PURGE_QUEUE, unsent, endpoint: spec.id)
            context.tell(.reported(call, .failure(error)))
        }
        withExtendedLifetime(context) {}
    }

    private static func produce(
        _ call: CallOf<KafkaProducer>,
        _ instance: OpaquePointer,
        _ context: KafkaContext<Event>
    ) {
        let request = call.request
        // Released by its delivery report, which librdkafka makes for every message that it accepts.
        let reference = unsafe Unmanaged.passRetained(call)
        let key = request.key ?? []
        let error = unsafe key.withUnsafeBufferPointer { bytes in
            // A key that is there and empty has an address, too. librdkafka copies key and value before it returns.
            let start = unsafe request.key == nil ? nil : bytes.baseAddress ?? UnsafePointer(bitPattern: 1)
            return unsafe ckafka_produce(
                instance,
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
        let failure = KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: context.endpoint)
        context.tell(.reported(call, .failure(failure.with(.notSent))))
    }
}

// MARK: - Called by librdkafka, on the thread that polls

private func reportCallback(
    _: OpaquePointer?,
    _ message: UnsafePointer<rd_kafka_message_t>?,
    _ context: UnsafeMutableRawPointer?
) {
    guard let message = unsafe message, let opaque = unsafe message.pointee._private,
        let shared = unsafe KafkaContext<KafkaProducer.Event>.of(context)
    else { return }
    // `produce` retained it for this report.
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
    shared.tell(.reported(call, result))
}

private func errorCallback(
    _ instance: OpaquePointer?,
    _ error: Int32,
    _ reason: UnsafePointer<CChar>?,
    _ context: UnsafeMutableRawPointer?
) {
    guard let shared = unsafe KafkaContext<KafkaProducer.Event>.of(context),
        let outage = unsafe KafkaError.outage(instance, error, reason, endpoint: shared.endpoint)
    else { return }
    shared.tell(.outage(outage))
}
