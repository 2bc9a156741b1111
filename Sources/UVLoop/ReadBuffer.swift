import Glibc

/// Raw memory that bytes are received into, shared by reference with whoever still decodes from it.
///
/// Bytes once received are never changed while anyone else holds the buffer: only the part behind them is written, and
/// the buffer is moved, grown or used again only by a sole owner.
@_spi(Driver) @safe public final class ReadBuffer: @unchecked Sendable {
    // Safe to share: readers see bytes that were complete before they got the reference, and nobody changes those.
    // Nor is a check of exclusive access needed at each use: whoever changes these two is the sole owner.
    @exclusivity(unchecked) @usableFromInline var memory: UnsafeMutableRawPointer
    @exclusivity(unchecked) @usableFromInline var byteCount: Int

    /// How many bytes it can hold.
    @inlinable public var capacity: Int { unsafe byteCount }

    init(capacity: Int) {
        // The C library's, for it is grown and freed as such. Without memory nothing can be received, nor anybody told.
        guard let fresh = unsafe malloc(max(1, capacity)) else {
            fatalError("out of memory: \(capacity) bytes of input")
        }
        unsafe byteCount = capacity
        unsafe memory = unsafe fresh
    }

    deinit {
        unsafe free(memory)
    }

    /// Reads the bytes at `range`, which must have been received.
    @inlinable
    public func withBytes<Result, Failure: Error>(
        _ range: Range<Int>,
        _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
        // The span cannot leave `body`, and `self` keeps the memory until then.
        let bytes = unsafe UnsafeBufferPointer(
            start: memory.assumingMemoryBound(to: UInt8.self) + range.lowerBound,
            count: range.count
        )
        return try unsafe body(bytes.span)
    }

    /// One byte that has been received.
    @inlinable
    public func byte(at index: Int) -> UInt8 {
        withBytes(index..<(index + 1)) { $0[0] }
    }

    /// The memory from `offset` on, for libuv to fill before anything else touches the buffer.
    func freeSpace(from offset: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: memory + offset, count: capacity - offset)
    }

    /// Makes room at the end, if the system has memory for it.
    ///
    /// Only for a sole owner: the memory may move.
    func grow(to newCapacity: Int) {
        guard let grown = unsafe realloc(memory, newCapacity) else { return }
        unsafe memory = unsafe grown
        unsafe byteCount = newCapacity
    }

    /// Moves the bytes at `range` to the front.
    ///
    /// Only for a sole owner.
    func moveToFront(_ range: Range<Int>) {
        unsafe memmove(memory, memory + range.lowerBound, range.count)
    }

    /// Copies bytes of another buffer to the front.
    func copyToFront(from other: ReadBuffer, _ range: Range<Int>) {
        unsafe memcpy(memory, other.memory + range.lowerBound, range.count)
    }
}

/// A loop's read buffers, lent to a connection for as long as it has bytes to keep: an idle connection holds none.
package final class ReadBufferPool {
    /// The size of a fresh buffer, and of the most that one `read` call takes unless a large reply is under way.
    package static let bufferSize = 64 * 1024
    /// How many buffers wait for their next use.
    package static let maxSpares = 8

    /// How many bytes larger buffers may have that wait for the next large reply, together: fresh memory costs as much as
    /// the bytes that are received into it.
    package static let maxLargeBytes = 2 << 20

    private let spares = LoopBound<[ReadBuffer]>([])
    private let largeSpares = LoopBound<[ReadBuffer]>([])

    /// A buffer nobody else holds, with everything in it free to be overwritten.
    func take() -> ReadBuffer {
        // The newest first: its memory is warm. One whose last reply is still being decoded elsewhere is passed over.
        var index = spares.value.count - 1
        while index >= 0 {
            if isKnownUniquelyReferenced(&spares.value[index]) { return spares.value.remove(at: index) }
            index -= 1
        }
        return ReadBuffer(capacity: Self.bufferSize)
    }

    /// Gives a buffer back; others may still be decoding from it.
    func give(_ buffer: consuming ReadBuffer) {
        guard buffer.capacity == Self.bufferSize else { return giveLarge(buffer) }
        if spares.value.count == Self.maxSpares { spares.value.removeFirst() }
        spares.value.append(buffer)
    }

    /// A buffer nobody else holds, of so many bytes at the least.
    ///
    /// Of those there are it is the largest: what needs more than a common buffer may need much more.
    func takeLarge(_ byteCount: Int) -> ReadBuffer {
        var largest: Int?
        for index in largeSpares.value.indices {
            let capacity = largeSpares.value[index].capacity
            guard capacity >= max(byteCount, largest.map { largeSpares.value[$0].capacity } ?? 0) else {
                continue
            }
            if isKnownUniquelyReferenced(&largeSpares.value[index]) { largest = index }
        }
        return largest.map { largeSpares.value.remove(at: $0) } ?? ReadBuffer(capacity: byteCount)
    }

    private func giveLarge(_ buffer: ReadBuffer) {
        guard buffer.capacity <= Self.maxLargeBytes else { return }
        largeSpares.value.append(buffer)
        var byteCount = largeSpares.value.reduce(0) { $0 + $1.capacity }
        while byteCount > Self.maxLargeBytes { byteCount -= largeSpares.value.removeFirst().capacity }
    }
}

/// The bytes a stream has received and nobody has consumed yet.
struct ReadAccumulator {
    private let pool: ReadBufferPool
    private var buffer: ReadBuffer?
    private var unconsumed = 0..<0

    init(pool: ReadBufferPool) {
        self.pool = pool
    }

    /// Memory for libuv to read into next.
    ///
    /// Without bytes left over it is a pooled buffer; with some it is behind them.
    ///
    /// Room follows the bytes received, never what a header promises: a buffer that is full is doubled.
    mutating func prepareToRead() -> UnsafeMutableRawBufferPointer {
        guard buffer != nil else {
            let fresh = pool.take()
            buffer = fresh
            unconsumed = 0..<0
            return unsafe fresh.freeSpace(from: 0)
        }
        return unsafe makeRoom()
    }

    private mutating func makeRoom() -> UnsafeMutableRawBufferPointer {
        guard var current = buffer else { return unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        buffer = nil
        let isSole = isKnownUniquelyReferenced(&current)
        let wanted = max(ReadBufferPool.bufferSize, 2 * unconsumed.count)
        if current.capacity - unconsumed.upperBound >= ReadBufferPool.bufferSize / 4 {
            // Enough room behind the bytes.
        } else if isSole, unconsumed.lowerBound == 0, current.capacity >= ReadBufferPool.maxLargeBytes {
            current.grow(to: max(wanted, 2 * current.capacity))
        } else if isSole, unconsumed.lowerBound > 0, unconsumed.count <= current.capacity / 2 {
            current.moveToFront(unconsumed)
            unconsumed = 0..<unconsumed.count
        } else {
            let larger =
                unconsumed.count <= ReadBufferPool.bufferSize / 2 ? pool.take() : pool.takeLarge(wanted)
            larger.copyToFront(from: current, unconsumed)
            pool.give(current)
            current = larger
            unconsumed = 0..<unconsumed.count
        }
        buffer = current
        return unsafe current.freeSpace(from: unconsumed.upperBound)
    }

    /// Adds `count` bytes that libuv read, and lends everything unconsumed until `takeBack`.
    mutating func received(_ count: Int) -> (ReadBuffer, Range<Int>)? {
        guard let lent = buffer.take() else { return nil }
        unconsumed = unconsumed.lowerBound..<(unconsumed.upperBound + count)
        return (lent, unconsumed)
    }

    /// Takes back what was lent, and lets go of the first `count` of its bytes; after `discard` there are none.
    mutating func takeBack(_ lent: consuming ReadBuffer, consumed count: Int) {
        unconsumed = (unconsumed.lowerBound + count)..<unconsumed.upperBound
        if unconsumed.isEmpty { pool.give(lent) } else { buffer = lent }
    }

    /// Gives the buffer back if it holds nothing, as after a read that brought nothing.
    mutating func releaseIfEmpty() {
        guard unconsumed.isEmpty, let empty = buffer.take() else { return }
        pool.give(empty)
    }

    /// Lets everything go.
    mutating func discard() {
        unconsumed = 0..<0
        releaseIfEmpty()
    }
}
