import Testing

@_spi(Driver) @testable import UVLoop

/// Memory for replies is used again, and little of it is kept.
struct ReadBufferPoolTests {
    private let pool = ReadBufferPool()

    @Test func aBufferWhoseReplyIsStillDecodedIsNotTaken() {
        let first = pool.takeLarge(1 << 20)
        pool.give(first)
        #expect(pool.takeLarge(1 << 20) !== first)
    }

    @Test func aBufferThatNobodyHoldsIsTakenAgain() {
        pool.give(ReadBuffer(capacity: 1 << 20))
        #expect(pool.takeLarge(100_000).capacity == 1 << 20)
        #expect(pool.takeLarge(100_000).capacity == 100_000)
    }

    @Test func theLargestOneIsTaken() {
        for byteCount in [200_000, 300_000, 100_000] { pool.give(ReadBuffer(capacity: byteCount)) }
        #expect(pool.takeLarge(100_000).capacity == 300_000)
        #expect(pool.takeLarge(250_000).capacity == 250_000)
        #expect(pool.takeLarge(150_000).capacity == 200_000)
    }

    @Test func ofLargeBuffersFewBytesAreKept() {
        let most = ReadBufferPool.maxLargeBytes
        pool.give(ReadBuffer(capacity: most + 1))
        #expect(pool.takeLarge(100_000).capacity == 100_000)
        pool.give(ReadBuffer(capacity: most))
        pool.give(ReadBuffer(capacity: 200_000))
        // The older one had to go.
        #expect(pool.takeLarge(100_000).capacity == 200_000)
        #expect(pool.takeLarge(100_000).capacity == 100_000)
    }
}
