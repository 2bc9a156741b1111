import CUV
import Glibc

/// What happens to a stream, told on the loop's thread from inside libuv's callbacks: no user code may run here.
package protocol ByteStreamDelegate: AnyObject {
    /// Bytes have come. `bytes` is everything not consumed before; what this returns of it is consumed.
    func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int
    /// The stream is over: nil at the peer's orderly end, else the failure. It is closed already. Nothing follows.
    func streamEnded(_ failure: IOError?)
}

/// A connected `uv_tcp_t` or `uv_pipe_t`.
///
/// It belongs to its loop's thread.
///
/// Output is gathered during a turn of the loop and written at its end in one system call. Reading never pauses: a peer
/// that waits for its replies to be read before it reads on could otherwise never be written to.
@safe package final class ByteStream: LoopFlushable, LoopResident, LoopHandleOwner {
    private let driver: LoopDriver
    private let handle: LoopHandle
    private let target: Target
    private enum Target { case tcp, pipe }
    private(set) var isOpen = true
    package weak var delegate: (any ByteStreamDelegate)?

    private var input: ReadAccumulator
    private var connected: ((IOError?) -> Void)?

    /// Output of this turn, not yet handed to the kernel.
    private var gathered: WriteBuffer?
    private var isFlushScheduled = false
    /// Output that the kernel has not taken whole; libuv writes it on.
    private var writing: WriteBuffer?
    private var writeFailure: IOError?

    /// How many bytes have ever been given to the stream.
    package private(set) var bytesAccepted: UInt64 = 0
    /// How many of them have been handed over to be written, at least in part.
    package private(set) var bytesHandedOver: UInt64 = 0

    private init(on driver: LoopDriver, _ target: Target, size: Int) throws(IOError) {
        guard driver.isOpen else { throw .loopShutDown }
        self.driver = driver
        self.target = target
        handle = LoopHandle(size: size)
        input = ReadAccumulator(pool: driver.readBuffers)
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
        unsafe uv_tcp_keepalive(handle.as(uv_tcp_t.self), 1, idleSeconds)
        var descriptor: uv_os_fd_t = -1
        guard unsafe uv_fileno(handle.as(uv_handle_t.self), &descriptor) == 0 else { return }
        var milliseconds = unacknowledgedMilliseconds
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
                guard let stream = unsafe LoopHandle.owner(handle?.pointee.data, as: ByteStream.self) else {
                    return
                }
                // libuv reads into it and calls back before anything else happens on this thread.
                let room = unsafe stream.input.prepareToRead()
                unsafe memory?.pointee = uv_buf_init(room.baseAddress, UInt32(clamping: room.count))
            },
            { handle, count, _ in
                unsafe LoopHandle.owner(handle?.pointee.data, as: ByteStream.self)?.read(count)
            }
        )
        guard result == 0 else { throw IOError(result) }
    }

    private func read(_ count: Int) {
        guard isOpen else { return }
        if count > 0 {
            guard let (buffer, bytes) = input.received(count) else { return }
            let consumed = delegate?.streamReceived(buffer, bytes) ?? bytes.count
            // The delegate may have closed the stream, which let the bytes go.
            if isOpen { input.consume(consumed) }
        } else if count == 0 {
            // "Try again", not the end.
            input.releaseIfEmpty()
        } else {
            end(count == Int(UV_EOF.rawValue) ? nil : IOError(Int32(count)))
        }
    }

    private func end(_ failure: IOError?) {
        guard isOpen else { return }
        let listener = delegate
        close()
        listener?.streamEnded(failure)
    }

    // MARK: Write

    /// Gathers the `byteCount` bytes that `fill` writes for the end of this turn.
    package func send(_ byteCount: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) {
        outputOfThisTurn().append(byteCount, fill)
        gatheredMore(byteCount)
    }

    /// Gathers bytes of `buffer` for the end of this turn.
    package func send(from buffer: WriteBuffer, _ range: Range<Int>) {
        outputOfThisTurn().append(from: buffer, range)
        gatheredMore(range.count)
    }

    /// How many bytes wait to be handed over.
    package var bytesGathered: Int { gathered?.count ?? 0 }

    /// Takes bytes back that have not been handed over, given by their places among all bytes ever accepted.
    ///
    /// What was accepted after them moves up in that count.
    ///
    /// - Parameter ranges: in ascending order, without overlap.
    /// - Returns: false, with nothing taken back, if some of them have been handed over or never were accepted.
    package func takeBack(_ ranges: [Range<UInt64>]) -> Bool {
        guard let first = ranges.first, let last = ranges.last else { return true }
        guard let gathered, first.lowerBound >= bytesHandedOver, last.upperBound <= bytesAccepted else {
            return false
        }
        gathered.remove(
            ranges.map { Int($0.lowerBound - bytesHandedOver)..<Int($0.upperBound - bytesHandedOver) }
        )
        bytesAccepted = bytesHandedOver + UInt64(gathered.count)
        return true
    }

    @inline(__always)
    private func outputOfThisTurn() -> WriteBuffer {
        if let gathered { return gathered }
        let fresh = driver.writeBuffers.take()
        gathered = fresh
        return fresh
    }

    @inline(__always)
    private func gatheredMore(_ count: Int) {
        bytesAccepted += UInt64(count)
        guard !isFlushScheduled, writing == nil, isOpen else { return }
        isFlushScheduled = true
        driver.flushBeforePolling(self)
    }

    /// Writes what was gathered, unless a write is under way: then it follows that one.
    package func flush() {
        isFlushScheduled = false
        if let writeFailure { return end(writeFailure) }
        guard isOpen, writing == nil, let output = gathered else { return }
        gathered = nil
        guard !output.isEmpty else { return driver.writeBuffers.give(output) }
        bytesHandedOver = bytesAccepted

        let bytes = unsafe output.bytes(from: 0)
        var piece = unsafe uv_buf_init(bytes.baseAddress, UInt32(clamping: bytes.count))
        let written = unsafe Int(uv_try_write(handle.as(uv_stream_t.self), &piece, 1))
        if written == bytes.count {
            driver.writeBuffers.give(output)
        } else if written >= 0 || written == Int(UV_EAGAIN.rawValue) {
            writeOn(output, from: max(0, written))
        } else {
            endLater(IOError(Int32(written)))
        }
    }

    /// Has libuv write the rest as the socket takes it.
    private func writeOn(_ output: WriteBuffer, from offset: Int) {
        let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
        // Released in the callback. `writing` keeps the bytes in place until then.
        unsafe request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        writing = output
        let bytes = unsafe output.bytes(from: offset)
        var pieces = unsafe bytes.uvBuffers
        let result = unsafe uv_write(request, handle.as(uv_stream_t.self), &pieces, UInt32(pieces.count)) {
            request,
            status in
            guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
            let stream = unsafe Unmanaged<ByteStream>.fromOpaque(data).takeRetainedValue()
            unsafe request.deallocate()
            stream.wrote(status)
        }
        if result != 0 {
            unsafe Unmanaged.passUnretained(self).release()
            unsafe request.deallocate()
            writing = nil
            endLater(IOError(result))
        }
    }

    private func wrote(_ status: Int32) {
        if let written = writing { driver.writeBuffers.give(written) }
        writing = nil
        guard isOpen else { return }
        if status < 0 { return end(IOError(status)) }
        flush()
    }

    /// Ends the stream for a failed write in the next turn: what the peer said before it went away is read first.
    private func endLater(_ failure: IOError) {
        writeFailure = failure
        driver.flushBeforePolling(self)
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
        input.discard()
        gathered = nil
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

extension UnsafeMutableRawBufferPointer {
    /// The memory as libuv's buffers, each at most as long as its 32-bit length can say.
    fileprivate var uvBuffers: [uv_buf_t] {
        var buffers = unsafe [uv_buf_t]()
        var offset = 0
        while offset < count {
            let length = Swift.min(count - offset, Int(Int32.max))
            unsafe buffers.append(uv_buf_init(baseAddress.map { unsafe $0 + offset }, UInt32(length)))
            offset += length
        }
        return unsafe buffers
    }
}
