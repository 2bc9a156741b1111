@_spi(Driver) import AsyncIO
@_spi(Driver) import struct UVLoop.RingBuffer

extension ConnectionStateMachine {
    /// What kind of reply has come, as far as the machine cares.
    enum ReplyKind: Hashable {
        case value
        case error
        /// An error by which a server closes a group of commands that it did not run.
        case groupAborted
        /// An error by which a server refuses a whole connection, such as that it has too many clients.
        case farewell
    }

    enum ReplyAction {
        /// The handshake goes on.
        case handshakeReply
        /// The handshake is done; commands may be sent now.
        case handshakeDone
        /// It answers this command. Its permit is free.
        case deliver(Waiter)
        /// It answers a command that nobody waits for any more. Its permit is free.
        case discard
        /// It answers no command, and the connection has to end.
        case end(EndCause)
    }

    /// Whether no command is waiting for its reply of which the kernel has anything.
    func expectsNoReply(handedOver: UInt64) -> Bool {
        switch phase {
        case .ready, .closing: wire.first.map { $0.position >= handedOver } ?? true
        case .handshake(let answered): (answered == 0 ? 0 : handshakeEnds[answered - 1]) >= handedOver
        case .connecting, .closed: false
        }
    }

    /// A complete reply has come.
    ///
    /// - Parameters:
    ///   - kind: what it is.
    ///   - handedOver: how many bytes the kernel has taken: what answers a command that has not left whole is no reply to it.
    @inline(__always)
    mutating func replyReceived(_ kind: ReplyKind, handedOver: UInt64) -> ReplyAction {
        switch phase {
        case .ready, .closing:
            // A server that refuses a connection says so before it reads a command, and the first in line has no part in it.
            if kind == .farewell, !hasBeenAnswered { return .end(.farewell) }
            guard let head = wire.first, head.end <= handedOver, let slot = wire.popFirst() else {
                return .end(kind == .value ? .unsolicited : .farewell)
            }
            hasBeenAnswered = true
            wireSweep.departed()
            if slot.groupStep != .none || group != .closed { follow(slot.groupStep, kind) }
            if let waiter = slot.waiter { return .deliver(waiter) }
            return .discard
        case .handshake(let answered):
            guard handshakeEnds[answered] <= handedOver else {
                return .end(kind == .value ? .unsolicited : .farewell)
            }
            hasBeenAnswered = true
            if kind != .value { return .end(.handshakeRefused(answered)) }
            guard answered + 1 == handshakeEnds.count else {
                phase = .handshake(answered: answered + 1)
                return .handshakeReply
            }
            becomeReady()
            return .handshakeDone
        case .connecting, .closed:
            return .end(.unsolicited)
        }
    }

    /// What the reply to a command says of the group.
    private mutating func follow(_ step: GroupStep, _ kind: ReplyKind) {
        if group == .openForNext { group = .closed }
        switch (step, kind) {
        case (.opens, .value): group = .open
        case (.opensForNext, .value): if group == .closed { group = .openForNext }
        case (.closes, .value), (.closes, .groupAborted): group = .closed
        // A group that was not opened is not; one that was not closed may be open still.
        case (.none, _), (_, .error), (_, .farewell), (_, .groupAborted): break
        }
    }
}
