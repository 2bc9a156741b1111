@_spi(Driver) import AsyncIO
@_spi(Driver) import struct UVLoop.RingBuffer

extension ConnectionStateMachine {
    /// Why the machine ends its connection.
    enum EndCause: Hashable {
        /// It was closed, and all is done.
        case closed
        case timeOut(TimeOut)
        /// The server refused this command of the handshake, counted from 0.
        case handshakeRefused(Int)
        /// The server said that it goes away.
        case farewell
        /// Nobody asked for a reply that came.
        case unsolicited
        /// Bytes have left that were to be taken back.
        case sentAfterItsEnd
    }

    enum CloseAction: Hashable {
        /// Nothing is under way: end the connection now.
        case endNow
        /// Replies are to come: end it when `isDrained`.
        case drain
        /// It has ended.
        case none
    }

    /// No further command is accepted; what was accepted goes on, until `deadline` at the latest.
    mutating func close(deadline: UInt64) -> CloseAction {
        closeDeadline = min(closeDeadline, deadline)
        switch phase {
        case .closed: return .none
        case .connecting, .handshake:
            isCloseRequested = true
        case .ready, .closing:
            phase = .closing
        }
        return isIdle ? .endNow : .drain
    }

    /// Whether a close that drained is complete.
    var isDrained: Bool {
        switch phase {
        case .closing: isIdle
        case .connecting, .handshake: isCloseRequested && isIdle
        case .ready, .closed: false
        }
    }

    /// The commands that an ended connection leaves, first come first.
    struct Leftover: ~Copyable {
        fileprivate var wire: RingBuffer<Slot>
        fileprivate var waiting: RingBuffer<Slot>
        fileprivate let handedOver: UInt64

        struct Command {
            /// Who is still to be told of its end.
            let waiter: Waiter?
            /// What became of it.
            let outcome: RedisError.Outcome
            /// Whether it held a permit, which is free now.
            let hadPermit: Bool
        }

        mutating func next() -> Command? {
            if let slot = wire.popFirst() {
                let outcome: RedisError.Outcome = slot.position < handedOver ? .indeterminate : .notSent
                return Command(waiter: slot.waiter, outcome: outcome, hadPermit: true)
            }
            return waiting.popFirst().map { Command(waiter: $0.waiter, outcome: .notSent, hadPermit: false) }
        }
    }

    /// The connection is over.
    ///
    /// - Parameter handedOver: how many bytes the kernel has taken.
    /// - Returns: what it leaves, or nil if it was over before.
    mutating func end(handedOver: UInt64) -> Leftover? {
        if case .closed = phase { return nil }
        phase = .closed
        isTicking = false
        var leftover = Leftover(wire: RingBuffer(), waiting: RingBuffer(), handedOver: handedOver)
        swap(&leftover.wire, &wire)
        swap(&leftover.waiting, &waiting)
        waitingBytes = 0
        waitingTombstones = 0
        tombstoneBytes = 0
        return leftover
    }
}
