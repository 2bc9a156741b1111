@_spi(Driver) import AsyncIO
import RESP
import Synchronization
@_spi(Driver) import UVLoop

// Commands, and what performs the machine's decisions on them.

extension RedisConnection {
    typealias Machine = ConnectionStateMachine<CommandWaiter>
    typealias Request = Machine.Request

    // MARK: Commands in

    /// Takes a command of a task on the loop.
    @inline(__always)
    func submit(_ command: some RESPCommand, _ request: Request, _ waiter: CommandWaiter, now: UInt64) {
        core.assertOnLoop()
        submit(waiter, request, behind: backlog.all, now: now) { place in
            switch place {
            case .stream where request.isLarge: sendLarge(command, request.byteCount)
            case .stream: writer.send(request.byteCount) { command.encode(into: &$0) }
            case .held: held.append(command, request.byteCount)
            }
        }
    }

    private func sendLarge(_ command: some RESPCommand, _ byteCount: Int) {
        let own = OutputQueue()
        own.append(command, byteCount)
        writer.send(first: byteCount, of: own)
    }

    func emptyInbox(
        arrived: (Backlog.Amount) -> Void,
        each: (CommandWaiter, Request, (CommandPlace) -> Void) -> Void
    ) {
        core.assertOnLoop()
        let batch = inbox.take()
        arrived(.init(commands: batch.entries.count, bytes: batch.byteCount))
        var start = 0
        for entry in batch.entries {
            let bytes = start..<(entry.own == nil ? start + entry.request.byteCount : start)
            start = bytes.upperBound
            each(entry.waiter, entry.request) { place in
                switch (place, entry.own) {
                case (.stream, let own?): writer.send(first: own.count, of: own)
                case (.stream, nil): writer.send(from: batch.bytes, bytes)
                case (.held, let own?): held.append(all: own)
                case (.held, nil): held.append(from: batch.bytes, bytes)
                }
            }
        }
        inbox.recycle(batch)
    }

    /// Two instants that the moment of a call lies between, from the later of which its limits are counted.
    ///
    /// They are some milliseconds apart for a task on the loop whose call has no limit of its own.
    @inline(__always)
    func momentOfCall(_ timeout: Duration?, isOnLoop: Bool) -> (earliest: UInt64, latest: UInt64) {
        if isOnLoop, timeout == nil { return core.moment }
        let now = LoopClock.now
        return (now, now)
    }
}

// MARK: - The performer's hands

extension RedisConnection: ConnectionPerformer {
    @inline(__always) var now: UInt64 { LoopClock.now }
    @inline(__always) var earlierNow: UInt64 { LoopClock.coarse }

    @inline(__always)
    func isCancelled(_ waiter: CommandWaiter) -> Bool { waiter.isCancelled }

    @inline(__always)
    func succeed(_ waiter: CommandWaiter, _ reply: consuming Reply) { resume(waiter, .reply(reply)) }

    func fail(_ waiter: CommandWaiter, _ failure: RedisError) { resume(waiter, .failure(failure)) }

    /// Ends a command: its task goes on.
    @inline(__always)
    private func resume(_ waiter: CommandWaiter, _ end: CommandEnd) {
        order.store(true, ordering: .releasing)
        waiter.resume(end)
    }

    /// The task's side of `resume(_:_:)`, after it has been suspended.
    @inline(__always)
    func hasBeenResumed() {
        _ = order.load(ordering: .acquiring)
    }

    @inline(__always)
    var output: Machine.Output {
        .init(accepted: writer.bytesAccepted, handedOver: writer.bytesHandedOver)
    }

    func sendHeld(_ byteCount: Int) {
        writer.send(first: byteCount, of: held)
    }

    func dropHeld(_ byteCount: Int) { held.removeFirst(byteCount) }

    func dropHeld(_ ranges: [Range<Int>]) { held.remove(ranges) }

    func takeBack(_ ranges: [Range<UInt64>]) -> Bool { writer.takeBack(ranges) }

    func sendProbe() -> Int? {
        let ping = RESPWordList(["PING"])
        guard let byteCount = try? ping.byteCount(limits) else { return nil }
        writer.send(byteCount) { ping.encode(into: &$0) }
        return byteCount
    }
}
