import CKafka
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

    /// Begins to wait at an instance's queue; it is destroyed with ``destroy(_:)``.
    func use(_ instance: KafkaInstance) {
        let queue = unsafe Queue(pointer: instance.queue)
        state.withLock { $0.queue = queue }
    }

    /// Ends the instance, which blocks until its own threads are gone.
    func destroy(_ instance: KafkaInstance) {
        state.withLock { state in
            unsafe rd_kafka_queue_destroy(instance.queue)
            state.queue = nil
        }
        // A consumer is in no group that it would have to leave first.
        unsafe rd_kafka_destroy_flags(instance.pointer, Int32(RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE))
    }
}
