@_spi(Driver) import AsyncIO
import CKafka
import IOCalls
@_spi(Driver) import UVLoop

/// Reads a topic for one sequence, with an instance of librdkafka and a thread of its own.
///
/// Its calls are the tasks that want a message: one at a time waits for it, the others in line. It belongs to its loop's
/// thread.
final class KafkaConsumer: CallServer, @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.
    typealias Kind = Kafka
    typealias Request = Void
    typealias Value = KafkaMessage?
    typealias Running = Never

    /// What the thread tells the loop.
    enum Event: Sendable {
        case message(KafkaMessage)
        case failed(KafkaError)
    }

    let calls: Calls<KafkaConsumer>
    private let spec: EndpointSpec
    private let topic: String
    private let place: KafkaStart
    private let buffer: Int
    private let thread = KafkaThread<Never>()
    private var hasThread = false
    private(set) var inlet: LoopInlet<Event>?
    private weak var client: KafkaProducer?
    /// Whose turn it is to get a message.
    private var waiter: CallOf<KafkaConsumer>?
    /// How the sequence ends once nothing is left in the inlet.
    private var ending: KafkaError?
    private var isStopping = false

    /// - Parameter end: how it ends before it has begun.
    init(
        _ spec: EndpointSpec,
        topic: String,
        from start: KafkaStart,
        buffer: Int,
        end: KafkaError?,
        loop: EventLoop
    ) {
        (self.spec, self.topic, place, self.buffer, ending) = (spec, topic, start, buffer, end)
        var spec = spec
        // A message comes when it comes; one task at a time waits for it.
        (spec.policy.commandTimeout, spec.policy.maxInflight) = (nil, 1)
        calls = Calls(spec, lanes: 1, limiter: InflightLimiter(spec.policy), loop: loop)
        calls.server = self
    }

    // MARK: Connect

    func open(_ client: KafkaProducer) {
        self.client = client
        calls.addSeats(1)
        guard ending == nil, calls.failure == nil else { return }
        do {
            let inlet = try LoopInlet<Event>(
                on: calls.loop,
                capacity: buffer,
                arrived: { [weak self] in self?.serve() }
            )
            self.inlet = inlet
            let run: @Sendable () -> Void = { [self] in work { inlet.send($0) } }
            try client.run(run) { [self] in
                hasThread = false
                stopIfDone()
            }
            hasThread = true
        } catch let error as KafkaError {
            end(error)
        } catch {
            calls.end(calls.shutDown)
        }
    }

    // MARK: Calls

    static func byteCount(of request: Void) -> Int { 0 }

    func start(_ call: CallOf<KafkaConsumer>) {
        waiter = call
        serve()
    }

    /// Gives messages to those who wait, one each: what nobody waits for stays in the inlet, and holds the thread up.
    private func serve() {
        while let call = waiter {
            switch inlet?.take(atMost: 1).first {
            case .message(let message): finish(call, .success(message))
            case .failed(let error): fail(error)
            case nil:
                guard let ending else { return }
                finish(call, ending.code == .clientClosed ? .success(nil) : .failure(ending))
            }
        }
    }

    private func fail(_ error: KafkaError) {
        // Whoever hears of it may ask for another client at once, and is not to be given this one.
        if error.code == .connectFailed || error.code == .connectionLost { client?.lost(error) }
        end(error)
    }

    private func finish(_ call: CallOf<KafkaConsumer>, _ result: CallOf<KafkaConsumer>.End) {
        waiter = nil
        calls.finish(call, result)
    }

    func abandon(_ call: CallOf<KafkaConsumer>) -> CallOutcome {
        finish(call, .success(nil))
        return .notSent
    }

    func tick(_ now: UInt64) -> Bool { false }

    // MARK: End

    /// Ends the sequence behind what has been read, once; without an error if its client was closed.
    func end(_ error: KafkaError) {
        guard ending == nil else { return }
        ending = error
        thread.stop()
        // The thread may be waiting for a place.
        inlet?.close()
        serve()
    }

    func stop() {
        isStopping = true
        thread.stop()
        inlet?.close()
        stopIfDone()
    }

    private func stopIfDone() {
        if isStopping, !hasThread { calls.stopped() }
    }
}

// MARK: - The thread

extension KafkaConsumer {
    /// What the thread does: it reads every partition, waits while the sequence is full, and ends when it is told to.
    ///
    /// Of the consumer it touches the constants alone.
    ///
    /// - Parameter tell: waits for a place; false if nobody wants anything any more.
    private func work(_ tell: (Event) -> Bool) {
        do throws(KafkaError) {
            // librdkafka itself reads no more than 1 MiB ahead of its thread.
            let instance = try KafkaInstance(
                RD_KAFKA_CONSUMER,
                spec,
                [
                    "group.id": "async-kafka", "enable.auto.commit": "false",
                    "queued.max.messages.kbytes": "1024", "fetch.wait.max.ms": "100",
                    "auto.offset.reset": place == .beginning ? "earliest" : "latest",
                ]
            )
            thread.use(instance)
            defer { thread.destroy(instance) }
            unsafe try assign(instance.pointer)
            var isWanted = true
            while isWanted, !thread.isStopping {
                let failure = unsafe instance.poll(milliseconds: thread.pollMilliseconds) { message in
                    isWanted = unsafe tell(.message(KafkaMessage(message.pointee)))
                }
                if let failure { throw failure }
            }
        } catch {
            if !thread.isStopping { _ = tell(.failed(error)) }
        }
    }

    /// Finds the topic's partitions and begins to read them.
    private func assign(_ instance: OpaquePointer) throws(KafkaError) {
        guard let handle = unsafe rd_kafka_topic_new(instance, topic, nil) else {
            return try check(rd_kafka_last_error())
        }
        defer { unsafe rd_kafka_topic_destroy(handle) }
        guard let found = unsafe try metadata(of: handle, instance) else { return }
        // Owned by this thread from here on.
        defer { unsafe rd_kafka_metadata_destroy(found) }
        guard unsafe found.pointee.topic_cnt == 1 else {
            return try check(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        }
        let entry = unsafe found.pointee.topics[0]
        unsafe try check(entry.err)
        let list = unsafe rd_kafka_topic_partition_list_new(entry.partition_cnt)
        defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
        for index in unsafe 0..<Int(entry.partition_cnt) {
            let partition = unsafe rd_kafka_topic_partition_list_add(
                list,
                topic,
                entry.partitions[index].id
            )
            unsafe partition?.pointee.offset = Int64(
                place == .beginning ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END
            )
        }
        unsafe try check(rd_kafka_assign(instance, list))
    }

    /// Asks the cluster for the topic's partitions, and blocks until it answers.
    ///
    /// Nothing ends that wait from outside: it asks again and again, each time with more patience, and looks between whether
    /// the thread is to end.
    ///
    /// - Returns: the answer; nil if the thread is to end.
    private func metadata(
        of handle: OpaquePointer,
        _ instance: OpaquePointer
    ) throws(KafkaError) -> UnsafePointer<rd_kafka_metadata>? {
        let deadline = LoopClock.instant(after: spec.policy.connectTimeout)
        var patience: UInt64 = 100
        while !thread.isStopping {
            let now = LoopClock.now
            let left = deadline > now ? (deadline - now + 999_999) / 1_000_000 : 0
            var found: UnsafePointer<rd_kafka_metadata>?
            let wait = Int32(clamping: min(patience, left))
            let error = unsafe rd_kafka_metadata(instance, 0, handle, &found, wait)
            switch error {
            // No broker was to be had in that time, or none has answered.
            case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TIMED_OUT:
                if left <= patience { try check(RD_KAFKA_RESP_ERR__TIMED_OUT) }
                // No more at a time: the thread may be told to end meanwhile.
                patience = min(patience * 2, 2000)
            default:
                try check(error)
                return unsafe found
            }
        }
        return nil
    }

    private func check(_ error: rd_kafka_resp_err_t) throws(KafkaError) {
        guard error != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        throw KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: spec.id)
    }
}
