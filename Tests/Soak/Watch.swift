import AsyncRedis
import Synchronization

/// Every await that is under way, with the instant by which it has to be over.
final class Watch: Sendable {
    struct Ticket: Hashable, Sendable { fileprivate let number: UInt64 }

    fileprivate struct Await {
        let what: String
        let begun: ContinuousClock.Instant
        var limit: ContinuousClock.Instant?
        var isReported = false
    }

    /// The machine kept this program from running for so long, at this time.
    fileprivate struct Stall {
        let seen: ContinuousClock.Instant
        let length: Duration
    }

    fileprivate struct State {
        var next: UInt64 = 0
        var awaits: [Ticket: Await] = [:]
        var counts = [Int](repeating: 0, count: Watch.bounds.count + 1)
        var worst = Duration.zero
        /// Of commands whose time ran out, the one that ended the longest before its limit.
        var earliest = Duration.zero
        var stalls: [Stall] = []
        var napBegun: ContinuousClock.Instant?
        var worstStall = Duration.zero
        var worstLoopStall = Duration.zero
    }

    /// How late an await was; the last one has no upper end.
    fileprivate static let bounds: [Duration] = [.milliseconds(20), .milliseconds(50), .milliseconds(200)]

    /// How much later than its limit an await may end.
    let allowance: Duration
    private let ledger: Ledger
    private let state = Mutex(State())

    init(allowance: Duration, ledger: Ledger) {
        self.allowance = allowance
        self.ledger = ledger
    }

    /// How long the sleep is whose lateness tells how busy the machine is.
    fileprivate static let nap = Duration.milliseconds(10)

    /// Measures how late a sleep that has nothing to do with the client ends, until it is cancelled.
    ///
    /// That much later may everything else be as well: the machine is busy with something else.
    func measureStalls() async {
        while !Task.isCancelled {
            let begun = ContinuousClock.now
            state.withLock { $0.napBegun = begun }
            try? await Task.sleep(for: Self.nap)
            let now = ContinuousClock.now
            let stall = Stall(seen: now, length: now - begun - Self.nap)
            state.withLock { state in
                state.worstStall = max(state.worstStall, stall.length)
                state.stalls.removeAll { now - $0.seen > .seconds(3) }
                if stall.length > .milliseconds(20) { state.stalls.append(stall) }
                state.napBegun = nil
            }
        }
    }

    /// Measures how late a sleep on the loop ends, until it is cancelled.
    ///
    /// It excuses nothing; a line is printed for whoever asks why commands were late.
    func measureStalls(of loop: EventLoop) async {
        let nap = Duration.milliseconds(10)
        while !Task.isCancelled {
            let begun = ContinuousClock.now
            try? await loop.run { try await loop.sleep(for: nap) }
            let length = ContinuousClock.now - begun - nap
            let (worst, machine) = state.withLock { state in
                state.worstLoopStall = max(state.worstLoopStall, length)
                return (state.worstLoopStall, state.stalled)
            }
            if length > .milliseconds(200), length == worst {
                say("the loop stood still for \(length); the machine for \(machine) lately")
            }
        }
    }

    /// A number for an await that has not begun.
    func ticket() -> Ticket {
        state.withLock { state in
            state.next += 1
            return Ticket(number: state.next)
        }
    }

    func begin(_ ticket: Ticket, _ what: String, limit: ContinuousClock.Instant?) {
        let now = ContinuousClock.now
        state.withLock { $0.awaits[ticket] = Await(what: what, begun: now, limit: limit) }
    }

    /// Its task is about to be cancelled: it has to be over at once.
    func cancel(_ ticket: Ticket) {
        let now = ContinuousClock.now
        state.withLock { state in
            guard let limit = state.awaits[ticket].map({ $0.limit ?? now }) else { return }
            state.awaits[ticket]?.limit = min(limit, now)
        }
    }

    /// It is over.
    ///
    /// - Returns: how long after its limit, below zero for before; nil for one without.
    @discardableResult
    func end(_ ticket: Ticket, _ way: String = "") -> Duration? {
        let now = ContinuousClock.now
        let ended = state.withLock { state -> (Await, Duration)? in
            guard let ended = state.awaits.removeValue(forKey: ticket) else { return nil }
            if let limit = ended.limit { state.count(lateness: now - limit) }
            return (ended, allowance + state.stalled)
        }
        guard let (ended, allowance) = ended, let limit = ended.limit else { return nil }
        if now - limit > allowance, !ended.isReported {
            ledger.wrong(
                "\(ended.what) ended \(way) \(now - limit) after its limit, begun \(now - ended.begun) ago"
            )
        }
        return now - limit
    }

    /// A command said that its time ran out, so long after its limit; below zero for before.
    func ranOut(_ lateness: Duration) {
        state.withLock { $0.earliest = min($0.earliest, lateness) }
    }

    /// Reports awaits that should have been over, each once.
    func look() {
        let now = ContinuousClock.now
        let late = state.withLock { state in
            var late: [String] = []
            let allowance = allowance + state.stalled
            for (ticket, entry) in state.awaits where !entry.isReported {
                guard let limit = entry.limit, now - limit > allowance else { continue }
                state.awaits[ticket]?.isReported = true
                late.append("\(entry.what) has not ended \(now - limit) after its limit")
            }
            return late
        }
        for sentence in late { ledger.wrong(sentence) }
    }

    /// What has not ended.
    var pending: [String] {
        let now = ContinuousClock.now
        return state.withLock { $0.awaits.values.map { "\($0.what), begun \(now - $0.begun) ago" } }
    }

    func line() -> String {
        let (counts, worst, earliest, stall, loopStall) = state.withLock { state in
            (state.counts, state.worst, state.earliest, state.worstStall, state.worstLoopStall)
        }
        let names = Self.bounds.map { "up to \($0)" } + ["later"]
        let figures = zip(names, counts).map { "\($0): \($1)" }.joined(separator: ", ")
        return
            "awaits past their limit, by lateness: \(figures); worst \(worst), allowed \(allowance) "
            + "and what the machine stalled, \(stall) at most at once (the loop \(loopStall)); "
            + "time ran out \(earliest) from the limit at the earliest"
    }
}

extension Watch.State {
    /// How long the machine has lately kept the program from running, all in all.
    fileprivate var stalled: Duration {
        // A stall may still be under way for the one who measures it, when others go on already.
        let underWay = napBegun.map { ContinuousClock.now - $0 - Watch.nap } ?? .zero
        return stalls.reduce(max(.zero, underWay)) { $0 + $1.length }
    }

    fileprivate mutating func count(lateness: Duration) {
        guard lateness > .zero else { return }
        worst = max(worst, lateness)
        counts[Watch.bounds.firstIndex { lateness <= $0 } ?? Watch.bounds.count] += 1
    }
}
