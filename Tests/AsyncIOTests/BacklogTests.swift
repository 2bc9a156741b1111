@_spi(Driver) @testable import AsyncIO
import TestSupport
import Testing

/// What may wait for an endpoint, on the loop and on the way to it.
@Suite struct BacklogTests {
    private let backlog = Backlog(most: .init(commands: 3, bytes: 100), mostToBeSent: 2)

    @Test func soManyCommandsMayBeOnTheirWayAndNotOneMore() {
        for _ in 0..<5 { #expect(backlog.reserve(bytes: 1) == nil) }
        #expect(backlog.reserve(bytes: 1) == .commands)
        #expect(backlog.all == .init(commands: 5, bytes: 5), "what is refused takes no room")
        backlog.giveBack(bytes: 1)
        #expect(backlog.reserve(bytes: 1) == nil)
    }

    @Test func whatWaitsOnTheLoopIsInTheWay() {
        backlog.change(by: .init(commands: 3, bytes: 60))
        #expect(backlog.reserve(bytes: 41) == .bytes)
        #expect(backlog.reserve(bytes: 40) == nil)
        #expect(backlog.reserve(bytes: 0) == nil)
        #expect(backlog.reserve(bytes: 0) == .commands)
        backlog.change(by: .init(commands: -1, bytes: -20))
        #expect(backlog.reserve(bytes: 21) == .bytes)
        #expect(backlog.reserve(bytes: 20) == nil)
        #expect(backlog.all == .init(commands: 5, bytes: 100))
    }

    @Test func oneCommandAloneMayHaveAnyNumberOfBytes() {
        #expect(backlog.reserve(bytes: 1000) == nil)
        #expect(backlog.reserve(bytes: 1) == .bytes)
        backlog.giveBack(bytes: 1000)
        #expect(backlog.reserve(bytes: .max) == nil)
        backlog.giveBack(bytes: .max)
        #expect(backlog.all == .init())
    }

    @Test func whatArrivedCountsOnceAndIsInNobodysWayInFrontOfIt() {
        for bytes in [10, 20, 30] { #expect(backlog.reserve(bytes: bytes) == nil) }
        backlog.arrive(.init(commands: 2, bytes: 30))
        #expect(backlog.all == .init(commands: 3, bytes: 60))
        #expect(backlog.inFrontOfArrivals == .init())
        backlog.dealWithArrival(bytes: 10)
        #expect(backlog.all == .init(commands: 2, bytes: 50))
        // It waits on the loop now, and the next one behind it.
        backlog.change(by: .init(commands: 1, bytes: 10))
        #expect(backlog.inFrontOfArrivals == .init(commands: 1, bytes: 10))
        backlog.dealWithArrival(bytes: 20)
        #expect(backlog.inFrontOfArrivals == .init(commands: 1, bytes: 10))
        #expect(backlog.all == .init(commands: 2, bytes: 40))
    }

    @Test func withoutLimitsThereIsAlwaysRoom() {
        let endless = Backlog(most: .init(commands: .max, bytes: .max), mostToBeSent: 1)
        for _ in 0..<100 { #expect(endless.reserve(bytes: 1 << 40) == nil) }
    }

    @Test func whoeverFindsTheLastRoomTakenGivesBackItsOwn() {
        for _ in 0..<5 { #expect(backlog.reserve(bytes: 20) == nil) }
        #expect(backlog.take(bytes: 1) == .commands)
        backlog.giveBack(bytes: 20)
        #expect(backlog.take(bytes: 21) == .bytes)
        #expect(backlog.all == .init(commands: 4, bytes: 80))
    }

    @Test func whoeverComesTooLateForTheLastRoomTakesNone() async {
        let backlog = Backlog(most: .init(commands: 0, bytes: 1 << 20), mostToBeSent: 1)
        let both = Collected(0)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<50_000 where backlog.reserve(bytes: 3) == nil {
                        if backlog.all.commands > 4 { both.update { $0 += 1 } }
                        backlog.giveBack(bytes: 3)
                    }
                }
            }
        }
        #expect(both.value == 0)
        #expect(backlog.all == .init(), "whoever found no room left nothing")
    }

    @Test func manyThreadsNeverReserveMoreThanThereIs() async {
        let backlog = Backlog(most: .init(commands: 60, bytes: 1 << 20), mostToBeSent: 4)
        let accepted = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask { (0..<100).count { _ in backlog.reserve(bytes: 1) == nil } }
            }
            return await group.reduce(0, +)
        }
        #expect(accepted <= 64)
        #expect(backlog.all == .init(commands: accepted, bytes: accepted))
        // A refused one may have been in another's way for a moment; now nothing is.
        for _ in accepted..<64 { #expect(backlog.reserve(bytes: 1) == nil) }
        #expect(backlog.reserve(bytes: 1) == .commands)
    }
}
