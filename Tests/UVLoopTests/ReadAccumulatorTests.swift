import Testing

@_spi(Driver) @testable import UVLoop

/// Where received bytes lie while more come.
struct ReadAccumulatorTests {
    /// Fills all the room there is with one byte, as a read would.
    private func receive(_ byte: UInt8, _ input: inout ReadAccumulator) throws -> (ReadBuffer, Range<Int>) {
        let room = unsafe input.prepareToRead()
        // The room is the accumulator's, which lets nobody else write there.
        unsafe room.initializeMemory(as: UInt8.self, repeating: byte)
        let received = input.received(room.count)
        let (buffer, all) = try #require(received)
        input.takeBack(buffer, consumed: 0)
        return (buffer, all)
    }

    /// Reads once: which buffer that was, which is not held, and how many bytes.
    private func readOnce(_ input: inout ReadAccumulator) throws -> (ObjectIdentifier, Int) {
        let (buffer, all) = try receive(1, &input)
        return (ObjectIdentifier(buffer), all.count)
    }

    private func isAll(_ byte: UInt8, _ buffer: ReadBuffer, _ range: Range<Int>) -> Bool {
        buffer.withBytes(range) { span in span.indices.allSatisfy { span[$0] == byte } }
    }

    /// Of a buffer that is full some bytes are left over, few or nearly all: room is made by moving them, or the buffer.
    @Test(arguments: [1, 100, 20_000, 40_000, 65_535])
    func bytesThatSomebodyStillDecodesStayAsTheyAre(leftOver: Int) throws {
        var input = ReadAccumulator(pool: ReadBufferPool())
        let (decoded, first) = try receive(1, &input)
        input.consume(first.count - leftOver)
        let (buffer, all) = try receive(2, &input)
        #expect(isAll(1, decoded, first))
        let begun = all.prefix(leftOver)
        #expect(isAll(1, buffer, begun) && isAll(2, buffer, begun.upperBound..<all.upperBound))
    }

    /// The same with a buffer that has grown for a large reply.
    @Test(arguments: [0, 1_000_000, 2_000_000])
    func bytesOfALargeReplyThatSomebodyStillDecodesStayAsTheyAre(consumed: Int) throws {
        var input = ReadAccumulator(pool: ReadBufferPool())
        var all = 0..<0
        while all.count < ReadBufferPool.maxLargeBytes { all = try receive(1, &input).1 }
        let (decoded, first) = try receive(1, &input)
        input.consume(consumed)
        for _ in 0..<3 { _ = try receive(2, &input) }
        #expect(isAll(1, decoded, first))
    }

    /// A stream may be closed by whoever its bytes are lent to.
    @Test func whatWasLentIsUsedAgainThoughTheRestWasLetGo() throws {
        let pool = ReadBufferPool()
        var input = ReadAccumulator(pool: pool)
        let lent = try lendAndDiscard(&input)
        #expect(ObjectIdentifier(pool.take()) == lent)
    }

    /// Lets everything go while a buffer is lent, and takes that back: which it was.
    private func lendAndDiscard(_ input: inout ReadAccumulator) throws -> ObjectIdentifier {
        let room = unsafe input.prepareToRead()
        // As in `receive`.
        unsafe room.initializeMemory(as: UInt8.self, repeating: 1)
        let received = input.received(room.count)
        let (buffer, _) = try #require(received)
        input.discard()
        input.takeBack(buffer, consumed: 0)
        return ObjectIdentifier(buffer)
    }

    /// Nobody else's: the memory is used again where it is.
    @Test func bytesThatNobodyElseHoldsAreMovedToTheFront() throws {
        var input = ReadAccumulator(pool: ReadBufferPool())
        let (first, count) = try readOnce(&input)
        input.consume(count - 100)
        let (buffer, all) = try receive(2, &input)
        #expect(ObjectIdentifier(buffer) == first)
        #expect(all == 0..<count)
    }
}

extension ReadAccumulator {
    /// Lets go of its first bytes, as after a read that brought nothing more.
    fileprivate mutating func consume(_ count: Int) {
        if let (buffer, _) = received(0) { takeBack(buffer, consumed: count) }
    }
}
