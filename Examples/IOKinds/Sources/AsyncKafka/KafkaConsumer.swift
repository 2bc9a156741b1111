@_spi(Driver) import AsyncIO
import CKafka
import IOCalls
import Synchronization
@_spi(Driver) import UVLoop

/// Reads a topic for one sequence, with an instance of librdkafka and a poll thread of its own.
///
/// It belongs to its loop's thread, but for `next`.
final class KafkaConsumer: @unchecked Sendable {
    // Safe to share: the constants are constant, `order` synchronises itself; everything else is touched on the loop's thread
    // only.
    /// What the poll thread tells the loop.
    enum Event: Sendable {
        case message(KafkaMessage)
        case failed(KafkaError)
    }

    typealias End = Result<KafkaMessage?, KafkaError>

    /// A task that waits for a message.
    final class Waiter: @unchecked Sendable {
        // Safe to share: touched on the loop's thread only.
        var task: SuspendedTask<End>?
        var timer: LoopTimer?
        /// It was cancelled, possibly before it began to wait.
        var isCancelled = false
    }

    private let loop: EventLoop
    private let endpoint: String
    private let topic: String
    private let start: KafkaStart
    private let buffer: Int
    private var inlet: LoopInlet<Event>?
    private var handle: KafkaHandle?
    private var waiters: [Waiter] = []
    /// How the sequence ends once nothing is left in the inlet: nil without an error.
    private var end: KafkaError??
    /// As in `Calls`: for ThreadSanitizer.
    private let order = Atomic<Bool>(false)

    init(_ loop: EventLoop, endpoint: String, topic: String, from start: KafkaStart, buffer: Int) {
        self.loop = loop
        self.endpoint = endpoint
        self.topic = topic
        self.start = start
        self.buffer = buffer
    }

    // MARK: Read

    func open(_ client: KafkaProducer) {
        guard end == nil else { return }
        do {
            let inlet = try LoopInlet<Event>(
                on: loop,
                capacity: buffer,
                arrived: { [weak self] in self?.serve() },
                loopWillShutDown: { [weak self, calls = client.calls] in self?.end(calls.shutDown) }
            )
            self.inlet = inlet
            // librdkafka itself reads no more than 1 MiB ahead of its thread.
            let settings = [
                ("group.id", "async-kafka"), ("enable.auto.commit", "false"),
                ("queued.max.messages.kbytes", "1024"), ("fetch.wait.max.ms", "100"),
                ("auto.offset.reset", start == .beginning ? "earliest" : "latest"),
            ]
            let context = KafkaContext(endpoint: endpoint, events: inlet)
            let handle = unsafe try KafkaHandle(RD_KAFKA_CONSUMER, client.spec, settings, context: context) {
                unsafe rd_kafka_conf_set_error_cb($0, consumerErrorCallback)
            }
            self.handle = handle
            let timeout = Int32(client.spec.policy.connectTimeout.clampedMilliseconds)
            client.run(handle, context) { [topic, start] in
                KafkaConsumer.poll(handle, context, topic, start, connectMilliseconds: timeout)
            }
        } catch let error as KafkaError {
            end(error)
        } catch {
            end(client.calls.shutDown)
        }
    }

    /// What the thread does: it reads every partition, waits while the sequence is full, and ends when it is told to.
    private static func poll(
        _ handle: KafkaHandle,
        _ context: KafkaContext<Event>,
        _ topic: String,
        _ start: KafkaStart,
        connectMilliseconds: Int32
    ) {
        var error = assign(handle, topic, start, connectMilliseconds)
        while error == RD_KAFKA_RESP_ERR_NO_ERROR, !handle.isStopping {
            guard let message = unsafe rd_kafka_consumer_poll(handle.instance, KafkaHandle.pollMilliseconds)
            else { continue }
            // Owned by this thread until it is destroyed; what is kept of it is copied.
            defer { unsafe rd_kafka_message_destroy(message) }
            unsafe error = message.pointee.err
            if error == RD_KAFKA_RESP_ERR_NO_ERROR {
                guard unsafe context.events.send(.message(KafkaMessage(message.pointee))) else { break }
            }
        }
        if error != RD_KAFKA_RESP_ERR_NO_ERROR, !handle.isStopping {
            let failure = KafkaError(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED, endpoint: context.endpoint)
            _ = context.events.send(.failed(failure))
        }
    }

    /// Finds the topic's partitions and begins to read them; it blocks until the cluster answers.
    private static func assign(
        _ handle: KafkaHandle,
        _ topic: String,
        _ start: KafkaStart,
        _ milliseconds: Int32
    ) -> rd_kafka_resp_err_t {
        let handleOfTopic = unsafe rd_kafka_topic_new(handle.instance, topic, nil)
        defer { unsafe rd_kafka_topic_destroy(handleOfTopic) }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let error = unsafe rd_kafka_metadata(handle.instance, 0, handleOfTopic, &metadata, milliseconds)
        // No broker was to be had in all that time.
        if error == RD_KAFKA_RESP_ERR__TRANSPORT { return RD_KAFKA_RESP_ERR__TIMED_OUT }
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, let found = unsafe metadata else { return error }
        // Owned by this thread from here on.
        defer { unsafe rd_kafka_metadata_destroy(found) }
        guard unsafe found.pointee.topic_cnt == 1 else { return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART }
        let entry = unsafe found.pointee.topics[0]
        guard unsafe entry.err == RD_KAFKA_RESP_ERR_NO_ERROR else { return unsafe entry.err }
        let list = unsafe rd_kafka_topic_partition_list_new(entry.partition_cnt)
        defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
        for index in unsafe 0..<Int(entry.partition_cnt) {
            let partition = unsafe rd_kafka_topic_partition_list_add(list, topic, entry.partitions[index].id)
            unsafe partition?.pointee.offset = Int64(
                start == .beginning ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END
            )
        }
        return unsafe rd_kafka_assign(handle.instance, list)
    }

    // MARK: Next

    /// The next message, or nil at the sequence's end; from any thread.
    func next() async throws(KafkaError) -> KafkaMessage? {
        let waiter = Waiter()
        let deadline = IODeadline.current
        let end = await withTaskCancellationHandler {
            await SuspendedTask<End>.suspend { task in
                onLoop { [self] in wait(waiter, task, deadline) }
            }
        } onCancel: {
            onLoop { [self] in
                waiter.isCancelled = true
                giveUp(waiter, .cancelled, "the task was cancelled")
            }
        }
        _ = order.load(ordering: .acquiring)
        return try end.get()
    }

    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        if loop.isOnLoop { body() } else { loop.post(body) }
    }

    private func wait(_ waiter: Waiter, _ task: SuspendedTask<End>, _ deadline: UInt64) {
        waiter.task = task
        waiters.append(waiter)
        if waiter.isCancelled { return giveUp(waiter, .cancelled, "the task was cancelled") }
        serve()
        guard waiter.task != nil, deadline < .max else { return }
        let now = LoopClock.now
        waiter.timer = LoopTimer(
            on: loop,
            fired: { [weak self] in
                self?.giveUp(waiter, .deadlineExceeded, "no message came in time")
            }
        )
        waiter.timer?.start(after: deadline > now ? (deadline - now) / 1_000_000 + 1 : 0)
    }

    /// Gives messages to those who wait, one each: what nobody waits for stays in the inlet, and holds the poll thread up.
    private func serve() {
        while let waiter = waiters.first {
            switch inlet?.take(atMost: 1).first {
            case .message(let message): resume(waiter, .success(message))
            case .failed(let error): end(error)
            case nil:
                guard let end else { return }
                resume(waiter, end.map { .failure($0) } ?? .success(nil))
            }
        }
    }

    private func giveUp(_ waiter: Waiter, _ code: KafkaError.Code, _ message: String) {
        guard waiter.task != nil else { return }
        resume(waiter, .failure(KafkaError(code, .notSent, endpoint: endpoint, message)))
    }

    private func resume(_ waiter: Waiter, _ end: End) {
        waiters.removeAll { $0 === waiter }
        waiter.timer?.close()
        waiter.timer = nil
        guard let task = waiter.task else { return }
        waiter.task = nil
        order.store(true, ordering: .releasing)
        task.resume(end)
    }

    /// Whether a task waits.
    var isAwaited: Bool { !waiters.isEmpty }
    /// Whether nothing more is read until something is taken.
    var isFull: Bool { (inlet?.blockedThreads ?? 0) > 0 }

    // MARK: End

    /// Ends the sequence behind what has been read, once; without an error if its client was closed.
    func end(_ error: KafkaError?) {
        guard end == nil else { return }
        end = .some(error?.code == .clientClosed ? nil : error)
        handle?.stop()
        handle = nil
        // The thread may be waiting for a place.
        inlet?.close()
        serve()
    }
}

private func consumerErrorCallback(
    _ instance: OpaquePointer?,
    _ error: Int32,
    _ reason: UnsafePointer<CChar>?,
    _ context: UnsafeMutableRawPointer?
) {
    guard let shared = unsafe KafkaContext<KafkaConsumer.Event>.of(context),
        let outage = unsafe KafkaHandle.outage(instance, error, reason, endpoint: shared.endpoint)
    else { return }
    _ = shared.events.send(.failed(outage))
}
