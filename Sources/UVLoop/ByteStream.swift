import CUV
import Glibc

/// What happens to a stream, told on the loop's thread from inside libuv's callbacks: no user code may run here.
package protocol ByteStreamDelegate: AnyObject {
    /// Bytes have come. `bytes` is everything not consumed before; what this returns of it is consumed.
    func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int
    /// Whether bytes that come now answer nothing that has been written.
    var expectsNoInput: Bool { get }
    /// What was gathered is about to be handed to the kernel: the last moment for `takeBack`.
    ///
    /// - Parameter now: the time on the loop's clock, in nanoseconds.
    func streamWillWrite(_ now: UInt64)
    /// The kernel has taken some of what was gathered, or all.
    func streamWrote(isAll: Bool)
    /// The stream is over: nil at the peer's orderly end, else the failure. It is closed already. Nothing follows.
    func streamEnded(_ failure: IOError?)
}

/// A connected `uv_tcp_t` or `uv_pipe_t`.
///
/// It belongs to its loop's thread. Its output is a ``StreamWriter``. Reading pauses for no longer than a turn: a peer that
/// waits for its replies to be read before it reads on could otherwise never be written to.
@safe package final class ByteStream: LoopResident, LoopHandleOwner {
    private let driver: LoopDriver
    private let handle: LoopHandle
    private let target: Target
    private enum Target { case tcp, pipe }
    private(set) var isOpen = true
    /// Let go of when the stream closes.
    package var delegate: (any ByteStreamDelegate)? {
        get { listener.value }
        set { listener.value = newValue }
    }
    private let listener = LoopBound<(any ByteStreamDelegate)?>(nil)

    private let input: LoopBound<ReadAccumulator>
    private var connected: ((IOError?) -> Void)?

    private struct Reading {
        /// The turn in whose poll the socket was read last.
        var turn: UInt64 = 0
        /// The turn in whose poll no more is read.
        var pausedIn = UInt64.max
        /// How many bytes the last read could have brought.
        var room = 0
    }

    private let reading = LoopBound(Reading())
    private var writer: StreamWriter?
    private var writeFailure: (cause: IOError, turn: UInt64)?
    /// A failure that the socket told somebody who only looked; it tells each once, and is at its end from then on.
    private var failureSeen: IOError?

    private init(on driver: LoopDriver, _ target: Target, size: Int) throws(IOError) {
        guard driver.isOpen else { throw .loopShutDown }
        self.driver = driver
        self.target = target
        handle = LoopHandle(size: size)
        input = LoopBound(ReadAccumulator(pool: driver.readBuffers))
    }

    private func moveIn(_ initialised: Int32) throws(IOError) {
        guard initialised == 0 else {
            isOpen = false
            handle.discard()
            throw IOError(initialised)
        }
        handle.setOwner(self)
        driver.moveIn(self)
    }

    // MARK: Connect

    /// Opens a TCP stream and begins to connect it.
    ///
    /// `connected` is called once, later.
    static func connecting(
        on driver: LoopDriver,
        to address: SocketAddress,
        connected: @escaping (IOError?) -> Void
    ) throws(IOError) -> ByteStream {
        let stream = try unsafe ByteStream(on: driver, .tcp, size: MemoryLayout<uv_tcp_t>.size)
        try stream.moveIn(unsafe uv_tcp_init(driver.uvLoop, stream.handle.as(uv_tcp_t.self)))
        stream.connected = connected
        let request = unsafe stream.makeConnectRequest()
        let result = unsafe address.withSockaddr { address in
            unsafe uv_tcp_connect(
                request,
                stream.handle.as(uv_tcp_t.self),
                address,
                ByteStream.connectCallback
            )
        }
        guard result == 0 else {
            // libuv returned the failure and will not call back.
            unsafe stream.discard(request)
            stream.close()
            throw IOError(result)
        }
        return stream
    }

    /// Opens a stream over a unix socket and begins to connect it.
    ///
    /// `connected` is called once, later.
    static func connecting(
        on driver: LoopDriver,
        toSocketAt path: String,
        connected: @escaping (IOError?) -> Void
    ) throws(IOError) -> ByteStream {
        // libuv cuts a longer path silently.
        guard path.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
            throw IOError(UV_ENAMETOOLONG.rawValue)
        }
        let stream = try unsafe ByteStream(on: driver, .pipe, size: MemoryLayout<uv_pipe_t>.size)
        try stream.moveIn(unsafe uv_pipe_init(driver.uvLoop, stream.handle.as(uv_pipe_t.self), 0))
        stream.connected = connected
        let request = unsafe stream.makeConnectRequest()
        unsafe uv_pipe_connect(request, stream.handle.as(uv_pipe_t.self), path, ByteStream.connectCallback)
        return stream
    }

    private func makeConnectRequest() -> UnsafeMutablePointer<uv_connect_t> {
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        // Released in the callback, or by `discard`.
        unsafe request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        return unsafe request
    }

    private func discard(_ request: UnsafeMutablePointer<uv_connect_t>) {
        connected = nil
        unsafe Unmanaged.passUnretained(self).release()
        unsafe request.deallocate()
    }

    private static let connectCallback: uv_connect_cb = { request, status in
        guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
        let stream = unsafe Unmanaged<ByteStream>.fromOpaque(data).takeRetainedValue()
        unsafe request.deallocate()
        let tell = stream.connected
        stream.connected = nil
        // A stream that was closed meanwhile gets `ECANCELED` here, which nobody waits for any more.
        if stream.isOpen { tell?(status == 0 ? nil : IOError(status)) }
    }

    // MARK: Options

    /// Sends small writes at once.
    package func disableDelay() {
        guard isOpen, target == .tcp else { return }
        unsafe uv_tcp_nodelay(handle.as(uv_tcp_t.self), 1)
    }

    /// Has the kernel probe an idle peer, and give up on one that does not acknowledge what was sent.
    package func detectDeadPeer(idleSeconds: UInt32, unacknowledgedMilliseconds: UInt32) {
        guard isOpen, target == .tcp else { return }
        // The most that the kernel takes. Source: `MAX_TCP_KEEPIDLE` in Linux's `net/tcp.h`.
        unsafe uv_tcp_keepalive(handle.as(uv_tcp_t.self), 1, min(max(1, idleSeconds), 32767))
        guard let descriptor else { return }
        // The kernel counts in an `int`.
        var milliseconds = min(unacknowledgedMilliseconds, UInt32(Int32.max))
        // Set for good measure: a kernel that does not know the option leaves the liveness check to find a dead peer.
        let size = socklen_t(MemoryLayout.size(ofValue: milliseconds))
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &milliseconds, size)
    }

    // MARK: Read

    /// Starts reading; from then on the delegate hears what comes.
    package func startReading() throws(IOError) {
        guard isOpen else { return }
        let result = unsafe uv_read_start(
            handle.as(uv_stream_t.self),
            { handle, _, memory in
                unsafe LoopHandle.withOwner(handle?.pointee.data, as: ByteStream.self) { stream in
                    // Without memory libuv reads nothing more, and looks at the socket again in the next poll.
                    guard !stream.isPaused else { return }
                    // libuv reads into it and calls back before anything else happens on this thread.
                    let room = unsafe stream.input.value.prepareToRead()
                    stream.reading.value.room = room.count
                    unsafe memory?.pointee.base = unsafe room.baseAddress?.assumingMemoryBound(to: CChar.self)
                    unsafe memory?.pointee.len = room.count
                }
            },
            { handle, count, _ in
                unsafe LoopHandle.withOwner(handle?.pointee.data, as: ByteStream.self) { $0.read(count) }
            }
        )
        guard result == 0 else { throw IOError(result) }
    }

    /// Whether what has been read in this poll is dealt with before more is.
    private var isPaused: Bool { reading.value.pausedIn == driver.turnNumber.value }

    private func read(_ count: Int) {
        guard isOpen, !(isPaused && count == Int(UV_ENOBUFS.rawValue)) else { return }
        reading.value.turn = driver.turnNumber.value
        if count > 0 {
            guard let (buffer, bytes) = input.value.received(count) else { return }
            let consumed = delegate?.streamReceived(buffer, bytes) ?? bytes.count
            // There may be more. Whoever waited for this goes on first, and the peer has something to do sooner.
            if count == reading.value.room, consumed > 0 { reading.value.pausedIn = driver.turnNumber.value }
            // A delegate that closed the stream let the bytes go.
            input.value.takeBack(buffer, consumed: isOpen ? consumed : 0)
        } else if count == 0 {
            // "Try again", not the end.
            input.value.releaseIfEmpty()
        } else {
            end(count == Int(UV_EOF.rawValue) ? causeOfEnd() : IOError(Int32(count)))
        }
    }

    /// Why the socket is at its end; nil if the peer ended it in an orderly way.
    private func causeOfEnd() -> IOError? {
        // Where the poll tells of a hang-up, libuv calls it the end without another read, and nobody has seen a failure that the
        // socket may have. Source: `uv__stream_io` in `src/unix/stream.c`.
        if failureSeen == nil { _ = hasInput() }
        if let failureSeen { return failureSeen }
        // Writing to a peer that has gone away in an orderly way fails with EPIPE.
        guard let cause = writeFailure?.cause, cause != IOError(UV_EPIPE.rawValue) else { return nil }
        return cause
    }

    private func end(_ failure: IOError?) {
        guard isOpen else { return }
        let listener = delegate
        close()
        listener?.streamEnded(failure)
    }

    // MARK: Write

    /// Begins to write what `writer` has gathered and will gather.
    package func write(from writer: StreamWriter) {
        guard isOpen else { return }
        self.writer = writer
        writer.attach(self)
    }

    /// Has the kernel take what it takes now of one piece.
    ///
    /// - Returns: how many bytes it took, or libuv's error number.
    func tryWrite(_ piece: UnsafeRawBufferPointer) -> Int {
        guard isOpen else { return Int(UV_EBADF.rawValue) }
        // libuv only reads from it, in this call.
        let bytes = unsafe UnsafeMutableRawBufferPointer(mutating: piece)
        var buffer = unsafe uv_buf_t(
            base: bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            len: bytes.count
        )
        return unsafe Int(uv_try_write(handle.as(uv_stream_t.self), &buffer, 1))
    }

    /// Has the kernel take what it takes now of several.
    ///
    /// - Returns: how many bytes it took, or libuv's error number.
    func tryWrite(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Int {
        guard isOpen else { return Int(UV_EBADF.rawValue) }
        return unsafe withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: pieces.count) { buffers in
            for index in pieces.indices {
                // libuv only reads from it, in this call.
                let bytes = unsafe UnsafeMutableRawBufferPointer(mutating: pieces[index])
                unsafe buffers[index] = unsafe uv_buf_t(
                    base: bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                    len: bytes.count
                )
            }
            let stream = unsafe handle.as(uv_stream_t.self)
            return unsafe Int(uv_try_write(stream, buffers.baseAddress, UInt32(buffers.count)))
        }
    }

    /// Whether what lies in the socket may not have been read: it was not, or not all of it, in the last poll, or that was a
    /// while ago.
    func mayHaveInput(_ now: UInt64) -> Bool {
        let lastPoll = driver.turnNumber.value &- 1
        return reading.value.turn != lastPoll || reading.value.pausedIn == lastPoll
            || driver.turnIsLong(at: now)
    }

    /// The socket's, which stays the stream's.
    var descriptor: Int32? {
        var descriptor: uv_os_fd_t = -1
        guard isOpen, unsafe uv_fileno(handle.as(uv_handle_t.self), &descriptor) == 0 else { return nil }
        return descriptor
    }

    /// Whether the socket has something to read, or is at its end.
    func hasInput() -> Bool {
        guard let descriptor else { return false }
        var byte: UInt8 = 0
        // One byte is looked at and stays where it is; a failure does not.
        let count = unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        guard count < 0 else { return true }
        let failure = errno
        guard failure != EAGAIN, failure != EINTR else { return false }
        failureSeen = failureSeen ?? IOError(-failure)
        return true
    }

    func watchRoom(_ hasRoom: @escaping () -> Void) -> RoomWatch {
        unsafe RoomWatch(on: driver, handle.as(uv_handle_t.self), hasRoom: hasRoom)
    }

    /// Ends the stream for a failed write once what the peer said before it went away has been read.
    func endLater(_ failure: IOError, _ writer: StreamWriter) {
        writeFailure = (failure, driver.turnNumber.value)
        writer.awaitTurnsEnd()
    }

    /// Whether a write has failed: nothing more is written, and the stream ends when there is nothing left to read.
    func hasFailedToWrite(_ writer: StreamWriter) -> Bool {
        guard let writeFailure else { return false }
        if writeFailure.turn == driver.turnNumber.value || hasInput() {
            writer.awaitTurnsEnd()
        } else {
            end(failureSeen ?? writeFailure.cause)
        }
        return true
    }

    // MARK: Close

    /// Closes the stream at once.
    ///
    /// What was not written is dropped; the delegate hears nothing more.
    package func close() {
        guard isOpen else { return }
        isOpen = false
        delegate = nil
        connected = nil
        input.value.discard()
        writer?.detach()
        writer = nil
        handle.close()
    }

    func loopWillShutDown() {
        let waiting = connected
        if let waiting {
            close()
            waiting(.loopShutDown)
        } else {
            end(.loopShutDown)
        }
    }

    func handleDidClose() {
        driver.moveOut(self)
    }
}
