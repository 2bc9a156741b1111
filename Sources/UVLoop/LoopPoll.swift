import CUV

/// Tells when a descriptor is ready, by a `uv_poll_t`.
///
/// For sockets that something other than libuv reads and writes. The descriptor stays its owner's. libuv makes it
/// non-blocking. It has to be open for as long as it is watched, and may be closed as soon as `close()` has returned:
/// nothing is called after that. Of one descriptor there may be one poll at a time on its loop; a new one may be opened as
/// soon as the old one has been closed. It belongs to its loop's thread.
@_spi(Driver) public final class LoopPoll: LoopResident, LoopHandleOwner {
    /// What to wait for, or what has come.
    public struct Readiness: OptionSet, Sendable {
        /// libuv's events.
        public let rawValue: Int32
        /// Makes a set from libuv's events.
        public init(rawValue: Int32) { self.rawValue = rawValue }

        /// There is something to read, or the end.
        public static let readable = Readiness(rawValue: Int32(UV_READABLE.rawValue))
        /// There is room to write, or a connect has ended.
        public static let writable = Readiness(rawValue: Int32(UV_WRITABLE.rawValue))
    }

    private let driver: LoopDriver
    private let handle: LoopHandle
    private var isOpen = true
    private var ready: ((Result<Readiness, IOError>) -> Void)?
    private var whenLoopShutsDown: (() -> Void)?

    /// Watches a descriptor; the poll has to be closed with `close()`, unless the loop's shutdown closes it first.
    ///
    /// - Parameters:
    ///   - loop: the loop; the caller runs on its thread.
    ///   - descriptor: a socket, or what else `epoll` takes.
    ///   - ready: called in libuv's callback as long as the descriptor is ready for what is waited for, or with the failure
    ///     that ended the watch. It runs no user code. A socket with an error of its own, such as a refused connect, is
    ///     told as `EBADF`: the cause is to be had from whoever reads the socket.
    ///   - loopWillShutDown: called if the loop's shutdown begins first; the poll has been closed by then.
    /// - Throws: `ESHUTDOWN` if the loop has been shut down, and what libuv says of the descriptor, for example `EEXIST` for
    ///   one that is watched already, `EPERM` for a file.
    public convenience init(
        on loop: EventLoop,
        descriptor: Int32,
        ready: @escaping (Result<Readiness, IOError>) -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) throws(IOError) {
        try self.init(
            on: loop.core.driver,
            descriptor: descriptor,
            ready: ready,
            loopWillShutDown: loopWillShutDown
        )
    }

    init(
        on driver: LoopDriver,
        descriptor: Int32,
        ready: @escaping (Result<Readiness, IOError>) -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) throws(IOError) {
        guard driver.isOpen else { throw .loopShutDown }
        self.driver = driver
        handle = unsafe LoopHandle(size: MemoryLayout<uv_poll_t>.size)
        let result = unsafe uv_poll_init(driver.uvLoop, handle.as(uv_poll_t.self), descriptor)
        guard result == 0 else {
            handle.discard()
            throw IOError(result)
        }
        self.ready = ready
        whenLoopShutsDown = loopWillShutDown
        handle.setOwner(self)
        driver.moveIn(self)
    }

    /// Waits for what is named, and for nothing else that was waited for before.
    ///
    /// It stays so until it is changed: what is not read or written is told again at each turn.
    public func wait(for readiness: Readiness) {
        driver.assertOnLoop()
        guard isOpen else { return }
        guard !readiness.isEmpty else { return stop() }
        unsafe uv_poll_start(handle.as(uv_poll_t.self), readiness.rawValue) { poll, status, events in
            unsafe LoopHandle.withOwner(poll?.pointee.data, as: LoopPoll.self) { $0.became(status, events) }
        }
    }

    private func became(_ status: Int32, _ events: Int32) {
        // A failed watch is over; the owner closes it.
        ready?(status == 0 ? .success(Readiness(rawValue: events)) : .failure(IOError(status)))
    }

    /// Waits for nothing, until `wait(for:)`.
    func stop() {
        driver.assertOnLoop()
        guard isOpen else { return }
        unsafe uv_poll_stop(handle.as(uv_poll_t.self))
    }

    /// Ends the watch for good and lets its closures go.
    ///
    /// Calling it again does nothing.
    public func close() {
        driver.assertOnLoop()
        guard isOpen else { return }
        isOpen = false
        ready = nil
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
