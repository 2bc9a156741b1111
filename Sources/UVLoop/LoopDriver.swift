import CUV
import Synchronization

/// The part of an event loop that only its own thread touches: the `uv_loop_t`, the work to run, and what lives on it.
///
/// One turn is: run the work that is ready, write what it produced, poll. It happens in a prepare callback, so that
/// work made by timers in the same turn is run before the loop sleeps.
@safe package final class LoopDriver {
    /// How many pieces of work run before the loop looks at its sockets again, however many more are ready.
    package static let maxWorkPerTurn = 1024

    let mailbox = LoopMailbox()
    /// Allocated by `open()`, freed when the loop has closed.
    private(set) var uvLoop: UnsafeMutablePointer<uv_loop_t>
    private var prepare: LoopHandle?
    private var check: LoopHandle?
    private var idle: LoopHandle?
    private var async: LoopHandle?
    private var isIdling = false

    /// What a turn has to do.
    struct Agenda: ~Copyable {
        /// Work that is ready to run.
        var work = RingBuffer<LoopWork>()
        var needsFlush = RingBuffer<any LoopFlushable>()
        /// Who has gathered a piece, which is written before the turn is over.
        var haveEnough = RingBuffer<any LoopFlushable>()
    }

    let agenda = LoopBound(Agenda())

    private var residents: [ObjectIdentifier: any LoopResident] = [:]
    let readBuffers = ReadBufferPool()
    let writeBuffers = WriteBufferPool()
    /// For those who look at the time again and again.
    package private(set) lazy var ticks = LoopTicks(on: self)

    private enum Phase { case closed, open, shuttingDown, closing }
    private let phaseNow = LoopBound(Phase.closed)
    private var phase: Phase {
        get { phaseNow.value }
        set { phaseNow.value = newValue }
    }
    private var shutdownWaiters: [() -> Void] = []

    /// The thread that is the loop's, as `LoopCore` knows it too; here it is only asked by `assertOnLoop()`.
    let threadID = Atomic<UInt>(0)

    private var serialExecutor: UnownedSerialExecutor?
    private var taskExecutor: UnownedTaskExecutor?

    init() {
        unsafe uvLoop = .allocate(capacity: 1)
    }

    deinit {
        // The loop has been closed, or was never opened: libuv holds no pointer into it.
        unsafe uvLoop.deallocate()
    }

    func bind(serialExecutor: UnownedSerialExecutor, taskExecutor: UnownedTaskExecutor) {
        unsafe self.serialExecutor = unsafe serialExecutor
        unsafe self.taskExecutor = unsafe taskExecutor
    }

    // MARK: Open, run, close

    /// Whether handles can be opened here: not before the loop started, and not once its shutdown began.
    package var isOpen: Bool { phase == .open }

    func open() throws(IOError) {
        try throwIfFailed(unsafe uv_loop_init(uvLoop))
        // The driver outlives its loop: it is freed after `uv_loop_close`, so libuv may point to it unretained.
        let me = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe uvLoop.pointee.data = unsafe me
        do throws(IOError) {
            let prepare = unsafe LoopHandle(size: MemoryLayout<uv_prepare_t>.size)
            let check = unsafe LoopHandle(size: MemoryLayout<uv_check_t>.size)
            let idle = unsafe LoopHandle(size: MemoryLayout<uv_idle_t>.size)
            let async = unsafe LoopHandle(size: MemoryLayout<uv_async_t>.size)
            // The only call of these that can fail, for want of a descriptor; it comes first.
            let result = unsafe uv_async_init(uvLoop, async.as(uv_async_t.self)) { _ in }
            if result < 0 { for handle in [prepare, check, idle, async] { handle.discard() } }
            try throwIfFailed(result)
            unsafe uv_prepare_init(uvLoop, prepare.as(uv_prepare_t.self))
            unsafe uv_check_init(uvLoop, check.as(uv_check_t.self))
            unsafe uv_idle_init(uvLoop, idle.as(uv_idle_t.self))
            (self.prepare, self.check, self.idle, self.async) = (prepare, check, idle, async)
        } catch {
            unsafe uv_loop_close(uvLoop)
            throw error
        }
        phase = .open
    }

    /// Runs the loop on the calling thread until it has been shut down and closed.
    func run() {
        guard let prepare, let check, let async else { return }
        unsafe uv_prepare_start(prepare.as(uv_prepare_t.self)) { handle in
            unsafe LoopDriver.withDriver(of: handle?.pointee.loop) { $0.turn() }
        }
        unsafe uv_check_start(check.as(uv_check_t.self)) { handle in
            unsafe LoopDriver.withDriver(of: handle?.pointee.loop) { $0.mailbox.wakeUp() }
        }
        // `stopRinging` is called before the handle closes, so the pointer is good whenever the bell is rung.
        let bell = unsafe SendablePointer(async.as(uv_async_t.self))
        mailbox.startRinging { unsafe uv_async_send(bell.pointer) }

        unsafe uv_run(uvLoop, UV_RUN_DEFAULT)

        let result = unsafe uv_loop_close(uvLoop)
        precondition(result == 0, "uv_loop_close: \(IOError(result)), a handle was left open")
        phase = .closed
        for waiter in shutdownWaiters { waiter() }
        shutdownWaiters = []
    }

    /// Begins the shutdown, or joins the one under way.
    ///
    /// `done` is called once the loop has closed.
    func shutDown(_ done: @escaping () -> Void) {
        guard phase != .closed else { return done() }
        shutdownWaiters.append(done)
        guard phase == .open else { return }
        phase = .shuttingDown
        for resident in Array(residents.values) { resident.loopWillShutDown() }
        closeIfDeserted()
    }

    private func closeIfDeserted() {
        guard phase == .shuttingDown, residents.isEmpty else { return }
        phase = .closing
        mailbox.stopRinging()
        for handle in [prepare, check, idle, async] { handle?.close() }
        (prepare, check, idle, async) = (nil, nil, nil, nil)
    }

    private func throwIfFailed(_ result: Int32) throws(IOError) {
        if result < 0 { throw IOError(result) }
    }

    @inline(__always)
    private static func withDriver(of loop: UnsafeMutablePointer<uv_loop_t>?, _ body: (LoopDriver) -> Void) {
        guard let data = unsafe loop?.pointee.data else { return }
        // `open()` put the driver there, which outlives the loop: no reference needs to be counted at each turn.
        unsafe Unmanaged<LoopDriver>.fromOpaque(data)._withUnsafeGuaranteedRef { body($0) }
    }

    // MARK: One turn

    /// When the turn began; the coarse clock was read first.
    private let turnBegan = LoopBound<(coarse: UInt64, precise: UInt64)>((0, 0))
    /// Counts turns; a poll belongs to the turn before it.
    let turnNumber = LoopBound<UInt64>(0)

    /// Whether so much time has passed since sockets were looked at that it is worth a system call to look at one again.
    func turnIsLong(at now: UInt64) -> Bool { now - turnBegan.value.precise > 50_000 }

    private func turn() {
        turnBegan.value = (LoopClock.coarse, LoopClock.now)
        turnNumber.value &+= 1
        mailbox.take(into: &agenda.value.work)
        runWork(atMost: Self.maxWorkPerTurn)
        flush()
        // With work or mail left the poll looks at the sockets and returns at once.
        if agenda.value.work.isEmpty, agenda.value.needsFlush.isEmpty, mailbox.fallAsleep() {
            setIdling(false)
            // The poll ends when a timer is due, as libuv counts it: from before this turn's work.
            if let pollTimeOut, pollTimeOut > 0 { updateNow() }
        } else {
            setIdling(true)
        }
    }

    private func setIdling(_ wanted: Bool) {
        guard wanted != isIdling, let idle else { return }
        isIdling = wanted
        if wanted {
            unsafe uv_idle_start(idle.as(uv_idle_t.self)) { _ in }
        } else {
            unsafe uv_idle_stop(idle.as(uv_idle_t.self))
        }
    }

    private func runWork(atMost limit: Int) {
        // Of callbacks of the poll before.
        flushThoseWithEnough()
        var left = limit
        while left > 0, let item = agenda.value.work.popFirst() {
            left -= 1
            run(item)
            if !agenda.value.haveEnough.isEmpty { flushThoseWithEnough() }
        }
        // What a crowd needed is not kept.
        if agenda.value.work.capacity > 4 * Self.maxWorkPerTurn { agenda.value.work.giveMemoryBack() }
    }

    /// Runs a turn's share of work when no loop polls any more.
    func runSlice() {
        runWork(atMost: Self.maxWorkPerTurn)
        flush()
    }

    @inline(__always)
    private func run(_ item: consuming LoopWork) {
        switch item {
        case .taskJob(let job):
            if let taskExecutor = unsafe taskExecutor { unsafe job.runSynchronously(on: taskExecutor) }
        case .actorJob(let job):
            if let serialExecutor = unsafe serialExecutor { unsafe job.runSynchronously(on: serialExecutor) }
        case .post(let body):
            body()
        }
    }

    // MARK: Output

    /// Has `flushable` asked to write once, at the end of this turn; asked during a flush, at the end of the next.
    package func flushBeforePolling(_ flushable: any LoopFlushable) {
        agenda.value.needsFlush.append(flushable)
    }

    /// Has `flushable` asked to write as soon as the work that runs now is over, or if this is a callback, before the next work.
    func flushAfterThisWork(_ flushable: any LoopFlushable) {
        agenda.value.haveEnough.append(flushable)
    }

    private func flushThoseWithEnough() {
        // One at a time: each may ask again while this is under way.
        while let flushable = agenda.value.haveEnough.popFirst() { flushable.flush() }
    }

    private func flush() {
        // One at a time: those that ask for their next flush while this is under way join the line behind these.
        for _ in 0..<agenda.value.needsFlush.count {
            agenda.value.needsFlush.popFirst()?.flushAtTurnsEnd()
        }
    }

    // MARK: Residents

    /// For whoever lives here, and knows no `LoopCore`.
    @inline(__always)
    func assertOnLoop() {
        assert(
            threadID.load(ordering: .relaxed) == LoopThread.currentID,
            "this may be touched on its event loop's thread only"
        )
    }

    func moveIn(_ resident: any LoopResident) {
        residents[ObjectIdentifier(resident)] = resident
    }

    /// How many handles and requests are open here, the loop's own left out.
    package var residentCount: Int { residents.count - ticks.residentCount }

    func moveOut(_ resident: any LoopResident) {
        residents[ObjectIdentifier(resident)] = nil
        closeIfDeserted()
    }

    // MARK: Time

    /// The time in nanoseconds, on the clock of `LoopClock`, cut to milliseconds; as of the last poll's end, or of the timers' turn
    /// behind it.
    package var now: UInt64 { phase == .closed ? LoopClock.now : unsafe uv_now(uvLoop) * 1_000_000 }

    /// Two instants on the clock of `LoopClock`, one before this moment and one behind it, at a third of that clock's price.
    ///
    /// The earlier is the coarse clock's. The later is for limits that must not be early: it lies a tick and a half of the
    /// kernel's ahead at most, and is behind this moment unless a tick is late by more than half a step.
    package var moment: (earliest: UInt64, latest: UInt64) {
        let coarse = LoopClock.coarse
        return (coarse, Self.soon(coarse: coarse, turnBegan: turnBegan.value) { LoopClock.now })
    }

    /// The later of the two, at a time of the coarse clock.
    @inline(__always)
    static func soon(
        coarse: UInt64,
        turnBegan: (coarse: UInt64, precise: UInt64),
        now: () -> UInt64
    ) -> UInt64 {
        // While the coarse clock has not moved, the turn began less than its step ago.
        guard coarse == turnBegan.coarse else { return now() }
        return turnBegan.precise + mostUnseen
    }

    /// For how long the coarse clock is taken to stand still at most: a tick may come late, by half of its step.
    static let mostUnseen = LoopClock.coarseStep * 3 / 2

    /// After how many milliseconds the next poll would end by itself; nil for never.
    package var pollTimeOut: Int? {
        let milliseconds = unsafe Int(uv_backend_timeout(uvLoop))
        return milliseconds < 0 ? nil : milliseconds
    }

    /// Brings `now` up to date, for a time that has to be counted from this moment.
    func updateNow() {
        if phase != .closed { unsafe uv_update_time(uvLoop) }
    }
}

/// The clock that loops go by: nanoseconds, only forward, from any thread.
@_spi(Driver) public enum LoopClock {
    /// The time now.
    public static var now: UInt64 { uv_hrtime() }

    /// The time as of the kernel's last tick, which lies some milliseconds back; much cheaper than `now`.
    package static var coarse: UInt64 { cuv_coarse_time() }

    /// How far the coarse clock moves at each tick.
    static var coarseStep: UInt64 { cuv_coarse_step() }

    /// The instant that lies a duration ahead, or the end of time.
    public static func instant(after duration: Duration) -> UInt64 {
        let (sum, overflow) = now.addingReportingOverflow(duration.nanoseconds)
        return overflow ? .max : sum
    }
}

/// What gathers output during a turn and writes it at the turn's end, or sooner.
package protocol LoopFlushable: AnyObject {
    /// Writes what was gathered. Called once for each call of `flushBeforePolling`.
    func flushAtTurnsEnd()
    /// Writes what was gathered; the turn goes on.
    func flush()
}

/// What has an open handle or a request under way on the loop; the loop closes after the last has moved out.
protocol LoopResident: AnyObject {
    /// Told once, when the loop's shutdown begins: end what is under way and close.
    func loopWillShutDown()
}
