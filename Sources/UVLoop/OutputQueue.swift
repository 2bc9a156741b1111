/// Output in the order it was sent: bytes that were gathered, and between them large ones that stay where their owner has
/// them.
///
/// Large bytes are neither copied nor moved, however many are queued. Belongs to one thread at a time.
@_spi(Driver) public final class OutputQueue {
    /// Bytes of at least so many are worth being left where they are; drivers hold their large words against it too.
    package static let minLargeBytes = 16 * 1024
    /// So many pieces are offered to the kernel at a time.
    private static let maxPiecesPerWrite = 16
    /// So many bytes are offered to the kernel at a time: to copy more would hold the loop up for more than a millisecond, and
    /// more does not fit into a TCP send buffer as Linux makes them (`net.ipv4.tcp_wmem`, tcp(7)).
    static let maxBytesPerWrite = 4 << 20

    /// What was sent last, gathered; the pieces are in front of it.
    @usableFromInline let tail: WriteBuffer
    /// How many bytes the pieces have.
    @usableFromInline let bytesInPieces = LoopBound(0)
    private let pieces = LoopBound<[Piece]>([])
    /// How many of `pieces` have left.
    private var gone = 0
    private let pool: WriteBufferPool?

    fileprivate enum Piece {
        case gathered(WriteBuffer)
        case bytes(ArraySlice<UInt8>)
        /// Text in UTF-8, of which so many bytes have left.
        case text(String, left: Int)

        var count: Int {
            switch self {
            case .gathered(let buffer): buffer.count
            case .bytes(let bytes): bytes.count
            case .text(let text, let left): text.utf8.count - left
            }
        }
    }

    /// Makes an empty queue, which holds no memory.
    ///
    /// - Parameter pool: where memory for what is gathered comes from and goes to.
    package init(pool: WriteBufferPool? = nil) {
        self.pool = pool
        tail = WriteBuffer(pool: pool)
    }

    /// How many bytes have not left.
    @inlinable public var count: Int { bytesInPieces.value + tail.count }
    /// Whether all have.
    @inlinable public var isEmpty: Bool { count == 0 }

    // MARK: In

    /// Appends the `byteCount` bytes that `fill` writes, which must touch neither this queue nor what owns it.
    @inlinable
    public func append(_ byteCount: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) {
        tail.append(byteCount, fill)
    }

    /// Appends bytes that were gathered elsewhere.
    package func append(from source: WriteBuffer, _ range: Range<Int>) {
        tail.append(from: source, range)
    }

    /// Appends bytes, which are kept and not copied.
    package func append(large bytes: ArraySlice<UInt8>) {
        if !bytes.isEmpty { append(.bytes(bytes)) }
    }

    /// Appends text as UTF-8, which is kept and not copied.
    package func append(large text: String) {
        var text = text
        text.makeContiguousUTF8()
        if !text.isEmpty { append(.text(text, left: 0)) }
    }

    /// Appends everything another queue has, which is empty then.
    package func append(all other: OutputQueue) {
        other.move(first: other.count, to: self)
    }

    private func append(_ piece: Piece) {
        if case .gathered(let buffer) = piece, buffer.count < Self.minLargeBytes {
            return tail.append(all: buffer)
        }
        if !tail.isEmpty {
            let sealed = WriteBuffer(pool: pool)
            sealed.append(all: tail)
            bytesInPieces.value += sealed.count
            pieces.value.append(.gathered(sealed))
        }
        bytesInPieces.value += piece.count
        pieces.value.append(piece)
    }

    // MARK: Out

    /// Moves the first bytes to the end of another queue.
    package func move(first byteCount: Int, to other: OutputQueue) {
        precondition(byteCount >= 0 && byteCount <= count)
        var rest = byteCount
        while rest > 0, let piece = firstPiece {
            guard piece.count > rest else {
                rest -= piece.count
                dropFirstPiece()
                other.append(piece)
                continue
            }
            // A bug of ours only: commands are moved whole.
            guard case .gathered(let buffer) = piece else {
                preconditionFailure("a large word is moved whole")
            }
            other.append(from: buffer, 0..<rest)
            removeFirst(rest)
            return
        }
        if rest == tail.count, rest >= Self.minLargeBytes {
            let whole = WriteBuffer(pool: pool)
            whole.append(all: tail)
            return other.append(.gathered(whole))
        }
        other.append(from: tail, 0..<rest)
        tail.removeFirst(rest)
    }

    private var firstPiece: Piece? { gone < pieces.value.count ? pieces.value[gone] : nil }

    private func dropFirstPiece() {
        bytesInPieces.value -= pieces.value[gone].count
        // Its memory goes now, not when the last of them has left.
        pieces.value[gone] = .bytes([])
        gone += 1
        if gone == pieces.value.count {
            pieces.value = []
            gone = 0
        } else if gone > 64, gone > pieces.value.count / 2 {
            pieces.value.removeFirst(gone)
            gone = 0
        }
    }

    /// Lets the first `byteCount` bytes go.
    package func removeFirst(_ byteCount: Int) {
        precondition(byteCount >= 0 && byteCount <= count)
        var rest = byteCount
        while rest > 0, let piece = firstPiece {
            guard piece.count > rest else {
                rest -= piece.count
                dropFirstPiece()
                continue
            }
            switch piece {
            case .gathered(let buffer): buffer.removeFirst(rest)
            case .bytes(let bytes): pieces.value[gone] = .bytes(bytes.dropFirst(rest))
            case .text(let text, let left): pieces.value[gone] = .text(text, left: left + rest)
            }
            bytesInPieces.value -= rest
            return
        }
        tail.removeFirst(rest)
    }

    /// Takes the bytes at these places out, in one pass; what is between and behind them moves up.
    ///
    /// - Parameter ranges: in ascending order, without overlap. What was appended as large is taken out whole, or not at all.
    package func remove(_ ranges: [Range<Int>]) {
        guard !pieces.value.isEmpty else { return tail.remove(ranges) }
        var rest = ranges[...]
        var kept: [Piece] = []
        var start = 0
        for piece in pieces.value[gone...] {
            let end = start + piece.count
            let local = Self.part(of: &rest, in: start..<end)
            if !local.isEmpty {
                bytesInPieces.value -= local.reduce(0) { $0 + $1.count }
                if case .gathered(let buffer) = piece {
                    buffer.remove(local)
                } else {
                    precondition(local == [0..<piece.count], "a large word is taken out whole")
                }
            }
            let isGone = local.reduce(0) { $0 + $1.count } == end - start
            if !isGone { kept.append(piece) }
            start = end
        }
        pieces.value = kept
        gone = 0
        tail.remove(Self.part(of: &rest, in: start..<(start + tail.count)))
    }

    /// Takes what lies in `place` off the front of `ranges`.
    ///
    /// - Returns: it, counted from the beginning of `place`.
    private static func part(of ranges: inout ArraySlice<Range<Int>>, in place: Range<Int>) -> [Range<Int>] {
        var found: [Range<Int>] = []
        while let range = ranges.first, range.lowerBound < place.upperBound {
            let part = range.clamped(to: place)
            if !part.isEmpty {
                found.append((part.lowerBound - place.lowerBound)..<(part.upperBound - place.lowerBound))
            }
            // The rest of it is another piece's.
            guard range.upperBound <= place.upperBound else { break }
            ranges.removeFirst()
        }
        return found
    }

    /// Empties the queue and lets its memory go.
    package func giveMemoryBack() {
        pieces.value = []
        gone = 0
        bytesInPieces.value = 0
        tail.giveMemoryBack()
    }

    // MARK: Writing

    /// The first bytes, as many as are offered to the kernel at a time, if they are in one buffer: most are.
    ///
    /// They stay where they are until the queue is changed or freed, which a write does not do.
    var onlyPiece: UnsafeRawBufferPointer? {
        guard pieces.value.isEmpty else { return nil }
        return unsafe UnsafeRawBufferPointer(
            start: tail.bytes.baseAddress,
            count: min(tail.count, Self.maxBytesPerWrite)
        )
    }

    /// Calls `write` with the first bytes, in one or several buffers.
    ///
    /// - Parameter most: how many bytes these may have together.
    /// - Returns: how many bytes they have, and what `write` returned.
    func offer(
        atMost most: Int = maxBytesPerWrite,
        to write: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Int
    ) -> (offered: Int, written: Int) {
        var (end, offered) = (gone, 0)
        while end < pieces.value.count, end - gone < Self.maxPiecesPerWrite - 1, offered < most {
            offered += pieces.value[end].count
            end += 1
        }
        let isTailNext = end == pieces.value.count && offered < most
        if isTailNext { offered += tail.count }
        let written = unsafe withUnsafeTemporaryAllocation(
            of: UnsafeRawBufferPointer.self,
            capacity: end - gone + 1
        ) { room in
            unsafe fill(room, 0, pieces.value[gone..<end], isTailNext, most, write)
        }
        return (min(offered, most), written)
    }

    /// Fills in a buffer for each piece, inside the access to the one before it, and calls `write` inside of all.
    private func fill(
        _ room: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>,
        _ filled: Int,
        _ rest: ArraySlice<Piece>,
        _ isTailNext: Bool,
        _ most: Int,
        _ write: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Int
    ) -> Int {
        if let piece = rest.first {
            return unsafe piece.withBytes { bytes in
                let offered = unsafe UnsafeRawBufferPointer(rebasing: bytes.prefix(most))
                unsafe room[filled] = unsafe offered
                return unsafe fill(
                    room,
                    filled + 1,
                    rest.dropFirst(),
                    isTailNext,
                    most - offered.count,
                    write
                )
            }
        }
        guard isTailNext, !tail.isEmpty else {
            return unsafe write(UnsafeBufferPointer(rebasing: room[..<filled]))
        }
        unsafe room[filled] = unsafe UnsafeRawBufferPointer(rebasing: tail.bytes.prefix(most))
        return unsafe write(UnsafeBufferPointer(rebasing: room[...filled]))
    }
}

extension OutputQueue.Piece {
    fileprivate func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .gathered(let buffer): return unsafe body(UnsafeRawBufferPointer(buffer.bytes))
        case .bytes(let bytes): return unsafe bytes.withUnsafeBytes { unsafe body($0) }
        case .text(let text, let left):
            let result = unsafe text.utf8.withContiguousStorageIfAvailable { storage in
                unsafe body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage)[left...]))
            }
            // A bug of ours only: `append(large:)` is the one way in.
            guard let result else { preconditionFailure("text is made contiguous when it is appended") }
            return result
        }
    }
}
