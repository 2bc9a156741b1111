import CUV

/// A blocking body on libuv's thread pool, for drivers: `uv_queue_work`.
///
/// The pool is the process's own, with four threads unless `UV_THREADPOOL_SIZE` says otherwise, and names are looked up
/// on it too. How many bodies an endpoint has there at once is bounded by its permits: a driver starts one for each permit
/// it holds, and gives the permit back when it hears `over`. It belongs to its loop's thread.
@_spi(Driver) @safe public final class LoopOffload: LoopResident {
    private let driver: LoopDriver
    private let request: UnsafeMutablePointer<uv_work_t>
    /// For the pool's thread; libuv's lock orders that after `init` and before `finished`.
    private var body: (@Sendable () -> Void)?
    private var over: ((Bool) -> Void)?
    private var whenLoopShutsDown: (() -> Void)?
    private var isCancelled = false

    /// Queues a body.
    ///
    /// - Parameters:
    ///   - loop: the loop; the caller runs on its thread.
    ///   - body: runs on a thread of the pool, and may block there. It holds the loop's shutdown up until it returns. What it
    ///     holds is let go of there; what it gives to a task goes by a ``Handover``.
    ///   - over: called once, later, on the loop's thread: with true when the body has returned, with false if it never ran
    ///     and never will. It runs no user code.
    ///   - loopWillShutDown: called first, and at once, if the loop's shutdown begins; a body that has not begun has been
    ///     cancelled by then, and one that runs should be hurried.
    /// - Throws: `ESHUTDOWN` if the loop has been shut down; nothing is called then.
    public convenience init(
        on loop: EventLoop,
        body: @escaping @Sendable () -> Void,
        over: @escaping (_ hasRun: Bool) -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) throws(IOError) {
        try self.init(on: loop.core.driver, body: body, over: over, loopWillShutDown: loopWillShutDown)
    }

    init(
        on driver: LoopDriver,
        body: @escaping @Sendable () -> Void,
        over: @escaping (Bool) -> Void,
        loopWillShutDown: @escaping () -> Void
    ) throws(IOError) {
        guard driver.isOpen else { throw .loopShutDown }
        self.driver = driver
        self.body = body
        self.over = over
        whenLoopShutsDown = loopWillShutDown
        unsafe request = .allocate(capacity: 1)
        // Released in the request's last callback, which libuv always makes once the request has been accepted.
        unsafe request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let result = unsafe uv_queue_work(
            driver.uvLoop,
            request,
            { request in
                guard let data = unsafe request?.pointee.data else { return }
                // Retained until the last callback.
                unsafe Unmanaged<LoopOffload>.fromOpaque(data).takeUnretainedValue().run()
            },
            { request, status in
                guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
                let offload = unsafe Unmanaged<LoopOffload>.fromOpaque(data).takeRetainedValue()
                offload.finished(hasRun: status != UV_ECANCELED.rawValue)
            }
        )
        guard result == 0 else {
            unsafe Unmanaged.passUnretained(self).release()
            unsafe request.deallocate()
            throw IOError(result)
        }
        driver.moveIn(self)
    }

    /// Takes the body out of the queue, if it has not begun.
    ///
    /// - Returns: whether the body will never run. If not, it runs or has run; nothing interrupts it.
    @discardableResult
    public func cancel() -> Bool {
        driver.assertOnLoop()
        // Once `over` has been called the request's memory is gone.
        guard over != nil, !isCancelled else { return isCancelled }
        isCancelled = unsafe request.withMemoryRebound(to: uv_req_t.self, capacity: 1) { request in
            // A request begins as `uv_req_t` does.
            unsafe uv_cancel(request) == 0
        }
        return isCancelled
    }

    /// On the pool's thread, which also lets go of what the body holds.
    private func run() {
        let body = body
        self.body = nil
        body?()
    }

    private func finished(hasRun: Bool) {
        unsafe request.deallocate()
        let tell = over
        body = nil
        over = nil
        whenLoopShutsDown = nil
        tell?(hasRun)
        driver.moveOut(self)
    }

    func loopWillShutDown() {
        let tell = whenLoopShutsDown
        whenLoopShutsDown = nil
        cancel()
        tell?()
    }
}

/// What a body gives, on its way to the task that waits for it, past the loop.
///
/// The loop only says that the body is over: it never holds the value, and so never has to free it, which may take seconds.
@_spi(Driver) public final class Handover<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case given(Value)
        case over
    }

    private let state = Locked(State.empty)

    /// Makes one with nothing in it.
    public init() {}

    /// Puts the value in, once; for the body.
    ///
    /// If the task has taken what there was already, the value is the body's alone to let go of.
    public func give(_ value: Value) {
        state.withLock { state in
            if case .empty = state { state = .given(value) }
        }
    }

    /// Takes the value out; for the task, however its wait ended.
    ///
    /// - Returns: the value; nil if there is none, and then there never will be.
    public func take() -> Value? {
        // Nothing is freed with the lock held.
        let last = state.withLock { state in
            let last = state
            state = .over
            return last
        }
        if case .given(let value) = last { return value }
        return nil
    }
}
