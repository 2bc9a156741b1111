import Synchronization

/// The part of an event loop that every thread may hold, and the serial executor for actors that live on the loop.
///
/// It joins the two halves: the mailbox, which any thread may touch, and the driver, which only the loop's thread may.
/// After shutdown a short-lived thread takes the loop's place whenever work still comes, so that what is bound to the
/// loop stays bound to one thread at a time for ever.
package final class LoopCore: SerialExecutor, @unchecked Sendable {
    // Safe to share: `mailbox` and `threadID` synchronise themselves; `driver` is reached only on the loop's thread, or
    // on the thread that took its place, and the mailbox's lock orders one after the other.
    let mailbox: LoopMailbox
    private let threadID = Atomic<UInt>(0)
    private let loopBound: LoopDriver

    /// The failure that kept libuv from making the loop, for example for want of descriptors.
    ///
    /// Such a loop still runs every job, and refuses everything that needs I/O.
    package let startError: IOError?

    init() {
        loopBound = LoopDriver()
        mailbox = loopBound.mailbox
        do throws(IOError) {
            try loopBound.open()
            startError = nil
        } catch {
            startError = error
            mailbox.abandon()
        }
    }

    /// Gives the loop its thread, which keeps `self` alive until the loop has shut down.
    func start(named name: String, taskExecutor: LoopTaskExecutor) {
        unsafe loopBound.bind(
            serialExecutor: asUnownedSerialExecutor(),
            taskExecutor: taskExecutor.asUnownedTaskExecutor()
        )
        guard startError == nil else { return }
        LoopThread.start(named: name) { [self, taskExecutor] in
            adoptCurrentThread()
            loopBound.run()
            drain()
            withExtendedLifetime(taskExecutor) {}
        }
    }

    /// Begins the loop's shutdown; `done` is called on the loop's thread once the loop has closed.
    func shutDown(_ done: @escaping @Sendable () -> Void) {
        runOrPost { [self] in driver.shutDown(done) }
    }

    // MARK: The loop's thread

    /// Whether the caller runs on the loop's thread (after shutdown: on the thread that does the loop's late work).
    @inline(__always)
    package var isOnLoop: Bool { threadID.load(ordering: .relaxed) == LoopThread.currentID }

    /// The loop-bound half.
    package var driver: LoopDriver {
        assertOnLoop()
        return loopBound
    }

    /// The driver's `now`, without a reference to it.
    package var now: UInt64 {
        assertOnLoop()
        return loopBound.now
    }

    /// The driver's `moment`, without a reference to it.
    package var moment: (earliest: UInt64, latest: UInt64) {
        assertOnLoop()
        return loopBound.moment
    }

    /// A writer for a stream of this loop's; it may be made on any thread.
    package func makeWriter() -> StreamWriter { StreamWriter(on: loopBound) }

    @inline(__always)
    package func assertOnLoop() {
        assert(isOnLoop, "this may be touched on its event loop's thread only")
    }

    private func adoptCurrentThread() {
        threadID.store(LoopThread.currentID, ordering: .relaxed)
        loopBound.threadID.store(LoopThread.currentID, ordering: .relaxed)
    }

    /// Runs what work there is, on this thread in the loop's place, and gives the place up.
    private func drain() {
        // A reference of its own, for ThreadSanitizer: see `enqueue(_:)`.
        let driver = loopBound
        while true {
            // In slices, so that work which makes ever more work does not keep others from their turn.
            driver.runSlice()
            mailbox.takeAll(into: &driver.agenda.value.work)
            guard driver.agenda.value.work.isEmpty else { continue }
            // With nothing left the place is given up, and a successor may be at work already: touch nothing more.
            var late = RingBuffer<LoopWork>()
            guard mailbox.takeOrLeave(into: &late) else { break }
            swap(&late, &driver.agenda.value.work)
        }
        // A successor may have set its own identity already: take back no more than our own.
        _ = threadID.compareExchange(expected: LoopThread.currentID, desired: 0, ordering: .relaxed)
    }

    // MARK: Work, from any thread

    @inline(__always)
    package func post(_ body: @escaping @Sendable () -> Void) {
        deliver(.post(body))
    }

    /// Runs `body` here and now if this is the loop's thread, and posts it otherwise.
    package func runOrPost(_ body: @escaping @Sendable () -> Void) {
        if isOnLoop { body() } else { deliver(.post(body)) }
    }

    @inline(__always)
    func enqueue(_ work: LoopWork) {
        if isOnLoop {
            // A change by way of the property is to ThreadSanitizer a write of the property, which other threads read.
            let driver = loopBound
            driver.agenda.value.work.append(work)
        } else {
            deliver(work)
        }
    }

    private func deliver(_ work: LoopWork) {
        if mailbox.deliver(work) {
            LoopThread.start(named: "loop-late-work") { [self] in
                adoptCurrentThread()
                drain()
            }
        }
    }

    // MARK: SerialExecutor

    package func enqueue(_ job: consuming ExecutorJob) {
        enqueue(.actorJob(UnownedJob(job)))
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    package func checkIsolated() {
        precondition(isOnLoop, "expected to run on the event loop's thread")
    }

    package func isIsolatingCurrentContext() -> Bool? { isOnLoop }
}
