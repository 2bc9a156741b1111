import Glibc

/// Raw memory that output is gathered in before it is written, and stays in until the kernel has taken it.
///
/// Belongs to one thread at a time.
@safe package final class WriteBuffer {
    private static let minCapacity = 512

    private var memory: UnsafeMutablePointer<UInt8>?
    private var capacity = 0
    package private(set) var count = 0

    package init() {}

    deinit {
        unsafe free(memory)
    }

    package var isEmpty: Bool { count == 0 }

    /// Appends the `byteCount` bytes that `fill` writes.
    package func append(_ byteCount: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) {
        reserve(byteCount)
        // `reserve` made the room; the span cannot leave `fill`, which only writes, and never comes back here.
        let room = unsafe UnsafeMutableBufferPointer(
            start: memory.map { unsafe $0 + count },
            count: byteCount
        )
        var output = unsafe OutputSpan(buffer: room, initializedCount: 0)
        fill(&output)
        let written = unsafe output.finalize(for: room)
        precondition(written == byteCount, "a command wrote another number of bytes than it counted")
        count += written
    }

    /// Appends bytes of another buffer.
    package func append(from other: WriteBuffer, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= other.count)
        guard !range.isEmpty, let source = unsafe other.memory else { return }
        reserve(range.count)
        guard let memory = unsafe memory else { return }
        unsafe memcpy(memory + count, source + range.lowerBound, range.count)
        count += range.count
    }

    /// Takes the bytes at these places out, in one pass; what is between and behind them moves up.
    ///
    /// - Parameter ranges: in ascending order, without overlap.
    package func remove(_ ranges: [Range<Int>]) {
        guard let memory = unsafe memory, let first = ranges.first, let last = ranges.last else { return }
        precondition(first.lowerBound >= 0 && last.upperBound <= count)
        var end = first.lowerBound
        for (index, range) in ranges.enumerated() {
            let next = index + 1 < ranges.count ? ranges[index + 1].lowerBound : count
            unsafe memmove(memory + end, memory + range.upperBound, next - range.upperBound)
            end += next - range.upperBound
        }
        count = end
    }

    /// Empties the buffer; its memory is kept for the next use.
    package func clear() {
        count = 0
    }

    /// How much memory the buffer holds.
    package var heldBytes: Int { capacity }

    /// The bytes from `offset` on.
    ///
    /// They stay where they are until the buffer is changed or freed.
    func bytes(from offset: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: memory.map { unsafe $0 + offset }, count: count - offset)
    }

    @inline(__always)
    private func reserve(_ byteCount: Int) {
        if capacity - count < byteCount { grow(byteCount) }
    }

    private func grow(_ byteCount: Int) {
        let wanted = max(Self.minCapacity, max(count + byteCount, capacity * 2))
        guard let grown = unsafe realloc(memory, wanted) else {
            fatalError("out of memory: \(wanted) bytes of output")
        }
        unsafe memory = unsafe grown.assumingMemoryBound(to: UInt8.self)
        capacity = wanted
    }
}

/// A loop's write buffers, lent to a connection while it has output: an idle connection holds none.
package final class WriteBufferPool {
    /// How many buffers wait for their next use.
    package static let maxSpares = 8
    /// A buffer that grew beyond this is freed after its use.
    package static let maxSpareBytes = 4 * 1024 * 1024

    private var spares: [WriteBuffer] = []

    func take() -> WriteBuffer { spares.popLast() ?? WriteBuffer() }

    func give(_ buffer: WriteBuffer) {
        guard spares.count < Self.maxSpares, buffer.heldBytes <= Self.maxSpareBytes else { return }
        buffer.clear()
        spares.append(buffer)
    }
}
