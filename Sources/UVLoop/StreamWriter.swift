import CUV

/// The output of a stream.
///
/// It gathers what is sent during a turn of the loop, and hands it to the kernel at its end in one system call, or in a few
/// pieces if its user says so. What the kernel does not take stays here, where it can be taken back, and follows when the
/// socket has room: libuv is never given bytes that it would keep. It belongs to its loop's thread.
@_spi(Driver) public final class StreamWriter: LoopFlushable {
    /// What changes with each command.
    @usableFromInline
    struct State {
        /// How many bytes the kernel has taken.
        @usableFromInline var handedOver: UInt64 = 0
        /// How many sends it takes until there is more to do for one than to gather it: 0 before a turn's first, which has the
        /// others awaited, `Int.max` while everything is awaited already.
        @usableFromInline var sendsLeft = Int.max
    }

    @usableFromInline let buffer: OutputQueue
    @usableFromInline let state = LoopBound(State())
    private let driver: LoopDriver
    private var stream: ByteStream?
    /// Says when a socket that was full has room again; made when it is first full, or full again after a rest.
    private var room: RoomWatch?
    private(set) var isFull = false
    /// Whether the end of the turn is awaited.
    private var isListed = false

    /// The pieces that sends are written in, how many of them are left, and the turn in which that was said: a callback, which
    /// is of the turn before, says it for the tasks that it has go on.
    private var pieces = (sends: Int.max, left: 0, said: UInt64(0))

    /// Makes a writer without a stream: what is sent waits for one.
    package init(on driver: LoopDriver) {
        self.driver = driver
        buffer = OutputQueue(pool: driver.writeBuffers)
    }

    /// Has the sends of this turn and the next written in pieces, so that the peer has something to do while the turn goes on:
    /// after every so many sends, but for what comes after the last piece, which waits for the turn's end.
    package func write(inPiecesOf sends: Int, atMost count: Int) {
        pieces = (sends, count, driver.turnNumber.value)
    }

    /// How many bytes have ever been sent, less those that were taken back.
    @inlinable public var bytesAccepted: UInt64 {
        @inline(__always) get { state.value.handedOver + UInt64(buffer.count) }
    }
    /// How many of them the kernel has taken.
    @inlinable public var bytesHandedOver: UInt64 { state.value.handedOver }

    /// Gathers the `byteCount` bytes that `fill` writes.
    @inlinable
    public func send(_ byteCount: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) {
        buffer.append(byteCount, fill)
        countSend()
    }

    /// Gathers bytes of `source`.
    ///
    /// These are of a batch that was gathered elsewhere, and do not count as sends.
    package func send(from source: WriteBuffer, _ range: Range<Int>) {
        buffer.append(from: source, range)
        if state.value.sendsLeft == 0, !isListed { awaitTurnsEnd() }
    }

    /// Gathers the first bytes of `source`, which lets them go.
    package func send(first byteCount: Int, of source: OutputQueue) {
        source.move(first: byteCount, to: buffer)
        countSend()
    }

    @inlinable
    @inline(__always)
    func countSend() {
        if state.value.sendsLeft > 0 { state.value.sendsLeft -= 1 }
        if state.value.sendsLeft == 0 { sendsRanOut() }
    }

    /// The first of a turn's sends has the others awaited, and the last of a piece has them written.
    @usableFromInline
    func sendsRanOut() {
        guard isListed else {
            awaitTurnsEnd()
            // This one is of the piece.
            if state.value.sendsLeft < .max { state.value.sendsLeft -= 1 }
            return
        }
        state.value.sendsLeft = .max
        pieces.left -= 1
        driver.flushAfterThisWork(self)
    }

    /// How many sends are the next piece.
    private var sendsOfNextPiece: Int {
        pieces.left > 0 && driver.turnNumber.value &- pieces.said <= 1 ? pieces.sends : .max
    }

    func awaitTurnsEnd() {
        guard !isListed else { return }
        isListed = true
        if state.value.sendsLeft == 0 { state.value.sendsLeft = sendsOfNextPiece }
        driver.flushBeforePolling(self)
    }

    /// Takes bytes back that the kernel has not taken, given by their places among all bytes ever accepted.
    ///
    /// What was accepted after them moves up in that count.
    ///
    /// - Parameter ranges: in ascending order, without overlap.
    /// - Returns: false, with nothing taken back, if some of them have been handed over or never were accepted.
    package func takeBack(_ ranges: [Range<UInt64>]) -> Bool {
        guard let first = ranges.first, let last = ranges.last else { return true }
        let handedOver = bytesHandedOver
        guard first.lowerBound >= handedOver, last.upperBound <= bytesAccepted else { return false }
        buffer.remove(ranges.map { Int($0.lowerBound - handedOver)..<Int($0.upperBound - handedOver) })
        // With nothing left to write there is no room to wait for.
        if buffer.isEmpty { tookAll() }
        return true
    }

    /// Lets go of what only a socket that was full needs.
    package func rest() {
        guard !isFull else { return }
        room?.close()
        room = nil
    }

    // MARK: The stream's side

    /// Begins to write to a stream.
    func attach(_ stream: ByteStream) {
        self.stream = stream
        awaitTurnsEnd()
    }

    /// Drops what has not been written, for good.
    func detach() {
        stream = nil
        room?.close()
        room = nil
        isFull = false
        state.value.sendsLeft = .max
        buffer.giveMemoryBack()
    }

    package func flushAtTurnsEnd() {
        isListed = false
        flush()
    }

    /// Hands over what was gathered, as much as the kernel takes.
    package func flush() {
        guard let stream else { return }
        if !isFull { gatherAnew() }
        if stream.hasFailedToWrite(self) { return }
        guard !buffer.isEmpty else { return tookAll() }
        let delegate = stream.delegate
        let now = LoopClock.now
        // What lies in the socket already cannot be the answer to what is not written yet: it is read first.
        if delegate?.expectsNoInput == true, stream.mayHaveInput(now), stream.hasInput() {
            return awaitTurnsEnd()
        }
        delegate?.streamWillWrite(now)
        guard self.stream != nil else { return }
        guard !buffer.isEmpty else { return tookAll() }

        let (offered, written) =
            if let piece = unsafe buffer.onlyPiece {
                unsafe (piece.count, stream.tryWrite(piece))
            } else {
                unsafe buffer.offer { unsafe stream.tryWrite($0) }
            }
        guard written >= 0 || written == Int(UV_EAGAIN.rawValue) else {
            room?.stop()
            return stream.endLater(IOError(Int32(written)), self)
        }
        let taken = max(0, written)
        state.value.handedOver += UInt64(taken)
        if taken == buffer.count {
            tookAll()
            delegate?.streamWrote(isAll: true)
            return
        }
        buffer.removeFirst(taken)
        if taken > 0 { delegate?.streamWrote(isAll: false) }
        if taken < offered {
            waitForRoom(stream)
        } else if !isFull {
            // There may be room for more, once others have had their turn; a full socket is watched already.
            awaitTurnsEnd()
        }
    }

    private func gatherAnew() { state.value.sendsLeft = isListed ? sendsOfNextPiece : 0 }

    private func tookAll() {
        buffer.giveMemoryBack()
        guard isFull else { return }
        isFull = false
        gatherAnew()
        room?.stop()
    }

    private func waitForRoom(_ stream: ByteStream) {
        guard !isFull else { return }
        isFull = true
        state.value.sendsLeft = .max
        if room == nil { room = stream.watchRoom { [weak self] in self?.flush() } }
        room?.start()
    }
}
