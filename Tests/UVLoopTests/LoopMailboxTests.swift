import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// The queue through which work comes to a loop.
@Suite struct LoopMailboxTests {
    private let mailbox = LoopMailbox()

    private func deliver(_ count: Int) {
        for _ in 0..<count { _ = mailbox.deliver(.post {}) }
    }

    @Test func whatIsTakenComesBehindWhatIsThere() {
        var work = RingBuffer<LoopWork>()
        work.append(.post {})
        let order = Collected<[Int]>([])
        for number in 0..<3 { _ = mailbox.deliver(.post { order.update { $0.append(number) } }) }
        mailbox.takeAll(into: &work)
        #expect(work.count == 4)
        while case .post(let body) = work.popFirst() { body() }
        #expect(order.value == [0, 1, 2])
    }

    @Test func whoeverFindsNothingLeavesTheBox() {
        var work = RingBuffer<LoopWork>()
        #expect(!mailbox.deliver(.post {}))
        var counts: [Int?] = []
        for _ in 0..<2 {
            counts.append(mailbox.takeOrLeave(into: &work) ? work.count : nil)
            _ = work.popFirst()
        }
        #expect(counts == [1, nil])
        #expect(mailbox.deliver(.post {}), "the next work brings a thread of its own")
    }

    @Test func theMemoryThatACrowdNeededIsNotKept() async {
        let loop = EventLoop(name: "test")
        let crowd = 8 * LoopDriver.maxWorkPerTurn
        await loop.run {
            for _ in 0..<crowd { loop.post {} }
        }
        // Twice: the memory goes to the mailbox and back.
        var capacities: [Int] = []
        for _ in 0..<4 { capacities.append(await loop.run { loop.core.driver.agenda.value.work.capacity }) }
        #expect(capacities.suffix(2).allSatisfy { $0 <= 4 * LoopDriver.maxWorkPerTurn }, "\(capacities)")
        await loop.shutdown()
    }

    @Test func theMemoryOfWhatWasTakenIsUsedAgain() {
        var work = RingBuffer<LoopWork>()
        for _ in 0..<1000 { work.append(.post {}) }
        while work.popFirst() != nil {}
        deliver(1)
        mailbox.takeAll(into: &work)
        #expect(work.count == 1)
        #expect(work.capacity < 1000)
        while work.popFirst() != nil {}
        deliver(1)
        mailbox.takeAll(into: &work)
        #expect(work.count == 1)
        #expect(work.capacity >= 1000, "what the mailbox was given for the first batch carries the second")
    }
}
