@_spi(Driver) import AsyncIO
import Testing

@testable import AsyncRedis

/// The state machine alone, as transcripts: commands are numbers, nothing is sent anywhere.
@Suite struct ConnectionStateMachineTests {
    private func ready() -> Subject {
        let subject = Subject()
        _ = subject.connected(greetingCommands: 0)
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

    @Test func aReplyToWhatHasNotLeftIsUnsolicited() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10)
        #expect(machine.reply(handedOver: 10) == "deliver 1")
        #expect(machine.reply(handedOver: 10) == "unsolicited")
    }

    @Test func commandsWaitForTheConnectionAndTheGreeting() {
        let machine = Subject()
        #expect(!machine.mayAskForPermit)
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(!machine.mayPromote)
        let isReady = machine.connected(greetingCommands: 2)
        #expect(!isReady)
        #expect(machine.promote() == "none")
        #expect(machine.reply() == "greeting")
        #expect(!machine.mayPromote)
        #expect(machine.reply() == "ready")
        #expect(machine.mayPromote)
        #expect(!machine.mayAskForPermit, "newcomers wait behind those who wait")
        #expect(machine.promote() == "send 10")
        #expect(machine.promote() == "none")
        #expect(machine.mayAskForPermit)
        #expect(machine.reply() == "deliver 1")
    }

    @Test func aRefusedGreetingIsNoReplyToACommand() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        _ = machine.connected(greetingCommands: 1)
        #expect(machine.reply(isError: true) == "refused 0")
    }

    @Test func errorRepliesAreRepliesOnceReady() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        #expect(machine.reply(isError: true) == "deliver 1")
    }

    @Test func aReplyBeforeTheConnectionStandsIsUnsolicited() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.reply() == "unsolicited")
    }

    @Test func waitingCommandsAreBounded() {
        let machine = Subject(maxWaiting: 2, maxQueuedBytes: 1000)
        for number in 1...2 {
            #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == nil)
            machine.queued(number, byteCount: 1, deadline: .max)
        }
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == .tooManyWaiting)
        #expect(machine.refusal(byteCount: 1, hasPermit: true, unsentBytes: 0) == nil)
    }

    @Test func queuedBytesAreBoundedButOneCommandAlwaysFits() {
        let machine = Subject(maxWaiting: 10, maxQueuedBytes: 100)
        #expect(machine.refusal(byteCount: 5000, hasPermit: false, unsentBytes: 0) == nil)
        machine.queued(1, byteCount: 60, deadline: .max)
        #expect(machine.refusal(byteCount: 40, hasPermit: false, unsentBytes: 0) == nil)
        #expect(machine.refusal(byteCount: 41, hasPermit: false, unsentBytes: 0) == .tooManyBytes)
        #expect(machine.refusal(byteCount: 40, hasPermit: true, unsentBytes: 1) == .tooManyBytes)
    }

    @Test func aCancelledWaiterIsNeverSent() {
        let machine = ready()
        for number in 1...3 { machine.queued(number, byteCount: 10 * number, deadline: .max) }
        let expiry = machine.expire(now: 0, bytesHandedOver: 0) { $0 == 2 }
        #expect(expiry.ended.map(\.waiter) == [2])
        #expect(expiry.ended.map(\.end) == [.cancelled])
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
        let expiry = machine.expire(now: 0, bytesHandedOver: 30) { $0 == 1 }
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
        let expiry = machine.expire(now: 0, bytesHandedOver: 15) { $0 == 1 || $0 == 2 }
        #expect(expiry.ended.map(\.waiter) == [1, 2])
        #expect(expiry.ended.map(\.outcome) == [.indeterminate, .notSent])
        #expect(expiry.takeBack == [20..<30])
        #expect(expiry.permitsFreed == 1)
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply(handedOver: 15) == "discard")
        // Command 3 has moved up to position 20.
        #expect(machine.reply(handedOver: 20) == "unsolicited")
        #expect(machine.reply(handedOver: 21) == "deliver 3")
    }

    @Test func severalTakenBackAreNamedInTheirOrder() {
        let machine = ready()
        for number in 0..<4 {
            machine.sent(number, byteCount: 10, deadline: .max, position: UInt64(number * 10))
        }
        let expiry = machine.expire(now: 0, bytesHandedOver: 10) { $0 == 1 || $0 == 3 }
        #expect(expiry.takeBack == [10..<20, 30..<40])
        #expect(expiry.permitsFreed == 2)
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply(handedOver: 11) == "deliver 2")
    }

    @Test func deadlinesEndWhatIsLateAndNothingElse() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: 100, position: 0)
        machine.sent(2, byteCount: 10, deadline: 200, position: 10)
        machine.queued(3, byteCount: 10, deadline: 100)
        machine.queued(4, byteCount: 10, deadline: .max)
        #expect(machine.expire(now: 99, bytesHandedOver: 20, { _ in false }).ended.isEmpty)
        let expiry = machine.expire(now: 100, bytesHandedOver: 20) { _ in false }
        #expect(expiry.ended.map(\.waiter) == [1, 3])
        #expect(expiry.ended.map(\.end) == [.deadlineExceeded, .deadlineExceeded])
        #expect(expiry.ended.map(\.outcome) == [.indeterminate, .notSent])
        #expect(machine.expire(now: 150, bytesHandedOver: 20, { _ in false }).ended.isEmpty, "each ends once")
    }

    @Test func aSweepInPiecesComesRoundToEverybody() {
        let machine = ready()
        for number in 0..<10 {
            machine.sent(number, byteCount: 10, deadline: 5, position: UInt64(number * 10))
        }
        var ended: [Int] = []
        for _ in 0..<2 {
            ended += machine.expire(now: 5, bytesHandedOver: 100, atMost: 3, { _ in false }).ended.map(
                \.waiter
            )
        }
        #expect(ended == [0, 1, 2, 3, 4, 5])
        // Two leave at the head: the sweep goes on behind the ones it has seen.
        for _ in 0..<2 { #expect(machine.reply() == "discard") }
        for _ in 0..<2 {
            ended += machine.expire(now: 5, bytesHandedOver: 100, atMost: 3, { _ in false }).ended.map(
                \.waiter
            )
        }
        #expect(ended == Array(0..<10))
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
        let machine = ready()
        for number in 0..<200 { machine.queued(number, byteCount: 10, deadline: .max) }
        #expect(machine.refusal(byteCount: 1, hasPermit: true, unsentBytes: 0) == .tooManyBytes)
        let expiry = machine.expire(now: 0, bytesHandedOver: 0, { !$0.isMultiple(of: 4) })
        #expect(expiry.ended.count == 150)
        #expect(expiry.dropWaiting.count == 150)
        #expect(expiry.dropWaiting.first == 10..<20)
        #expect(machine.waitingCount == 50)
        #expect(
            machine.refusal(byteCount: 1, hasPermit: true, unsentBytes: 0) == nil,
            "their bytes do not count"
        )
        #expect(machine.promote() == "send 10")
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 0")
        #expect(machine.reply() == "deliver 4")
    }

    @Test func connectingHasADeadline() {
        let machine = Subject(connectDeadline: 100)
        #expect(machine.tick(99) == .goOn)
        _ = machine.connected(greetingCommands: 1, now: 99)
        #expect(machine.tick(100) == .end(.connect))
        #expect(machine.reply() == "ready")
        #expect(machine.tick(100) == .rest)
    }

    @Test func aCloseHasADeadlineOfItsOwn() {
        let machine = Subject(connectDeadline: 100)
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.close(deadline: 50) == "drain")
        #expect(machine.tick(49) == .goOn)
        #expect(machine.tick(50) == .end(.close))
        let standing = ready()
        standing.sent(1, byteCount: 10, deadline: .max, position: 0)
        #expect(standing.close(deadline: 50) == "drain")
        #expect(standing.tick(49) == .goOn)
        #expect(standing.tick(50) == .end(.close))
    }

    @Test func silenceWithRepliesDueIsTheEndAtTheSecondLook() {
        let machine = Subject(liveness: 10)
        _ = machine.connected(greetingCommands: 0, now: 0)
        #expect(machine.tick(1000) == .rest, "nothing is due")
        machine.sent(1, byteCount: 10, deadline: .max, position: 0, now: 1000)
        #expect(machine.tick(1010) == .goOn)
        #expect(machine.tick(1011) == .goOn)
        machine.progressed(1011)
        #expect(machine.tick(1022) == .goOn)
        #expect(machine.tick(1023) == .end(.liveness))
        // A second command does not make the server look alive.
        machine.progressed(2000)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10, now: 2009)
        #expect(machine.tick(2011) == .goOn)
        #expect(machine.tick(2012) == .end(.liveness))
    }

    @Test func closingRefusesNewcomersAndDrains() {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.queued(2, byteCount: 10, deadline: .max)
        #expect(machine.close() == "drain")
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == .closed)
        #expect(!machine.isDrained)
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 1")
        #expect(!machine.isDrained)
        #expect(machine.reply() == "deliver 2")
        #expect(machine.isDrained)
    }

    @Test func anIdleConnectionClosesNow() {
        let machine = ready()
        #expect(machine.close() == "end now")
        #expect(machine.end() != nil)
        #expect(machine.end() == nil, "it ends once")
        #expect(machine.close() == "none")
    }

    @Test func aCloseWhileConnectingSendsWhatWasAccepted() {
        let machine = Subject()
        machine.queued(1, byteCount: 10, deadline: .max)
        #expect(machine.close() == "drain")
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == .closed)
        let isReady = machine.connected(greetingCommands: 0)
        #expect(isReady)
        #expect(machine.promote() == "send 10")
        #expect(machine.reply() == "deliver 1")
        #expect(machine.isDrained)
    }

    @Test func theEndLeavesEverythingInOrder() throws {
        let machine = ready()
        machine.sent(1, byteCount: 10, deadline: .max, position: 0)
        machine.sent(2, byteCount: 10, deadline: .max, position: 10)
        machine.queued(3, byteCount: 10, deadline: .max)
        var leftover = try #require(machine.end())
        #expect(leftover.wire.popFirst()?.waiter == 1)
        #expect(leftover.wire.popFirst()?.waiter == 2)
        #expect(leftover.wire.isEmpty)
        #expect(leftover.waiting.popFirst()?.waiter == 3)
        #expect(machine.refusal(byteCount: 1, hasPermit: false, unsentBytes: 0) == .closed)
        #expect(machine.reply() == "unsolicited")
    }
}

/// A machine in a box: the test macros cannot look into a value that is not copied.
private final class Subject {
    private var machine: ConnectionStateMachine<Int>

    init(
        maxWaiting: Int = 10,
        maxQueuedBytes: Int = 1000,
        liveness: UInt64? = nil,
        connectDeadline: UInt64 = .max
    ) {
        machine = ConnectionStateMachine(
            .init(
                maxWaiting: maxWaiting,
                maxQueuedBytes: maxQueuedBytes,
                liveness: liveness,
                connectDeadline: connectDeadline
            )
        )
    }

    var inflight: Int { machine.inflight }
    var waitingCount: Int { machine.waitingCount }
    var isIdle: Bool { machine.isIdle }
    var isDrained: Bool { machine.isDrained }
    var mayPromote: Bool { machine.mayPromote }
    var mayAskForPermit: Bool { machine.mayAskForPermit }

    func connected(greetingCommands: Int, now: UInt64 = 0) -> Bool {
        machine.connected(greetingCommands: greetingCommands, now: now)
    }

    func sent(_ waiter: Int, byteCount: Int, deadline: UInt64, position: UInt64, now: UInt64 = 0) {
        machine.sent(waiter, byteCount: byteCount, deadline: deadline, position: position, now: now)
    }

    func queued(_ waiter: Int, byteCount: Int, deadline: UInt64) {
        machine.queued(waiter, byteCount: byteCount, deadline: deadline)
    }

    func refusal(byteCount: Int, hasPermit: Bool, unsentBytes: Int) -> ConnectionStateMachine<Int>.Refusal? {
        machine.refusal(byteCount: byteCount, hasPermit: hasPermit, unsentBytes: unsentBytes)
    }

    /// What a reply led to, as a word.
    func reply(isError: Bool = false, handedOver: UInt64 = .max) -> String {
        switch machine.replyReceived(isError: isError, bytesHandedOver: handedOver) {
        case .deliver(let waiter): "deliver \(waiter)"
        case .discard: "discard"
        case .greetingReply: "greeting"
        case .greetingDone: "ready"
        case .greetingRefused(let index): "refused \(index)"
        case .unsolicited: "unsolicited"
        }
    }

    func promote(now: UInt64 = 0, _ isCancelled: (Int) -> Bool = { _ in false }) -> String {
        switch machine.promoteNext(position: 0, now: now, isCancelled: isCancelled) {
        case .send(let bytes): "send \(bytes)"
        case .skip(let bytes): "skip \(bytes)"
        case .end(let waiter, let reason, let bytes): "\(reason) \(waiter), skip \(bytes)"
        case .none: "none"
        }
    }

    func expire(
        now: UInt64,
        bytesHandedOver: UInt64,
        atMost limit: Int = .max,
        _ isCancelled: (Int) -> Bool
    ) -> ConnectionStateMachine<Int>.Expiry {
        machine.expire(now: now, bytesHandedOver: bytesHandedOver, atMost: limit, isCancelled: isCancelled)
    }

    func progressed(_ now: UInt64) { machine.progressed(now) }
    func tick(_ now: UInt64) -> ConnectionStateMachine<Int>.Verdict { machine.tick(now) }

    func close(deadline: UInt64 = .max) -> String {
        switch machine.close(deadline: deadline) {
        case .endNow: "end now"
        case .drain: "drain"
        case .none: "none"
        }
    }

    func end() -> ConnectionStateMachine<Int>.Leftover? { machine.end() }
}
