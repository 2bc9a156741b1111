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
