@_spi(Driver) import AsyncIO
import Testing

@testable import AsyncRedis

/// The state machine alone, as transcripts: commands are numbers, nothing is sent anywhere.
@Suite struct ConnectionStateMachineTests {
    func ready() -> Subject {
        let subject = Subject()
        _ = subject.connected(handshakeCommands: 0)
        return subject
    }

    @Test func repliesGoToCommandsInTheirOrder() {
        let machine = ready()
        for number in 1...3 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(number * 10))
        }
        #expect(machine.inflight == 3)
        #expect(machine.reply() == "deliver 1")
        #expect(machine.reply() == "deliver 2")
        #expect(machine.reply() == "deliver 3")
        #expect(machine.reply() == "unsolicited")
    }

    @Test func aReplyToWhatHasNotLeftWholeIsUnsolicited() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10)
        #expect(machine.reply(handedOver: 10) == "deliver 1")
        #expect(machine.reply(handedOver: 19) == "unsolicited")
        #expect(
            machine.reply(.error, handedOver: 19) == "farewell",
            "a server's last word to what it cannot take"
        )
        #expect(machine.reply(handedOver: 20) == "deliver 2")
    }

    @Test func aFarewellIsOneOnlyBeforeTheFirstReply() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10)
        #expect(machine.reply(.farewell) == "farewell")
        #expect(machine.inflight == 2)
        let answered = ready()
        answered.sent(1, byteCount: 10, deadline: .max, position: 0)
        answered.sent(2, byteCount: 10, deadline: .max, position: 10)
        #expect(answered.reply() == "deliver 1")
        #expect(answered.reply(.farewell) == "deliver 2", "such words may be a command's own error")
    }

    @Test func whatHasEndedAlreadyIsNotTakenIn() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        #expect(
            machine.submit(2, .init(byteCount: 10, deadline: 7), hasPermit: true, now: 7)
                == "deadlineExceeded, notSent, waitingForPermit, behind 1"
        )
        #expect(
            machine.submit(3, .init(byteCount: 10, deadline: 8), isCancelled: true, hasPermit: false, now: 7)
                == "cancelled, notSent, waitingForPermit, behind 1"
        )
        #expect(machine.inflight == 1)
        #expect(machine.waitingCount == 0)
        #expect(
            Subject().submit(1, .init(byteCount: 10, deadline: 0), hasPermit: false)
                == "deadlineExceeded, notSent, waitingForConnection, behind 0"
        )
    }

    @Test func anEndSaysHowFarTheCommandHadCome() {
        let machine = ready()
        for number in 0..<3 {
            machine.sent(number, byteCount: 10, deadline: 5, position: UInt64(10 * number))
        }
        for number in 3..<5 { machine.queued(number, byteCount: 10, deadline: 5) }
        let ended = machine.expire(now: 5, handedOver: 11).ended
        #expect(ended.map(\.waiter) == [0, 1, 2, 3, 4])
        #expect(
            ended.map(\.commandsAhead) == [0, 1, 2, 2, 3],
            "the third has left the wire when those that wait are told"
        )
        #expect(
            ended.map(\.phase)
                == [
                    .waitingForReply, .waitingForReply, .waitingToBeWritten, .waitingForPermit,
                    .waitingForPermit,
                ]
        )
        let connecting = Subject()
        connecting.queued(1, byteCount: 10, deadline: 5)
        #expect(connecting.expire(now: 5, handedOver: 0).ended.map(\.phase) == [.waitingForConnection])
    }

    @Test func whatHadEndedBeforeWasInNobodysWay() {
        let machine = ready()
        for number in 0..<4 { machine.queued(number, byteCount: 10, deadline: .max) }
        #expect(machine.expire(now: 0, handedOver: 0) { $0 == 1 }.ended.map(\.commandsAhead) == [1])
        #expect(machine.expire(now: 0, handedOver: 0) { $0 == 3 }.ended.map(\.commandsAhead) == [2])
    }

    @Test func whatIsLateWhenTheStreamWritesIsNotWritten() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: 100, position: 0)
        machine.sent(2, byteCount: 10, deadline: 50, position: 10)
        machine.sent(3, byteCount: 10, deadline: .max, position: 20)
        #expect(machine.willWrite(now: 49, handedOver: 0) == nil)
        let expiry = machine.willWrite(now: 50, handedOver: 0)
        #expect(expiry?.ended.map(\.waiter) == [2])
        #expect(expiry?.ended.map(\.outcome) == [.notSent])
        #expect(expiry?.takeBack == [10..<20])
        #expect(machine.willWrite(now: 99, handedOver: 0) == nil)
        // The kernel took a part of the first.
        let partly = machine.willWrite(now: 100, handedOver: 1)
        #expect(partly?.ended.isEmpty == true, "it keeps its place; the next look at the wire tells it")
        #expect(machine.willWrite(now: 100, handedOver: 1) == nil)
        machine.wroteAll()
        machine.sent(4, byteCount: 10, deadline: 200, position: 20, now: 150)
        #expect(machine.willWrite(now: 200, handedOver: 20)?.ended.map(\.waiter) == [4])
    }

    @Test func aLookSeesThoseThatWereThereAtTheLast() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: 5, position: 0)
        #expect(machine.look(now: 5) == [], "it came since the last look")
        machine.sent(2, byteCount: 10, deadline: 5, position: 10)
        #expect(machine.look(now: 5) == [1])
        #expect(machine.look(now: 5) == [2])
    }

    @Test func commandsWaitForTheConnectionAndTheHandshake() {
        let machine = Subject()
        #expect(!machine.mayAskForPermit)
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(!machine.mayPromote)
        let isReady = machine.connected(handshakeCommands: 2)
        #expect(!isReady)
        #expect(machine.promote() == "none")
        #expect(machine.reply() == "handshake")
        #expect(!machine.mayPromote)
        #expect(machine.reply() == "ready")
        #expect(machine.mayPromote)
        #expect(!machine.mayAskForPermit, "newcomers wait behind those who wait")
        #expect(machine.promote() == "send 10")
        #expect(machine.promote() == "none")
        #expect(machine.mayAskForPermit)
        #expect(machine.reply() == "deliver 1")
    }

    @Test func aRefusedHandshakeIsNoReplyToACommand() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        _ = machine.connected(handshakeCommands: 1)
        #expect(machine.reply(.error) == "refused 0")
    }

    @Test func aReplyBeforeTheHandshakeHasLeftIsNobodys() {
        let machine = Subject()
        _ = machine.connected(handshakeCommands: 2)
        #expect(machine.reply(handedOver: 9) == "unsolicited")
        #expect(machine.reply(.error, handedOver: 9) == "farewell")
        #expect(machine.reply(handedOver: 10) == "handshake")
        #expect(machine.reply(handedOver: 19) == "unsolicited")
        #expect(machine.reply(.error, handedOver: 20) == "refused 1")
    }

    @Test func errorRepliesAreRepliesOnceReady() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        #expect(machine.reply(.error) == "deliver 1")
    }

    @Test func aReplyBeforeTheConnectionStandsIsUnsolicited() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.reply() == "unsolicited")
    }

    @Test func waitingCommandsAreBounded() {
        let machine = Subject(maxWaiting: 2, maxQueuedBytes: 1000)
        for number in 1...2 { machine.queued(number, byteCount: 1, deadline: .max) }
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == "tooManyWaiting")
        #expect(machine.refusal(byteCount: 1, hasPermit: true, unsentBytes: 0) == "send")
    }

    @Test func queuedBytesAreBoundedButOneCommandAlwaysFits() {
        let alone = Subject(maxWaiting: 10, maxQueuedBytes: 100)
        #expect(alone.refusal(byteCount: 5000, hasPermit: false, unsentBytes: 0) == "hold")
        let machine = Subject(maxWaiting: 10, maxQueuedBytes: 100)
        machine.queued(1, byteCount: 60, deadline: .max)
        #expect(machine.refusal(byteCount: 41, hasPermit: false, unsentBytes: 0) == "tooManyBytes")
        #expect(machine.refusal(byteCount: 40, hasPermit: true, unsentBytes: 1) == "tooManyBytes")
        #expect(machine.refusal(byteCount: 40, hasPermit: false, unsentBytes: 0) == "hold")
    }

    @Test func aCancelledWaiterIsNeverSent() {
        let machine = ready()
        for number in 1...3 { machine.queued(number, byteCount: 10 * number, deadline: .max) }
        let expiry = machine.expire(now: 0, handedOver: 0) { $0 == 2 }
        #expect(expiry.ended.map(\.waiter) == [2])
        #expect(expiry.ended.map(\.reason) == [.cancelled])
        #expect(expiry.ended.map(\.outcome) == [.notSent])
        #expect(expiry.permitsFreed == 0)
        #expect(machine.waitingCount == 2)
        #expect(machine.promote() == "send 10")
        #expect(machine.promote() == "skip 20")
        #expect(machine.promote() == "send 30")
        #expect(machine.reply() == "deliver 1")
        #expect(machine.reply() == "deliver 3")
        #expect(machine.isIdle)
    }

    @Test func aCancelledCommandOnTheWireBecomesATombstone() {
        let machine = ready()
        for number in 0..<3 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(number * 10))
        }
        let expiry = machine.expire(now: 0, handedOver: 30) { $0 == 1 }
        #expect(expiry.ended.map(\.outcome) == [.indeterminate])
        #expect(expiry.permitsFreed == 0, "its permit is held until its reply has come")
        #expect(machine.inflight == 3)
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply() == "discard")
        #expect(machine.reply() == "deliver 2")
    }

    @Test func aCommandThatHasNotLeftIsTakenBackWhole() {
        let machine = ready()
        for number in 0..<4 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(number * 10))
        }
        // The first 15 bytes have been handed over: command 0 whole, command 1 in part.
        let expiry = machine.expire(now: 0, handedOver: 15) { $0 == 1 || $0 == 2 }
        #expect(expiry.ended.map(\.waiter) == [1, 2])
        #expect(expiry.ended.map(\.outcome) == [.indeterminate, .notSent])
        #expect(expiry.takeBack == [20..<30])
        #expect(expiry.permitsFreed == 1)
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply(handedOver: 20) == "discard")
        // Command 3 has moved up to position 20.
        #expect(machine.reply(handedOver: 29) == "unsolicited")
        #expect(machine.reply(handedOver: 30) == "deliver 3")
    }

    @Test func severalTakenBackAreNamedInTheirOrder() {
        let machine = ready()
        for number in 0..<4 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(number * 10))
        }
        let expiry = machine.expire(now: 0, handedOver: 10) { $0 == 1 || $0 == 3 }
        #expect(expiry.takeBack == [10..<20, 30..<40])
        #expect(expiry.permitsFreed == 2)
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply(handedOver: 20) == "deliver 2")
    }

    @Test func deadlinesEndWhatIsLateAndNothingElse() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: 100, position: 0)
        machine.sent(2, byteCount: 10, deadline: 200, position: 10)
        machine.queued(3, byteCount: 10, deadline: 100)
        machine.queued(4, byteCount: 10, deadline: .max)
        #expect(machine.expire(now: 99, handedOver: 20, { _ in false }).ended.isEmpty)
        let expiry = machine.expire(now: 100, handedOver: 20) { _ in false }
        #expect(expiry.ended.map(\.waiter) == [1, 3])
        #expect(expiry.ended.map(\.reason) == [.deadlineExceeded, .deadlineExceeded])
        #expect(expiry.ended.map(\.outcome) == [.indeterminate, .notSent])
        #expect(machine.expire(now: 150, handedOver: 20, { _ in false }).ended.isEmpty, "each ends once")
    }

    @Test func aSweepInPiecesComesRoundToEverybody() {
        let machine = ready()
        for number in 0..<10 {
            machine.sent(number, byteCount: 10, deadline: 5, position: UInt64(number * 10))
        }
        var ended: [Int] = []
        for _ in 0..<2 {
            ended += machine.expire(now: 5, handedOver: 100, atMost: 3, { _ in false }).ended.map(
                \.waiter
            )
        }
        #expect(ended == [0, 1, 2, 3, 4, 5])
        // Two leave at the head: the sweep goes on behind the ones it has seen.
        for _ in 0..<2 { #expect(machine.reply() == "discard") }
        for _ in 0..<2 {
            ended += machine.expire(now: 5, handedOver: 100, atMost: 3, { _ in false }).ended.map(
                \.waiter
            )
        }
        #expect(ended == Array(0..<10))
    }

    @Test func whatComesAndIsTakenBackBetweenTwoLooksHidesNobody() {
        let machine = ready()
        for number in 1...2 {
            machine.sent(number, byteCount: 10, deadline: 50, position: UInt64(number * 10 - 10))
        }
        #expect(machine.look(now: 0) == [])
        machine.sent(3, byteCount: 10, deadline: 20, position: 20)
        #expect(machine.willWrite(now: 20, handedOver: 20)?.ended.map(\.waiter) == [3])
        #expect(machine.look(now: 50) == [1, 2])
    }

    @Test func whatEndsInLineIsNotSent() {
        let machine = ready()
        machine.queued(1, byteCount: 10, deadline: 5)
        machine.queued(2, byteCount: 20, deadline: .max)
        machine.queued(3, byteCount: 30, deadline: 6)
        #expect(machine.promote(now: 5) == "deadlineExceeded 1, skip 10")
        #expect(machine.promote(now: 5, { $0 == 2 }) == "cancelled 2, skip 20")
        #expect(machine.promote(now: 5) == "send 30")
        #expect(machine.waitingCount == 0)
    }

    @Test func tombstonesOfThoseWhoWaitedAreSweptOut() {
        let machine = Subject(maxWaiting: 200, maxQueuedBytes: 2000)
        _ = machine.connected(handshakeCommands: 0)
        for number in 0..<200 { machine.queued(number, byteCount: 10, deadline: .max) }
        #expect(machine.refusal(byteCount: 1, hasPermit: true, unsentBytes: 0) == "tooManyBytes")
        let expiry = machine.expire(now: 0, handedOver: 0, { !$0.isMultiple(of: 4) })
        #expect(expiry.ended.count == 150)
        #expect(expiry.dropWaiting.count == 150)
        #expect(expiry.dropWaiting.first == 10..<20)
        #expect(machine.waitingCount == 50)
        #expect(
            machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == "hold",
            "their bytes do not count"
        )
        #expect(machine.promote() == "send 10")
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply() == "deliver 4")
    }

    @Test func closingRefusesNewcomersAndDrains() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.queued(2, byteCount: 10, deadline: .max)
        #expect(machine.close() == .drain)
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == "closed")
        #expect(!machine.isDrained)
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 1")
        #expect(!machine.isDrained)
        #expect(machine.reply() == "deliver 2")
        #expect(machine.isDrained)
    }

    @Test func aCloseWaitsForThoseWhoWaitForPermitsThatOthersHold() {
        let machine = ready()
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.close() == .drain)
        #expect(machine.inflight == 0)
        #expect(!machine.isDrained)
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 1")
        #expect(machine.isDrained)
    }

    @Test func anIdleConnectionClosesNow() {
        let machine = ready()
        #expect(machine.close() == .endNow)
        #expect(machine.end() == [])
        #expect(machine.end() == nil, "it ends once")
        #expect(machine.close() == .none)
    }

    @Test func aCloseWhileConnectingSendsWhatWasAccepted() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.close() == .drain)
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == "closed")
        let isReady = machine.connected(handshakeCommands: 0)
        #expect(isReady)
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 1")
        #expect(machine.isDrained)
    }

    @Test func theEndLeavesEverythingInOrderAndSaysWhatBecameOfIt() {
        let machine = ready()
        for number in 1...3 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(10 * number - 10))
        }
        for number in 4...5 { machine.queued(number, byteCount: 10, deadline: .max) }
        _ = machine.expire(now: 0, handedOver: 11) { $0 == 1 || $0 == 4 }
        let left = machine.end(handedOver: 11)
        #expect(
            left == [
                "tombstone indeterminate, permit", "2 indeterminate, permit", "3 notSent, permit",
                "tombstone notSent",
                "5 notSent",
            ]
        )
        #expect(machine.inflight == 0)
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == "closed")
        #expect(machine.reply() == "unsolicited")
    }
}
