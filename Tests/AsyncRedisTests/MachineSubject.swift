@_spi(Driver) import AsyncIO
import Testing

@testable import AsyncRedis

/// A machine in a box: the test macros cannot look into a value that is not copied.
final class Subject {
    typealias Machine = ConnectionStateMachine<Int>
    private var machine: Machine

    init(
        maxWaiting: Int = 10,
        maxQueuedBytes: Int = 1000,
        liveness: UInt64 = .max,
        idleProbe: UInt64 = .max,
        connectDeadline: UInt64 = .max
    ) {
        machine = ConnectionStateMachine(
            .init(
                maxWaiting: maxWaiting,
                maxQueuedBytes: maxQueuedBytes,
                liveness: liveness,
                idleProbe: idleProbe,
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

    func connected(handshakeCommands: Int, now: UInt64 = 0) -> Bool {
        machine.connected(handshake: Array(repeating: 10, count: handshakeCommands), now: now)
    }

    /// Submits a command that has a permit, and whose bytes would stand at `position`.
    func sent(
        _ waiter: Int,
        byteCount: Int,
        deadline: UInt64,
        position: UInt64,
        blocking: UInt64 = 0,
        now: UInt64 = 0
    ) {
        let answer = submit(
            waiter,
            .init(byteCount: byteCount, deadline: deadline, blockingTime: blocking),
            hasPermit: true,
            accepted: position,
            handedOver: position,
            now: now
        )
        #expect(answer == "send")
    }

    /// Submits a command without a permit.
    func queued(_ waiter: Int, byteCount: Int, deadline: UInt64) {
        #expect(submit(waiter, .init(byteCount: byteCount, deadline: deadline), hasPermit: false) == "hold")
    }

    /// Whether a command would be refused, and why.
    func refusal(byteCount: Int, hasPermit: Bool, unsentBytes: UInt64) -> String {
        submit(
            99,
            .init(byteCount: byteCount, deadline: .max),
            hasPermit: hasPermit,
            accepted: unsentBytes,
            handedOver: 0
        )
    }

    func submit(
        _ waiter: Int,
        _ request: Machine.Request,
        isCancelled: Bool = false,
        hasPermit: Bool,
        accepted: UInt64 = 0,
        handedOver: UInt64 = 0,
        now: UInt64 = 0
    ) -> String {
        let admission = machine.submit(
            waiter,
            request,
            isCancelled: isCancelled,
            hasPermit: hasPermit,
            backlog: .init(
                commands: machine.waitingCount,
                bytes: Int(accepted - handedOver) + machine.waitingBytes
            ),
            output: .init(accepted: accepted, handedOver: handedOver),
            now: now
        )
        return switch admission {
        case .send: "send"
        case .hold: "hold"
        case .refuse(let refusal): "\(refusal)"
        case .end(let ended):
            "\(ended.reason), \(ended.outcome), \(ended.phase), behind \(ended.commandsAhead)"
        }
    }

    /// What a reply led to, as a word.
    func reply(_ kind: Machine.ReplyKind = .value, handedOver: UInt64 = .max) -> String {
        switch machine.replyReceived(kind, handedOver: handedOver) {
        case .deliver(let waiter): "deliver \(waiter)"
        case .discard: "discard"
        case .handshakeReply: "handshake"
        case .handshakeDone: "ready"
        case .end(.handshakeRefused(let index)): "refused \(index)"
        case .end(let cause): "\(cause)"
        }
    }

    func promote(now: UInt64 = 0, _ isCancelled: (Int) -> Bool = { _ in false }) -> String {
        switch machine.promoteNext(position: 0, now: now, isCancelled: isCancelled) {
        case .send(let bytes): "send \(bytes)"
        case .skip(let bytes): "skip \(bytes)"
        case .end(let ended, let bytes): "\(ended.reason) \(ended.waiter), skip \(bytes)"
        case .none: "none"
        }
    }

    /// Looks at commands, also at those that came since the last look.
    func expire(
        now: UInt64,
        handedOver: UInt64,
        atMost limit: Int = .max,
        _ isCancelled: (Int) -> Bool = { _ in false }
    ) -> Machine.Expiry {
        _ = machine.expire(now: now, handedOver: handedOver, atMost: 0, isCancelled: isCancelled)
        return machine.expire(now: now, handedOver: handedOver, atMost: limit, isCancelled: isCancelled)
    }

    /// One look, at those alone that were there at the last.
    func look(now: UInt64, handedOver: UInt64 = .max) -> [Int] {
        machine.expire(now: now, handedOver: handedOver, atMost: .max, isCancelled: { _ in false }).ended.map(
            \.waiter
        )
    }

    func willWrite(now: UInt64, handedOver: UInt64) -> Machine.Expiry? {
        machine.willWrite(now: now, handedOver: handedOver)
    }

    func wroteAll() { machine.wroteAll() }
    func probeSent(position: UInt64, now: UInt64) {
        machine.probeSent(byteCount: 14, position: position, now: now)
    }
    func bytesRead(_ now: UInt64) { machine.bytesRead(now) }
    func tick(_ now: UInt64) -> Machine.Verdict { machine.tick(now) }
    func close(deadline: UInt64 = .max) -> Machine.CloseAction { machine.close(deadline: deadline) }

    /// What an end leaves, a word a command; nil if it was over before.
    func end(handedOver: UInt64 = .max) -> [String]? {
        guard var leftover = machine.end(handedOver: handedOver) else { return nil }
        var words: [String] = []
        while let command = leftover.next() {
            let name = command.waiter.map(String.init) ?? "tombstone"
            words.append("\(name) \(command.outcome)\(command.hadPermit ? ", permit" : "")")
        }
        return words
    }
}
