@_spi(Driver) import AsyncIO
@_spi(Driver) import struct UVLoop.RingBuffer

// Commands that end before their replies.

extension ConnectionStateMachine {
    /// Why a command ends before its reply.
    enum EarlyEnd: Hashable {
        case cancelled
        case deadlineExceeded
    }

    /// A command that ended before its reply.
    struct Ended {
        let waiter: Waiter
        let reason: EarlyEnd
        let outcome: RedisError.Outcome
        /// How far it had come.
        let phase: RedisError.Phase
        /// How many commands were in front of it, those on the wire included.
        let commandsAhead: Int
    }

    /// Commands that ended before their replies, and what is to be done for them.
    struct Expiry {
        var ended: [Ended] = []
        /// Where bytes stand in the stream that the kernel has not taken, and must not get; in ascending order.
        var takeBack: [Range<UInt64>] = []
        /// How many permits the commands of those bytes set free.
        var permitsFreed: Int { takeBack.count }
        /// Where bytes that belong to nobody stand among those that wait, from the first; in ascending order.
        var dropWaiting: [Range<Int>] = []
    }

    @inline(__always)
    func reasonToEnd(_ waiter: Waiter, _ deadline: UInt64, _ now: UInt64, _ isCancelled: (Waiter) -> Bool)
        -> EarlyEnd?
    {
        if isCancelled(waiter) { return .cancelled }
        return deadline <= now ? .deadlineExceeded : nil
    }

    /// The end of a command that ended before it came in.
    func endedBeforeAccepted(_ waiter: Waiter, _ reason: EarlyEnd) -> Ended {
        Ended(
            waiter: waiter,
            reason: reason,
            outcome: .notSent,
            phase: phaseOfWaiting,
            commandsAhead: inflight + waitingCount
        )
    }

    private var phaseOfWaiting: RedisError.Phase {
        switch phase {
        case .connecting, .handshake: .waitingForConnection
        case .ready, .closing, .closed: .waitingForPermit
        }
    }

    /// Ends commands whose deadline has passed or whose task is cancelled.
    ///
    /// A command that waits is never sent then. One that the kernel has, even in part, keeps its place and its permit. One that has
    /// been given to the stream, and not to the kernel, is taken back.
    ///
    /// Only those are looked at that were there at the last call already: what comes and goes between two calls costs
    /// nothing.
    ///
    /// - Parameter limit: how many commands to look at on the wire, and how many of those that wait. The next call goes on
    ///   where this one stopped.
    mutating func expire(now: UInt64, handedOver: UInt64, atMost limit: Int, isCancelled: (Waiter) -> Bool)
        -> Expiry
    {
        var expiry = Expiry()
        expireOnWire(wireSweep.next(limit, of: wire.count), now, handedOver, isCancelled, &expiry)
        expireWaiting(waitingSweep.next(limit, of: waiting.count), now, isCancelled, &expiry)
        if waitingTombstones > 0,
            waitingCount == 0
                || waitingTombstones > max(settings.maxTombstones.commands, waiting.count / 2)
                || tombstoneBytes > max(settings.maxTombstones.bytes, waitingBytes)
        {
            expiry.dropWaiting = dropTombstones()
        }
        return expiry
    }

    /// The stream is about to hand its output to the kernel: ends those commands in it whose deadline has passed.
    ///
    /// - Returns: nil if there are none.
    @inline(__always)
    mutating func willWrite(now: UInt64, handedOver: UInt64) -> Expiry? {
        earliestUnsent <= now ? expireUnsent(now, handedOver) : nil
    }

    /// The kernel has taken all output.
    @inline(__always)
    mutating func wroteAll() {
        earliestUnsent = .max
    }

    private mutating func expireUnsent(_ now: UInt64, _ handedOver: UInt64) -> Expiry {
        var expiry = Expiry()
        expireOnWire(firstUnsent(handedOver)..<wire.count, now, handedOver, { _ in false }, &expiry)
        earliestUnsent = .max
        for index in firstUnsent(handedOver)..<wire.count {
            earliestUnsent = min(earliestUnsent, wire[index].waiter == nil ? .max : wire[index].deadline)
        }
        return expiry
    }

    /// The place on the wire of the first command that the kernel has nothing of.
    private func firstUnsent(_ handedOver: UInt64) -> Int {
        var (low, high) = (0, wire.count)
        while low < high {
            let middle = (low + high) / 2
            if wire[middle].position < handedOver { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func expireOnWire(
        _ range: Range<Int>,
        _ now: UInt64,
        _ handedOver: UInt64,
        _ isCancelled: (Waiter) -> Bool,
        _ expiry: inout Expiry
    ) {
        for index in range {
            let slot = wire[index]
            guard let waiter = slot.waiter, let reason = reasonToEnd(waiter, slot.deadline, now, isCancelled)
            else {
                continue
            }
            let isSent = slot.position < handedOver
            // Nobody waits for ever any more: from now on it is silence.
            if isSent, index == 0, slot.blockingTime == .max { expectNothingBefore(now) }
            if isSent { wire[index].waiter = nil } else { expiry.takeBack.append(slot.position..<slot.end) }
            expiry.ended.append(
                Ended(
                    waiter: waiter,
                    reason: reason,
                    outcome: isSent ? .indeterminate : .notSent,
                    phase: isSent ? .waitingForReply : .waitingToBeWritten,
                    commandsAhead: index
                )
            )
        }
        takeFromWire(expiry.takeBack, from: range.lowerBound)
    }

    private mutating func expireWaiting(
        _ range: Range<Int>,
        _ now: UInt64,
        _ isCancelled: (Waiter) -> Bool,
        _ expiry: inout Expiry
    ) {
        // Those that had ended before this look were in nobody's way. Counted up to each that ends now.
        var counted = 0
        var alive = 0
        for index in range {
            guard let waiter = waiting[index].waiter,
                let reason = reasonToEnd(waiter, waiting[index].deadline, now, isCancelled)
            else { continue }
            while counted < index {
                if waiting[counted].waiter != nil { alive += 1 }
                counted += 1
            }
            let ahead = wire.count + alive
            (counted, alive) = (index + 1, alive + 1)
            waiting[index].waiter = nil
            waitingTombstones += 1
            waitingBytes -= waiting[index].byteCount
            tombstoneBytes += waiting[index].byteCount
            expiry.ended.append(
                Ended(
                    waiter: waiter,
                    reason: reason,
                    outcome: .notSent,
                    phase: phaseOfWaiting,
                    commandsAhead: ahead
                )
            )
        }
    }

    /// Takes the commands at these positions off the wire, in one pass; the ones behind them move up.
    private mutating func takeFromWire(_ ranges: [Range<UInt64>], from start: Int) {
        guard !ranges.isEmpty else { return }
        var next = 0
        var removedBytes: UInt64 = 0
        var removed: [Int] = []
        var index = start
        wire.removeAll(from: start) { slot in
            defer { index += 1 }
            if next < ranges.count, slot.position == ranges[next].lowerBound {
                removedBytes += UInt64(ranges[next].count)
                next += 1
                removed.append(index)
                return true
            }
            slot.position -= removedBytes
            return false
        }
        wireSweep.removed(removed)
    }

    /// Takes all tombstones out of `waiting`.
    ///
    /// - Returns: where their bytes stand.
    private mutating func dropTombstones() -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var removed: [Int] = []
        var offset = 0
        var index = 0
        waiting.removeAll(from: 0) { slot in
            defer { index += 1 }
            let bytes = offset..<(offset + slot.byteCount)
            offset = bytes.upperBound
            guard slot.waiter == nil else { return false }
            ranges.append(bytes)
            removed.append(index)
            return true
        }
        waitingSweep.removed(removed)
        waitingTombstones = 0
        tombstoneBytes = 0
        return ranges
    }

    /// Goes round a queue in pieces, while elements join at its end and leave at its head.
    struct Sweep {
        /// How many elements have left.
        private var gone = 0
        /// Where the next piece begins, counted from the first element there ever was.
        private var cursor = 0
        /// Where those end that were there at the last call, counted in the same way.
        private var seen = 0

        /// An element left at the head.
        @inline(__always)
        mutating func departed() { gone &+= 1 }

        /// The elements at these places were taken out.
        mutating func removed(_ places: [Int]) {
            let (next, old) = (cursor &- gone, seen &- gone)
            cursor &-= places.count { $0 < next }
            seen &-= places.count { $0 < old }
        }

        /// The piece to look at, of a queue of `count` elements.
        mutating func next(_ limit: Int, of count: Int) -> Range<Int> {
            let old = min(count, max(0, seen &- gone))
            var start = max(0, cursor &- gone)
            // All of them where one piece is enough, and else from the first again behind the last.
            if old <= limit || start >= old { start = 0 }
            let end = start + min(limit, old - start)
            cursor = gone &+ end
            seen = gone &+ count
            return start..<end
        }
    }
}
