import Testing

@testable import AsyncRedis

extension ConnectionStateMachineTests {
    @Test func connectingHasADeadline() {
        let machine = Subject(connectDeadline: 100)
        #expect(machine.tick(99) == .goOn)
        _ = machine.connected(handshakeCommands: 1, now: 99)
        #expect(machine.tick(100) == .end(.timeOut(.connect)))
        #expect(machine.reply() == "ready")
        #expect(machine.tick(100) == .rest(until: .max))
    }

    @Test func aCloseHasADeadlineOfItsOwn() {
        let machine = Subject(connectDeadline: 100)
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.close(deadline: 50) == .drain)
        #expect(machine.tick(49) == .goOn)
        #expect(machine.tick(50) == .end(.timeOut(.close)))
        let standing = ready()
        standing.sent(1, byteCount: 10, deadline: .max, position: 0)
        #expect(standing.close(deadline: 50) == .drain)
        #expect(standing.tick(49) == .goOn)
        #expect(standing.tick(50) == .end(.timeOut(.close)))
    }

    @Test func silenceWithRepliesDueIsTheEndAtTheSecondLook() {
        let machine = Subject(liveness: 10)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        #expect(machine.tick(1000) == .rest(until: .max), "nothing is due")
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, now: 1000)
        #expect(machine.tick(1010) == .goOn)
        #expect(machine.tick(1011) == .goOn)
        machine.bytesRead(1011)
        #expect(machine.tick(1022) == .goOn)
        #expect(machine.tick(1023) == .end(.timeOut(.liveness)))
        // A second command does not make the server look alive.
        machine.bytesRead(2000)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10, now: 2009)
        #expect(machine.tick(2011) == .goOn)
        #expect(machine.tick(2012) == .end(.timeOut(.liveness)))
    }

    /// The time of a command that comes in may lag behind that of bytes that came before it.
    @Test func silenceDoesNotBeginBeforeTheLastByte() {
        let machine = Subject(liveness: 50)
        _ = machine.connected(handshakeCommands: 0)
        machine.bytesRead(100)
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, now: 96)
        #expect(machine.tick(147) == .goOn)
        #expect(machine.tick(150) == .goOn)
        #expect(machine.tick(151) == .goOn)
        #expect(machine.tick(152) == .end(.timeOut(.liveness)))
    }

    @Test func blockingOnTheServerIsNoSilence() {
        let machine = Subject(liveness: 10)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, blocking: 100)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10)
        #expect(machine.tick(110) == .goOn)
        #expect(machine.tick(110) == .goOn)
        machine.bytesRead(110)
        #expect(machine.reply() == "deliver 1")
        // The second has the ordinary time.
        #expect(machine.tick(121) == .goOn)
        #expect(machine.tick(121) == .end(.timeOut(.liveness)))
    }

    @Test func aBlockingCommandThatNobodyWaitsForHasNoTimeOfItsOwn() {
        let machine = Subject(liveness: 10)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, blocking: .max)
        #expect(machine.tick(1000) == .goOn)
        #expect(machine.tick(1000) == .goOn)
        _ = machine.expire(now: 1000, handedOver: 10) { _ in true }
        // From now on its silence is one, but not that of before.
        #expect(machine.tick(1010) == .goOn)
        #expect(machine.tick(1010) == .goOn)
        #expect(machine.tick(1011) == .goOn)
        #expect(machine.tick(1011) == .end(.timeOut(.liveness)))
    }

    @Test func aBlockingCommandThatEndedKeepsTheTimeItAskedFor() {
        let machine = Subject(liveness: 10)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, blocking: 100)
        _ = machine.expire(now: 50, handedOver: 10) { _ in true }
        #expect(machine.tick(110) == .goOn)
        #expect(machine.tick(110) == .goOn)
        #expect(machine.tick(111) == .goOn)
        #expect(machine.tick(111) == .end(.timeOut(.liveness)))
    }

    @Test func anIdleConnectionIsProbedIfAskedFor() {
        let machine = Subject(liveness: 10, idleProbe: 50)
        _ = machine.connected(handshakeCommands: 0, now: 100)
        #expect(machine.tick(149) == .rest(until: 150))
        #expect(machine.tick(150) == .probe)
        machine.probeSent(position: 0, now: 150)
        #expect(machine.inflight == 1, "it holds a permit")
        #expect(machine.tick(155) == .goOn)
        machine.bytesRead(157)
        #expect(machine.reply() == "discard")
        #expect(machine.tick(158) == .rest(until: 207))
        #expect(machine.tick(207) == .probe)
        machine.probeSent(position: 14, now: 207)
        #expect(machine.tick(218) == .goOn)
        #expect(machine.tick(218) == .end(.timeOut(.liveness)))
    }

    @Test func nobodyComesBetweenCommandsThatBelongTogether() {
        let machine = Subject(idleProbe: 50)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        func answer(_ step: GroupStep, _ kind: Subject.Machine.ReplyKind = .value) {
            let request = Subject.Machine.Request(byteCount: 10, deadline: .max, groupStep: step)
            #expect(machine.submit(1, request, hasPermit: true) == "send")
            machine.bytesRead(1)
            #expect(machine.reply(kind) == "deliver 1")
        }
        answer(.none)
        #expect(machine.tick(1000) == .probe)
        answer(.opens, .error)
        #expect(machine.tick(1000) == .probe, "the server refused to open one")
        answer(.opens)
        #expect(machine.tick(1000) == .rest(until: .max))
        answer(.none)
        answer(.closes, .error)
        #expect(machine.tick(1000) == .rest(until: .max), "it may be open still")
        answer(.closes)
        #expect(machine.tick(1000) == .probe)
        answer(.opens)
        answer(.closes, .groupAborted)
        #expect(machine.tick(1000) == .probe)
        answer(.opensForNext)
        #expect(machine.tick(1000) == .rest(until: .max))
        answer(.none, .error)
        #expect(machine.tick(1000) == .probe)
    }

    @Test func aGroupIsFollowedThroughWhateverBecomesOfItsCommands() {
        let machine = Subject(idleProbe: 50)
        _ = machine.connected(handshakeCommands: 0, now: 0)
        func request(_ step: GroupStep) -> Subject.Machine.Request {
            .init(byteCount: 10, deadline: .max, groupStep: step)
        }
        // One group behind the other, on the wire together; the second waited, and nobody waits for its first any more.
        #expect(machine.submit(1, request(.opens), hasPermit: true) == "send")
        #expect(machine.submit(2, request(.closes), hasPermit: true) == "send")
        #expect(machine.submit(3, request(.opens), hasPermit: false) == "hold")
        #expect(machine.promote() == "send 10")
        #expect(machine.expire(now: 0, handedOver: .max) { $0 == 3 }.ended.map(\.waiter) == [3])
        machine.bytesRead(1)
        #expect(machine.reply() == "deliver 1")
        #expect(machine.reply() == "deliver 2")
        #expect(machine.reply() == "discard")
        #expect(machine.tick(1000) == .rest(until: .max))
        // What closes it is taken back before the server sees it.
        #expect(machine.submit(4, request(.closes), hasPermit: true) == "send")
        #expect(machine.expire(now: 0, handedOver: 0) { $0 == 4 }.permitsFreed == 1)
        #expect(machine.tick(1000) == .rest(until: .max))
    }

    @Test func bytesOfThoseWhoEndedWhileTheyWaitedAreNotKeptForLong() {
        let machine = Subject(maxWaiting: 10, maxQueuedBytes: 1_000_000)
        _ = machine.connected(handshakeCommands: 0)
        machine.queued(0, byteCount: 10, deadline: .max)
        for number in 1...2 { machine.queued(number, byteCount: 40_000, deadline: .max) }
        #expect(machine.expire(now: 0, handedOver: 0) { $0 == 1 }.dropWaiting.isEmpty)
        #expect(
            machine.expire(now: 0, handedOver: 0) { $0 == 2 }.dropWaiting == [10..<40_010, 40_010..<80_010]
        )
    }

    @Test func aCloseThatDrainedWithoutAReplyEndsAtTheNextTick() {
        let machine = ready()
        machine.queued(1, byteCount: 10, deadline: 5)
        #expect(machine.close(deadline: 1000) == .drain)
        #expect(machine.tick(5) == .goOn)
        #expect(machine.promote(now: 5) == "deadlineExceeded 1, skip 10")
        #expect(machine.tick(6) == .end(.closed))
    }
}
