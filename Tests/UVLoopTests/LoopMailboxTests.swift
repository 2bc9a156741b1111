import TestSupport
import Testing

@testable import UVLoop

/// The queue through which work comes to a loop.
@Suite struct LoopMailboxTests {
    private let mailbox = LoopMailbox()

    private func deliver(_ count: Int) {
        for _ in 0..<count { _ = mailbox.deliver(.done) }
    }

    @Test func whatIsTakenComesBehindWhatIsThere() {
        var work: [LoopWork] = [.done]
        let order = Collected<[Int]>([])
        for number in 0..<3 { _ = mailbox.deliver(.post { order.update { $0.append(number) } }) }
        mailbox.takeAll(into: &work)
        #expect(work.count == 4)
        for case .post(let body) in work { body() }
        #expect(order.value == [0, 1, 2])
    }

    @Test func theMemoryOfWhatWasTakenIsUsedAgain() {
        var work: [LoopWork] = []
        work.reserveCapacity(1000)
        deliver(1)
        mailbox.takeAll(into: &work)
        #expect(work.count == 1)
        #expect(work.capacity < 1000)
        work.removeAll()
        deliver(1)
        mailbox.takeAll(into: &work)
        #expect(work.count == 1)
        #expect(work.capacity >= 1000, "what the mailbox was given for the first batch carries the second")
    }
}
