import CUV
import Glibc

/// Who looks at the time again and again, on a loop's thread.
package protocol LoopTicked: AnyObject {
    /// Called every five milliseconds, in a callback of libuv's: it runs no user code.
    func loopTicked()
}

/// A loop's ticks, one every five milliseconds for all who look at the time again and again.
///
/// They come from a timer of the kernel's own, which is armed once. A timer of libuv's has each poll end after its time: the
/// kernel then sets a timer up and takes it back at each poll, which a task that sends one command after the other pays for
/// at each of them (`docs/PERFORMANCE.md`). They belong to their loop's thread.
package final class LoopTicks {
    /// How many milliseconds lie between two ticks.
    private static let milliseconds: UInt64 = 5

    private unowned let driver: LoopDriver
    private let makeTimer: () -> Int32
    private var members: [ObjectIdentifier: any LoopTicked] = [:]
    /// Who is told of a tick: an array whose memory is used again.
    private var told: [any LoopTicked] = []

    private enum Source {
        /// A timer of the kernel's, and who watches it.
        case kernel(Int32, LoopPoll)
        /// A timer of libuv's, where there is no descriptor for one of the kernel's.
        case loop(LoopTimer)
    }
    private var source: Source?
    /// Whether ticks come.
    private(set) var areRunning = false
    /// How many of the loop's residents are the ticks' own.
    var residentCount: Int { source == nil ? 0 : 1 }

    /// - Parameter makeTimer: makes a `timerfd`, or returns something negative.
    init(on driver: LoopDriver, makeTimer: @escaping () -> Int32 = LoopTicks.makeKernelTimer) {
        self.driver = driver
        self.makeTimer = makeTimer
    }

    /// Has a member told of ticks, the next of which comes in five milliseconds at most; it is held until it leaves.
    ///
    /// Calling it again changes nothing. Once the loop's shutdown has begun, no tick comes.
    package func join(_ member: any LoopTicked) {
        driver.assertOnLoop()
        guard driver.isOpen else { return }
        members[ObjectIdentifier(member)] = member
        guard !areRunning else { return }
        source = source ?? makeSource()
        run(true)
    }

    /// Has a member not told any more.
    ///
    /// Ticks go on until one finds no member: whoever rests for a moment only costs no system call.
    package func leave(_ member: any LoopTicked) {
        driver.assertOnLoop()
        members[ObjectIdentifier(member)] = nil
    }

    private func ticked() {
        guard !members.isEmpty else {
            // Nothing is kept of as many as there may have been.
            (members, told) = ([:], [])
            return run(false)
        }
        told.append(contentsOf: members.values)
        // One that left meanwhile is not told.
        for member in told where members[ObjectIdentifier(member)] != nil { member.loopTicked() }
        told.removeAll(keepingCapacity: true)
    }

    // MARK: The timer

    static func makeKernelTimer() -> Int32 {
        timerfd_create(CLOCK_MONOTONIC, Int32(TFD_NONBLOCK) | Int32(TFD_CLOEXEC))
    }

    private func makeSource() -> Source? {
        let descriptor = makeTimer()
        if descriptor >= 0 {
            let poll = try? LoopPoll(
                on: driver,
                descriptor: descriptor,
                ready: { [weak self] _ in self?.expired(descriptor) },
                loopWillShutDown: { [weak self] in self?.close() }
            )
            if let poll {
                poll.wait(for: .readable)
                return .kernel(descriptor, poll)
            }
            _ = Glibc.close(descriptor)
        }
        return LoopTimer(
            on: driver,
            fired: { [weak self] in self?.ticked() },
            loopWillShutDown: { [weak self] in self?.close() }
        )
        .map { .loop($0) }
    }

    private func expired(_ descriptor: Int32) {
        var count: UInt64 = 0
        // The kernel writes how often the timer has expired, which says again that it has until that is read.
        let size = MemoryLayout.size(ofValue: count)
        guard unsafe Glibc.read(descriptor, &count, size) == size else { return }
        ticked()
    }

    private func run(_ wanted: Bool) {
        switch source {
        case .kernel(let descriptor, _):
            let interval = timespec(tv_sec: 0, tv_nsec: wanted ? Int(Self.milliseconds) * 1_000_000 : 0)
            var times = itimerspec(it_interval: interval, it_value: interval)
            areRunning = unsafe timerfd_settime(descriptor, 0, &times, nil) == 0 && wanted
        case .loop(let timer):
            if wanted {
                timer.start(after: Self.milliseconds, every: Self.milliseconds)
            } else {
                timer.stop()
            }
            areRunning = wanted
        case nil:
            areRunning = false
        }
    }

    /// The loop shuts down: what watches the timer has been closed.
    private func close() {
        if case .kernel(let descriptor, _) = source { _ = Glibc.close(descriptor) }
        source = nil
        areRunning = false
        members = [:]
    }
}
