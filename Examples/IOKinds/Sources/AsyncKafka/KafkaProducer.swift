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
    private let startThread: KafkaClient.ThreadStarter
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
        startThread: @escaping KafkaClient.ThreadStarter
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
            try run { [self] in
                work { [self] event in
                    // After the loop's shutdown a report still gives its permit back.
                    if !events.send(event) { calls.loop.post { [self] in take(event) } }
                }
            }
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
        do throws(IOError) {
            try startThread { [self] in
                body()
                calls.loop.post { [self] in
                    threadCount -= 1
                    over()
                    stopIfDone()
                }
            }
        } catch {
            let message = "the system starts no further thread"
            throw KafkaError(.connectFailed, .notSent, endpoint: spec.id, message, ioError: error)
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
    /// What the thread does: it hands messages to librdkafka and takes their reports, until it is told to end.
    ///
    /// What is on its way then is given up. Of the producer it touches the constants alone.
    private func work(_ tell: (Event) -> Void) {
        // A message is sent once, at once, and given up when the endpoint's time is over; 0 stands for no limit.
        let milliseconds = spec.policy.commandTimeout?.clampedMilliseconds ?? 0
        do throws(KafkaError) {
            let instance = try KafkaInstance(
                RD_KAFKA_PRODUCER,
                spec,
                [
                    "message.send.max.retries": "0", "linger.ms": "0",
                    "message.timeout.ms": "\(milliseconds)",
                ]
            )
            thread.use(instance)
            defer { thread.destroy(instance) }
            func poll(milliseconds: Int32) {
                let outage = unsafe instance.poll(milliseconds: milliseconds) { unsafe tell(report($0)) }
                if let outage { tell(.outage(outage)) }
            }
            while let calls = thread.take() {
                for call in calls {
                    if let failure = produce(call, instance) { tell(.reported(call, .failure(failure))) }
                }
                poll(milliseconds: thread.pollMilliseconds)
            }
            let everything = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
            // Until each message has its report: a purge misses one that is just between two of librdkafka's queues. It is not
            // waited for: one of librdkafka's threads may be looking a name up.
            repeat {
                unsafe rd_kafka_purge(instance.pointer, everything | RD_KAFKA_PURGE_F_NON_BLOCKING)
                poll(milliseconds: 10)
            } while unsafe rd_kafka_outq_len(instance.pointer) > 0
        } catch {
            tell(.outage(error))
        }
        let unsent = RD_KAFKA_MSG_STATUS_NOT_PERSISTED
        for call in thread.close() {
            let error = KafkaError(RD_KAFKA_RESP_ERR__PURGE_QUEUE, unsent, endpoint: spec.id)
            tell(.reported(call, .failure(error)))
        }
    }

    /// Hands a message to librdkafka.
    ///
    /// - Returns: why it was not accepted; nil if it was, and will be reported.
    private func produce(_ call: CallOf<KafkaProducer>, _ instance: KafkaInstance) -> KafkaError? {
        let request = call.request
        // Released by its delivery report, which librdkafka makes for every message that it accepts.
        let reference = unsafe Unmanaged.passRetained(call)
        let key = request.key ?? []
        let error = unsafe key.withUnsafeBufferPointer { bytes in
            // A key that is there and empty has an address, too. librdkafka copies key and value before it returns.
            let start = unsafe request.key == nil ? nil : bytes.baseAddress ?? UnsafePointer(bitPattern: 1)
            return unsafe ckafka_produce(
                instance.pointer,
                request.topic,
                start,
                key.count,
                request.value,
                request.value.count,
                reference.toOpaque()
            )
        }
        guard error != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        unsafe reference.release()
        return KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: spec.id).with(.notSent)
    }

    /// What librdkafka's report of a message says.
    private func report(_ message: UnsafePointer<rd_kafka_message_t>) -> Event {
        guard let reference = unsafe message.pointee._private else {
            preconditionFailure("librdkafka lost a message's call")
        }
        // `produce` retained it for this report.
        let call = unsafe Unmanaged<CallOf<KafkaProducer>>.fromOpaque(reference).takeRetainedValue()
        let (error, partition) = unsafe (message.pointee.err, message.pointee.partition)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
            // It lies behind the message in memory, so no copy of that will do.
            let status = unsafe rd_kafka_message_status(message)
            return .reported(call, .failure(KafkaError(error, status, endpoint: spec.id)))
        }
        let receipt = unsafe KafkaReceipt(partition: Int(partition), offset: Int(message.pointee.offset))
        return .reported(call, .success(receipt))
    }
}
