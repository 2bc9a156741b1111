import Testing

@_spi(Driver) @testable import UVLoop

/// Memory for commands is used again, and little of it is kept.
struct WriteBufferPoolTests {
    private let pool = WriteBufferPool()

    private func give(_ byteCount: Int) {
        let buffer = WriteBuffer(pool: pool)
        buffer.append(byteCount) { $0.append(repeating: 1, count: byteCount) }
        buffer.giveMemoryBack()
    }

    /// How much memory a fresh buffer gets, one after the other.
    private func capacities(_ count: Int) -> [Int] {
        let buffers = (0..<count).map { _ in WriteBuffer(pool: pool) }
        for buffer in buffers { buffer.append(1) { $0.append(1) } }
        return buffers.map(\.heldBytes)
    }

    @Test func memoryIsUsedAgain() {
        give(10_000)
        #expect(capacities(2) == [10_000, WriteBufferPool.minBytes])
    }

    @Test func aLargePieceIsNotKept() {
        give(WriteBufferPool.maxSpareBytes + 1)
        give(WriteBufferPool.maxSpareBytes)
        #expect(capacities(2) == [WriteBufferPool.maxSpareBytes, WriteBufferPool.minBytes])
    }

    @Test func fewPiecesAreKept() {
        let buffers = (0...WriteBufferPool.maxSpares).map { _ in WriteBuffer(pool: pool) }
        for buffer in buffers { buffer.append(1000) { $0.append(repeating: 1, count: 1000) } }
        for buffer in buffers { buffer.giveMemoryBack() }
        let kept = capacities(WriteBufferPool.maxSpares + 1).filter { $0 == 1000 }
        #expect(kept.count == WriteBufferPool.maxSpares)
    }
}
