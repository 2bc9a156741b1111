import Glibc

/// Raw memory that output is gathered in at one end, and leaves at the other as it is written.
///
/// Places are counted from the first byte that has not left. Belongs to one thread at a time.
@_spi(Driver) @safe public final class WriteBuffer {
    /// Room in front of the first byte is closed when it is more than this, and more than what is left.
    private static let maxSlack = 64 * 1024

    /// Where the bytes are; plain numbers behind a pointer, so that writing a command costs no check of who else writes.
    @usableFromInline
    @safe struct Content {
        @usableFromInline var memory: UnsafeMutablePointer<UInt8>?
        @usableFromInline var capacity = 0
        /// Where the bytes that have not left begin and end in `memory`.
        @usableFromInline var start = 0
        @usableFromInline var end = 0
    }

    @usableFromInline let content = LoopBound(Content())
    /// Where memory comes from and goes to.
    private let pool: WriteBufferPool?

    /// Makes an empty buffer, which holds no memory.
    ///
    /// - Parameter pool: where memory that is not needed any more goes to, and new memory comes from.
    package init(pool: WriteBufferPool? = nil) {
        self.pool = pool
    }

    deinit {
        unsafe free(content.value.memory)
    }

    /// How many bytes have not left.
    @inlinable public var count: Int { content.value.end - content.value.start }
    /// Whether all have.
    @inlinable public var isEmpty: Bool { content.value.start == content.value.end }
    /// How much memory the buffer holds.
    package var heldBytes: Int { content.value.capacity }

    /// Appends the `byteCount` bytes that `fill` writes, which must touch neither this buffer nor what owns it.
    @inlinable
    public func append(_ byteCount: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) {
        reserve(byteCount)
        // `reserve` made the room; the span cannot leave `fill`, which only writes, and never comes back here.
        let room = unsafe UnsafeMutableBufferPointer(
            start: content.value.memory.map { unsafe $0 + content.value.end },
            count: byteCount
        )
        var output = unsafe OutputSpan(buffer: room, initializedCount: 0)
        fill(&output)
        let written = unsafe output.finalize(for: room)
        precondition(written == byteCount, "a command wrote another number of bytes than it counted")
        content.value.end += written
    }

    /// Takes all bytes of another buffer, or its memory if there are none here.
    package func append(all other: WriteBuffer) {
        if isEmpty { return swap(&content.value, &other.content.value) }
        append(from: other, 0..<other.count)
    }

    /// Appends bytes of another buffer.
    package func append(from other: WriteBuffer, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= other.count)
        guard !range.isEmpty, let source = unsafe other.bytes.baseAddress else { return }
        reserve(range.count)
        guard let memory = unsafe content.value.memory else { return }
        unsafe memcpy(memory + content.value.end, source + range.lowerBound, range.count)
        content.value.end += range.count
    }

    /// Lets the first `byteCount` bytes go.
    package func removeFirst(_ byteCount: Int) {
        precondition(byteCount >= 0 && byteCount <= count)
        content.value.start += byteCount
        if isEmpty {
            clear()
        } else if content.value.start > max(Self.maxSlack, count), let memory = unsafe content.value.memory {
            // What is moved is less than what has left since the last move: each byte moves once on average.
            let count = count
            unsafe memmove(memory, memory + content.value.start, count)
            content.value.start = 0
            content.value.end = count
        }
    }

    /// Takes the bytes at these places out, in one pass; what is between and behind them moves up.
    ///
    /// - Parameter ranges: in ascending order, without overlap.
    package func remove(_ ranges: [Range<Int>]) {
        guard let bytes = unsafe bytes.baseAddress, let first = ranges.first, let last = ranges.last else {
            return
        }
        let count = count
        precondition(first.lowerBound >= 0 && last.upperBound <= count)
        var kept = first.lowerBound
        for (index, range) in ranges.enumerated() {
            let next = index + 1 < ranges.count ? ranges[index + 1].lowerBound : count
            unsafe memmove(bytes + kept, bytes + range.upperBound, next - range.upperBound)
            kept += next - range.upperBound
        }
        content.value.end = content.value.start + kept
        if isEmpty { clear() }
    }

    /// Empties the buffer; its memory is kept for the next use, unless it is a lot.
    package func clear() {
        content.value.start = 0
        content.value.end = 0
        if heldBytes > WriteBufferPool.maxSpareBytes { giveMemoryBack() }
    }

    /// Empties the buffer and lets its memory go, to the pool if there is one.
    package func giveMemoryBack() {
        let memory = unsafe content.value.memory
        let capacity = content.value.capacity
        content.value = Content()
        if let pool { unsafe pool.give(memory, capacity) } else { unsafe free(memory) }
    }

    /// The bytes that have not left.
    ///
    /// They stay where they are until the buffer is changed or freed.
    var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: content.value.memory.map { unsafe $0 + content.value.start },
            count: count
        )
    }

    @inlinable
    @inline(__always)
    func reserve(_ byteCount: Int) {
        if content.value.capacity - content.value.end < byteCount { grow(byteCount) }
    }

    @usableFromInline
    func grow(_ byteCount: Int) {
        if unsafe content.value.memory == nil, let pool {
            unsafe (content.value.memory, content.value.capacity) = pool.take()
            if content.value.capacity >= byteCount { return }
        }
        let wanted = max(
            WriteBufferPool.minBytes,
            max(content.value.end + byteCount, content.value.capacity * 2)
        )
        // Without memory nothing can be sent, and a word is in the middle of being encoded: nobody could be told.
        guard let grown = unsafe realloc(content.value.memory, wanted) else {
            fatalError("out of memory: \(wanted) bytes of output")
        }
        unsafe content.value.memory = unsafe grown.assumingMemoryBound(to: UInt8.self)
        content.value.capacity = wanted
    }
}

/// A loop's memory for output, lent to a connection while it has some: an idle connection holds none.
@safe package final class WriteBufferPool {
    /// How many pieces of memory wait for their next use.
    package static let maxSpares = 8
    /// The size of a fresh piece.
    static let minBytes = 512
    /// A piece that grew beyond this is freed after its use.
    package static let maxSpareBytes = 256 * 1024

    private let spares = unsafe LoopBound<[(memory: UnsafeMutablePointer<UInt8>, capacity: Int)]>([])

    init() {}

    deinit {
        while let spare = unsafe spares.value.popLast() { unsafe free(spare.memory) }
    }

    /// Hands out memory, or none if there is none to spare; whoever takes it frees it or gives it back.
    func take() -> (UnsafeMutablePointer<UInt8>?, Int) {
        guard let spare = unsafe spares.value.popLast() else { return (nil, 0) }
        return unsafe (spare.memory, spare.capacity)
    }

    /// Takes memory back.
    func give(_ memory: UnsafeMutablePointer<UInt8>?, _ capacity: Int) {
        guard let memory = unsafe memory else { return }
        if unsafe spares.value.count < Self.maxSpares, capacity <= Self.maxSpareBytes {
            unsafe spares.value.append((memory, capacity))
        } else {
            unsafe free(memory)
        }
    }
}
