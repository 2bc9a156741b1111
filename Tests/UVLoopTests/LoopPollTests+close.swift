import Foundation
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

// What is left of a poll that has been closed.

extension LoopPollTests {
    @Test(arguments: [true, false])
    func closedItLetsItsClosuresGo(byShutdown: Bool) async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let poll = OnLoop<LoopPoll?>(nil)
        weak var heldByReady: Token?
        weak var heldByShutdown: Token?
        do {
            let (one, two) = (Token(), Token())
            (heldByReady, heldByShutdown) = (one, two)
            try await loop.run {
                poll.value = try LoopPoll(
                    on: loop,
                    descriptor: pair.near,
                    ready: { _ in withExtendedLifetime(one) {} },
                    loopWillShutDown: { withExtendedLifetime(two) {} }
                )
                poll.value?.wait(for: .readable)
            }
        }
        #expect(heldByReady != nil && heldByShutdown != nil)
        if byShutdown { await loop.shutdown() } else { await loop.run { poll.value?.close() } }
        // The poll itself is held still.
        #expect(await loop.run { poll.value != nil })
        #expect(await eventually { heldByReady == nil && heldByShutdown == nil })
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func shutdownClosesItAndTellsItsOwnerOnce() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let told = Collected<[String]>([])
        let poll = try await loop.run {
            let poll = OnLoop<LoopPoll?>(
                try LoopPoll(
                    on: loop,
                    descriptor: pair.near,
                    ready: { _ in told.update { $0.append("ready") } },
                    loopWillShutDown: { told.update { $0.append("shutdown") } }
                )
            )
            poll.value?.wait(for: .readable)
            return poll
        }
        await loop.shutdown()
        pair.sendFromFar("x")
        #expect(told.value == ["shutdown"])
        // The descriptor stayed its owner's.
        #expect(pair.readNear() == "x")
        await loop.run {
            poll.value?.wait(for: .readable)
            poll.value?.close()
            #expect(throws: IOError.loopShutDown) {
                try LoopPoll(on: loop, descriptor: pair.near, ready: { _ in })
            }
        }
        pair.closeBoth()
    }
}
