import CUV

/// A `uv_timer_t`.
///
/// Made, started, stopped and closed on the loop's thread; resolution one millisecond.
@_spi(Driver) public final class LoopTimer: LoopResident, LoopHandleOwner {
    private let driver: LoopDriver
    private let handle: LoopHandle
    private var isOpen = true
    private var fired: (() -> Void)?
    private var whenLoopShutsDown: (() -> Void)?

    /// Opens a timer; it has to be closed with `close()`, unless the loop's shutdown closes it first.
    ///
    /// - Parameters:
    ///   - loop: the loop; the caller runs on its thread.
    ///   - fired: called in libuv's callback at each expiry. It runs no user code.
    ///   - loopWillShutDown: called if the loop's shutdown begins first; the timer has been closed by then.
    /// - Returns: nil if the loop has been shut down.
    public convenience init?(
        on loop: EventLoop,
        fired: @escaping () -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) {
        self.init(on: loop.core.driver, fired: fired, loopWillShutDown: loopWillShutDown)
    }

    package init?(
        on driver: LoopDriver,
        fired: @escaping () -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) {
        guard driver.isOpen else { return nil }
        self.driver = driver
        self.fired = fired
        whenLoopShutsDown = loopWillShutDown
        handle = unsafe LoopHandle(size: MemoryLayout<uv_timer_t>.size)
        unsafe uv_timer_init(driver.uvLoop, handle.as(uv_timer_t.self))
        handle.setOwner(self)
        driver.moveIn(self)
    }

    /// Starts the timer anew: first after `milliseconds`, then every `interval` milliseconds if that is not 0.
    ///
    /// They are counted from the beginning of the millisecond that this moment is in: one more makes sure that it is not early.
    public func start(after milliseconds: UInt64, every interval: UInt64 = 0) {
        driver.assertOnLoop()
        guard isOpen else { return }
        // libuv would count from its last look at the clock, before the work of this turn.
        driver.updateNow()
        unsafe uv_timer_start(
            handle.as(uv_timer_t.self),
            { timer in unsafe LoopHandle.withOwner(timer?.pointee.data, as: LoopTimer.self) { $0.fired?() } },
            milliseconds,
            interval
        )
    }

    /// Stops the timer, until `start(after:every:)`.
    public func stop() {
        driver.assertOnLoop()
        guard isOpen else { return }
        unsafe uv_timer_stop(handle.as(uv_timer_t.self))
    }

    /// Stops the timer for good and lets its closures go.
    ///
    /// Calling it again does nothing.
    public func close() {
        driver.assertOnLoop()
        guard isOpen else { return }
        isOpen = false
        fired = nil
        whenLoopShutsDown = nil
        handle.close()
    }

    func loopWillShutDown() {
        let tell = whenLoopShutsDown
        close()
        tell?()
    }

    func handleDidClose() {
        driver.moveOut(self)
    }
}

/// One call of `EventLoop.sleep(for:)`.
///
/// Its state belongs to the loop's thread.
@safe final class Sleeper: @unchecked Sendable {
    // Safe to share: everything but `core` is touched on the loop's thread only.
    private let core: LoopCore
    private var timer: LoopTimer?
    private var task: SuspendedTask<Result<Void, any Error>>?
    private var outcome: Result<Void, any Error>?

    init(core: LoopCore) {
        self.core = core
    }

    func sleep(milliseconds: UInt64, on loop: EventLoop) async throws {
        let result = await SuspendedTask<Result<Void, any Error>>.suspend(servedBy: loop) { task in
            core.runOrPost { [self] in
                if let outcome { return task.resume(outcome) }
                self.task = task
                timer = LoopTimer(
                    on: core.driver,
                    fired: { [self] in finish(.success(())) },
                    loopWillShutDown: { [self] in finish(.failure(EventLoopError.shutDown)) }
                )
                guard let timer else { return finish(.failure(EventLoopError.shutDown)) }
                // A started millisecond does not count.
                timer.start(after: milliseconds == 0 ? 0 : milliseconds + 1)
            }
        }
        try result.get()
    }

    func cancel() {
        core.runOrPost { [self] in finish(.failure(CancellationError())) }
    }

    private func finish(_ result: Result<Void, any Error>) {
        guard outcome == nil else { return }
        outcome = result
        timer?.close()
        timer = nil
        task?.resume(result)
        task = nil
    }
}
