import CKafka
import Glibc
import IOCalls
@_spi(Driver) import UVLoop

/// A thread that has an instance of librdkafka for itself: it makes it, polls it, and destroys it.
///
/// Each of these may block. Nobody else touches the instance: others hand the thread items, and tell it when to end.
@safe final class KafkaThread<Item: Sendable>: Sendable {
    @safe private struct Queue: @unchecked Sendable {
        // Safe to share: librdkafka's queues are for any thread.
        let pointer: OpaquePointer?
    }

    private struct State {
        /// What has been handed over and not taken.
        var items: [Item] = []
        var isStopping = false
        var isClosed = false
        /// Where the thread waits for something to do; nil while it has no instance.
        var queue: Queue?

        func wake() {
            // Under the lock: the thread does not destroy the queue meanwhile. It looks once more before it waits again.
            if let queue { unsafe rd_kafka_queue_yield(queue.pointer) }
        }
    }

    private let state = Locked(State())

    /// How long the thread waits at most; it is woken for whatever it is to do.
    let pollMilliseconds: Int32 = 500

    // MARK: Any thread

    /// Hands something over.
    ///
    /// - Returns: false if the thread takes nothing any more.
    func hand(_ item: Item) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.items.append(item)
            if state.items.count == 1 { state.wake() }
            return true
        }
    }

    /// Has the thread end.
    func stop() {
        state.withLock { state in
            state.isStopping = true
            state.wake()
        }
    }

    /// Whether the thread is to end.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    // MARK: The thread itself

    /// What has been handed over; nil once the thread is to end.
    func take() -> [Item]? {
        state.withLock { state in
            guard !state.isStopping else { return nil }
            defer { state.items = [] }
            return state.items
        }
    }

    /// Takes nothing any more.
    ///
    /// - Returns: what has been handed over and not taken.
    func close() -> [Item] {
        state.withLock { state in
            state.isClosed = true
            defer { state.items = [] }
            return state.items
        }
    }

    /// Runs `body` with an instance, which it makes before and destroys afterwards.
    func withInstance(
        _ configuration: KafkaConfiguration,
        _ body: (OpaquePointer) throws(KafkaError) -> Void
    ) throws(KafkaError) {
        let instance = unsafe try configuration.makeInstance()
        let queue = unsafe Queue(pointer: configuration.queue(of: instance))
        state.withLock { $0.queue = queue }
        defer {
            state.withLock { state in
                unsafe rd_kafka_queue_destroy(queue.pointer)
                state.queue = nil
            }
            // It waits until its own threads are gone; a consumer is in no group that it would have to leave first.
            unsafe rd_kafka_destroy_flags(instance, Int32(RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE))
        }
        unsafe try body(instance)
    }
}

/// What librdkafka's callbacks know, on the instance's thread: whom to tell.
final class KafkaContext<Event: Sendable>: Sendable {
    let endpoint: String
    private let events: LoopInlet<Event>
    private let whenClosed: @Sendable (Event) -> Void

    /// - Parameter whenClosed: told what the inlet does not take any more.
    init(
        endpoint: String,
        events: LoopInlet<Event>,
        whenClosed: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.endpoint = endpoint
        self.events = events
        self.whenClosed = whenClosed
    }

    /// Tells the loop; it waits while too much is on its way there.
    ///
    /// - Returns: false if the inlet has been closed.
    @discardableResult
    func tell(_ event: Event) -> Bool {
        let isAccepted = events.send(event)
        if !isAccepted { whenClosed(event) }
        return isAccepted
    }

    /// The context that a callback is given.
    static func of(_ pointer: UnsafeMutableRawPointer?) -> KafkaContext? {
        // The instance's thread, on which callbacks are called, holds it.
        unsafe pointer.map { unsafe Unmanaged<KafkaContext>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// A detached thread that runs one body.
enum PollThread {
    /// Starts a thread that runs a body.
    ///
    /// - Returns: the system's error number; 0 if the thread runs.
    typealias Starter = @Sendable (_ body: @escaping @Sendable () -> Void) -> Int32

    fileprivate final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// The system's own ``Starter``.
    @Sendable static func start(_ body: @escaping @Sendable () -> Void) -> Int32 {
        // Retained here, released by the thread that it is handed to.
        let start = unsafe Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let failure = unsafe pthread_create(&thread, nil, kafkaThreadMain, start.toOpaque())
        if failure == 0 { pthread_detach(thread) } else { unsafe start.release() }
        return failure
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
