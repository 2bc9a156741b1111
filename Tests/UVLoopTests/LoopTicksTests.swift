import TestSupport
import Testing

@testable import UVLoop

/// The ticks of a loop.
@Suite struct LoopTicksTests {
    private let loop = EventLoop(name: "ticks-test")

    /// Counts its ticks, and leaves after so many.
    private final class Member: LoopTicked, @unchecked Sendable {
        // Safe to share: touched on the loop only, but for the gate.
        let hasHadAll = Gate()
        private(set) var count = 0
        private let limit: Int
        private let ticks: LoopTicks
        var whenTicked: () -> Void = {}

        init(_ ticks: LoopTicks, leavesAfter limit: Int) {
            self.ticks = ticks
            self.limit = limit
        }

        func loopTicked() {
            count += 1
            whenTicked()
            guard count == limit else { return }
            ticks.leave(self)
            hasHadAll.open()
        }
    }

    /// Runs `body` on the loop, with ticks that come from the kernel's timer or, if none can be made, from libuv's.
    private func withTicks<Result: Sendable>(
        hasKernelTimer: Bool = true,
        _ body: @escaping @Sendable (LoopTicks) -> Result
    ) async -> Result {
        await loop.run { [core = loop.core] in
            body(hasKernelTimer ? core.driver.ticks : LoopTicks(on: core.driver, makeTimer: { -1 }))
        }
    }

    @Test(arguments: [true, false])
    func membersAreToldUntilTheyLeave(hasKernelTimer: Bool) async {
        let ticks = await withTicks(hasKernelTimer: hasKernelTimer) { OnLoop($0) }
        let members = await loop.run {
            let members = [3, 1, 5].map { Member(ticks.value, leavesAfter: $0) }
            for member in members { ticks.value.join(member) }
            // Twice is once.
            ticks.value.join(members[0])
            return members
        }
        for member in members { await member.hasHadAll.wait() }
        // They end by themselves when nobody is left, and begin again.
        #expect(await eventually { await loop.run { !ticks.value.areRunning } })
        #expect(await loop.run { members.map(\.count) } == [3, 1, 5])
        let late = await loop.run {
            let late = Member(ticks.value, leavesAfter: 2)
            ticks.value.join(late)
            return late
        }
        await late.hasHadAll.wait()
        await loop.shutdown()
    }

    @Test func aMemberThatAnotherOneTakesOutIsNotTold() async {
        let ticks = await withTicks { OnLoop($0) }
        let members = await loop.run {
            // Whoever comes first takes the other out.
            let members = (0..<2).map { _ in Member(ticks.value, leavesAfter: 1) }
            for (member, other) in zip(members, members.reversed()) {
                member.whenTicked = { [ticks = ticks.value] in ticks.leave(other) }
                ticks.value.join(member)
            }
            return members
        }
        #expect(await eventually { await loop.run { !ticks.value.areRunning } })
        #expect(await loop.run { members.map(\.count).sorted() } == [0, 1])
        await loop.run { for member in members { member.whenTicked = {} } }
        await loop.shutdown()
    }

    /// What ticks are for: a poll that ends after a time costs more.
    @Test func pollsHaveNoTimeOutWhileTicksCome() async {
        let member = await withTicks { ticks in
            let member = Member(ticks, leavesAfter: .max)
            ticks.join(member)
            return member
        }
        for _ in 0..<20 {
            let timeOut = await loop.run { [core = loop.core] in core.driver.pollTimeOut }
            // With work left over from the turn before the loop does not sleep at all, which takes no timer.
            #expect(timeOut == nil || timeOut == 0)
        }
        await withTicks { $0.leave(member) }
        await loop.shutdown()
    }

    @Test func theLoopsShutdownLetsMembersGo() async {
        weak var weakMember: Member?
        do {
            let member = await withTicks { ticks in
                let member = Member(ticks, leavesAfter: .max)
                ticks.join(member)
                return member
            }
            weakMember = member
        }
        #expect(weakMember != nil)
        await loop.shutdown()
        #expect(weakMember == nil)
        // Nobody joins any more.
        do {
            let member = await withTicks { ticks in
                let member = Member(ticks, leavesAfter: .max)
                ticks.join(member)
                #expect(!ticks.areRunning)
                return member
            }
            weakMember = member
        }
        #expect(weakMember == nil)
    }
}
