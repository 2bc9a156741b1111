@_spi(Driver) package import AsyncIO
import Synchronization
@_spi(Driver) package import UVLoop

/// The calls of one client: who waits, who runs, who has a permit, and how each ends.
///
/// It is what drivers share whose calls are answered one by one, in any order: *completion on the loop, plus a permit*. A
/// call waits in its lane until the lane has a free seat, which stands for whatever serves one call at a time, and
/// the endpoint has a free permit. Then its server starts it. It ends once: by its server's word, by its deadline, by its
/// task's cancellation, or with its client. When it ends early, the await ends at once, and seat and permit are held until
/// the server has let go of it.
///
/// It belongs to its loop's thread, but for `perform` and `hasEnded`.
package final class Calls<Server: CallServer>: @unchecked Sendable {
    // Safe to share: the constants are constant, `order` and `isClosed` synchronise themselves; everything else is touched
    // on the loop's thread only.
    /// How a call fails.
    package typealias Failure = KindError<Server.Kind>
    typealias Item = CallOf<Server>

    struct Lane {
        var waiting = Line()
        var freeSeats: Int
    }

    /// The endpoint's id.
    package let endpoint: String
    /// The endpoint's limits and times.
    package let policy: EndpointPolicy
    /// The client's loop.
    package let loop: EventLoop
    private let limiter: InflightLimiter
    /// What waits for the endpoint, of all its clients together.
    private var backlog: Backlog { limiter.backlog }
    /// Whom the calls are for.
    ///
    /// Held until it has stopped: a call that nobody waits for any more still has to be finished, although its client may be gone.
    package var server: Server?

    var lanes: [Lane]
    var running = Line()
    /// How many calls have ever been accepted.
    package private(set) var submitted: UInt64 = 0
    private var placesInLine = 0
    private var isPromoting = false
    /// How many more calls may be started or ended before the loop looks at its sockets again.
    private(set) var stepsLeft = maxSteps
    /// Open for as long as the client is, and started while there is something to look at: an idle client hears by it, too,
    /// that its loop shuts down.
    var ticker: LoopTimer?
    var isTicking = false
    /// The error that ended the client.
    package internal(set) var failure: Failure?
    /// Why further calls are refused, if that is not the client's having been closed.
    private var refusal: Failure?
    package internal(set) var isStopping = false
    var hasStopped = false
    var closeDeadline = UInt64.max
    var closeWaiters: [SuspendedTask<Void>] = []
    let isClosed = Atomic<Bool>(false)
    /// Written before a task is resumed, read by the task when it goes on: ThreadSanitizer cannot see that the runtime
    /// orders the two.
    let order = Atomic<Bool>(false)

    /// How often deadlines and cancellations are looked at.
    static var tickMilliseconds: UInt64 { 5 }
    /// How many calls are looked at each time, of those that run and of those that wait in a lane: it does not hold the loop up.
    ///
    /// Of three times as many each is still looked at every 15 ms.
    static var maxLooks: Int { 8192 }
    /// How many calls are started or ended in one go; the others follow in the loop's next turn.
    ///
    /// What is left of one go and the whole next one may meet in one turn: 1024.
    static var maxSteps: Int { 512 }

    /// Makes an empty set of calls, whose lanes have no seats yet.
    package init(_ spec: EndpointSpec, lanes: Int, limiter: InflightLimiter, loop: EventLoop) {
        endpoint = spec.id
        policy = spec.policy
        self.loop = loop
        self.limiter = limiter
        self.lanes = Array(repeating: Lane(freeSeats: 0), count: lanes)
    }

    // MARK: Calls in

    /// Performs one call; from any thread.
    ///
    /// - Parameters:
    ///   - request: what is asked for.
    ///   - lane: the lane to wait in.
    ///   - timeout: the most time it may take; the endpoint's and the task's own limits hold beside it.
    /// - Returns: the answer.
    /// - Throws: what its server says, or `cancelled`, `deadlineExceeded`, `overloaded`, `clientClosed`, `loopShutDown`.
    package func perform(
        _ request: Server.Request,
        lane: Int = 0,
        timeout: Duration?
    ) async throws(Failure) -> Server.Value {
        let deadline = deadline(timeout)
        let bytes = Server.byteCount(of: request)
        let isOnLoop = loop.isOnLoop
        // Before anything is kept of it: what is on its way to the loop is bounded, too.
        if !isOnLoop, let refusal = backlog.reserve(bytes: bytes) { throw overloaded(refusal) }
        let end = await SuspendedTask<Item.End>.suspend(servedBy: loop) { task in
            let call = Item(request, byteCount: bytes, lane: lane, deadline: deadline, task)
            if isOnLoop { submit(call, behind: backlog.all) } else { loop.post { [self] in arrive(call) } }
        }
        _ = order.load(ordering: .acquiring)
        return try end.get()
    }

    /// When a call that is made now has to be over: the earliest of all limits that apply to it.
    ///
    /// From any thread.
    package func deadline(_ timeout: Duration?) -> UInt64 {
        let own = policy.commandTimeout.map { LoopClock.instant(after: $0) } ?? .max
        var deadline = min(IODeadline.current, own)
        if let timeout { deadline = timeout > .zero ? min(deadline, LoopClock.instant(after: timeout)) : 0 }
        return deadline
    }

    /// Accepts nothing more: the client is about to end for that reason.
    ///
    /// Said before the first caller hears of it, who may ask for another client at once.
    package func refuse(_ error: Failure) {
        refusal = refusal ?? error.with(.notSent)
        isClosed.store(true, ordering: .releasing)
    }

    private func arrive(_ call: Item) {
        backlog.arrive(call.amount)
        submit(call, behind: backlog.inFrontOfArrivals)
        // Afterwards: nobody elsewhere finds less than there is.
        backlog.dealWithArrival(bytes: call.byteCount)
    }

    private func overloaded(_ refusal: Backlog.Refusal) -> Failure {
        let message =
            switch refusal {
            case .commands: "\(policy.maxWaiting) calls wait already: make fewer, or raise maxWaiting"
            case .bytes: "with it more bytes would wait than maxQueuedBytes, \(policy.maxQueuedBytes), allows"
            }
        return Failure(.overloaded, .notSent, endpoint: endpoint, message)
    }

    /// Accepts a call behind what waits for the endpoint already, or ends it.
    private func submit(_ call: Item, behind waiting: Backlog.Amount) {
        if let error = lateness(of: call, LoopClock.now) { return end(call, error) }
        if isClosed.load(ordering: .relaxed) { return end(call, refusal ?? closed) }
        guard waiting.commands < policy.maxWaiting || mayStartAtOnce(in: lanes[call.lane]) else {
            return end(call, overloaded(.commands))
        }
        guard waiting.hasRoom(forBytes: call.byteCount, atMost: policy.maxQueuedBytes) else {
            return end(call, overloaded(.bytes))
        }
        guard startTicking() else { return end(call, shutDown) }
        call.number = submitted
        submitted += 1
        lanes[call.lane].waiting.append(call)
        backlog.change(by: call.amount)
        promote()
    }

    private func mayStartAtOnce(in lane: Lane) -> Bool {
        lane.waiting.isEmpty && lane.freeSeats > 0 && limiter.waiting == 0
            && limiter.inflight < limiter.capacity
    }

    /// Whether a call has been started and not finished.
    package var isRunning: Bool { !running.isEmpty }

    /// How many calls wait.
    package var waitingCount: Int { lanes.reduce(0) { $0 + $1.waiting.count } }

    /// Gives a lane more seats.
    package func addSeats(_ count: Int, lane: Int = 0) {
        startTicking()
        lanes[lane].freeSeats += count
        promote()
    }

    // MARK: Seats and permits

    /// How many calls could start now if they had permits.
    private var startable: Int {
        min(stepsLeft, lanes.reduce(0) { $0 + min($1.freeSeats, $1.waiting.count) })
    }

    /// A call has been started or ended.
    func countStep() {
        stepsLeft -= 1
        guard stepsLeft == 0 else { return }
        loop.post { [self] in
            stepsLeft = Self.maxSteps
            tick()
            promote()
        }
    }

    private func promote() {
        guard !isPromoting else { return }
        isPromoting = true
        defer { isPromoting = false }
        while startable > 0, limiter.tryAcquire() {
            if !startNext() { limiter.release() }
        }
        while placesInLine < startable {
            placesInLine += 1
            limiter.wait(self)
        }
    }

    /// Starts the first call that has a seat; the caller holds a permit for it.
    ///
    /// - Returns: whether there was one, which then has the permit.
    private func startNext() -> Bool {
        let now = LoopClock.now
        while stepsLeft > 0, let lane = nextLane, let call = lanes[lane].waiting.popFirst() {
            countStep()
            waitsNoMore(call)
            if let error = lateness(of: call, now) {
                end(call, error)
                continue
            }
            lanes[lane].freeSeats -= 1
            call.isRunning = true
            running.append(call)
            server?.start(call)
            return true
        }
        return false
    }

    /// A call has been taken out of its lane.
    func waitsNoMore(_ call: Item) {
        backlog.change(by: Backlog.Amount(commands: -1, bytes: -call.byteCount))
    }

    /// The lane of the call that came first, of those that have a seat: no lane starves another.
    private var nextLane: Int? {
        lanes.indices
            .filter { lanes[$0].freeSeats > 0 && !lanes[$0].waiting.isEmpty }
            .min { (lanes[$0].waiting.first?.number ?? 0) < (lanes[$1].waiting.first?.number ?? 0) }
    }

    /// The server has let go of a call: it ends, if it has not, and its seat and its permit are free.
    ///
    /// Calling it again for the same call does nothing.
    package func finish(_ call: CallOf<Server>, _ result: CallOf<Server>.End) {
        guard stopsRunning(call) else { return }
        lanes[call.lane].freeSeats += 1
        resume(call, result)
        limiter.release()
        promote()
        goOnEnding()
    }

    /// A call that was started could not be sent, for want of what its seat stands for: it is the first of its lane again.
    ///
    /// Its seat is lost, and its permit is free.
    package func putBack(_ call: CallOf<Server>) {
        guard stopsRunning(call) else { return }
        lanes[call.lane].waiting.prepend(call)
        backlog.change(by: call.amount)
        limiter.release()
        promote()
    }

    private func stopsRunning(_ call: Item) -> Bool {
        guard call.isRunning else { return false }
        call.isRunning = false
        running.remove(call)
        call.running = nil
        return true
    }
}

// MARK: - Told by the limiter

extension Calls: PermitWaiter {
    /// A permit is free for a call of this client's.
    package func takePermit() -> Bool {
        placesInLine -= 1
        return startNext()
    }
}
