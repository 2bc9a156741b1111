@_spi(Driver) import UVLoop

/// Who may connect on libuv's thread pool: few at a time, and one of each server's, first come, first served.
///
/// A body on the pool cannot be interrupted, and a name server that is silent holds one for half a minute. Whoever waits here
/// holds no thread, and can go. From any thread.
final class ConnectTurns: Sendable {
    /// A wait for the pool, and then its use: from `take` to `giveBack`.
    final class Turn: Sendable {
        fileprivate let server: String
        fileprivate let loop: EventLoop
        fileprivate let begin: @Sendable () -> Void

        fileprivate init(_ server: String, _ loop: EventLoop, _ begin: @escaping @Sendable () -> Void) {
            self.server = server
            self.loop = loop
            self.begin = begin
        }
    }

    private struct State {
        var held: [Turn] = []
        var waiting: [Turn] = []

        /// Moves those whose turn it is.
        mutating func promote() -> [Turn] {
            var next: [Turn] = []
            while held.count < ConnectTurns.maxHeld,
                let index = waiting.firstIndex(where: { turn in !held.contains { $0.server == turn.server } })
            {
                next.append(waiting.remove(at: index))
                held += next.suffix(1)
            }
            return next
        }
    }

    /// The process's own, as the pool is.
    static let shared = ConnectTurns()
    /// Half of the pool as it is by default: what libuv itself allows for looking names up.
    static let maxHeld = 2

    private let state = Locked(State())

    /// Gets in line; `begin` is called once, on the loop's thread, when there is a turn, which it has until it is given back.
    func take(_ server: String, on loop: EventLoop, _ begin: @escaping @Sendable () -> Void) -> Turn {
        let turn = Turn(server, loop, begin)
        change { $0.waiting.append(turn) }
        return turn
    }

    /// Gives a turn back, or up; `begin` may be on its way even so.
    func giveBack(_ turn: Turn) {
        change { state in
            state.held.removeAll { $0 === turn }
            state.waiting.removeAll { $0 === turn }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let next = state.withLock { state in
            body(&state)
            return state.promote()
        }
        for turn in next { turn.loop.post(turn.begin) }
    }
}
