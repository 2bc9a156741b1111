import Synchronization

/// One thing for a loop to do.
enum LoopWork {
    /// A job of the loop's task executor.
    case taskJob(UnownedJob)
    /// A job of an actor that lives on the loop.
    case actorJob(UnownedJob)
    /// A closure handed to `post(_:)`.
    case post(@Sendable () -> Void)
}

/// What other threads may touch of a loop: a queue of work behind one lock, and the bell that wakes the loop for it.
///
/// The bell is rung only when the loop has said that it is going to sleep, so a busy loop costs its neighbours no
/// system call, and a loop without neighbours takes no lock: it looks at one atomic value a turn.
final class LoopMailbox: Sendable {
    /// Who takes the work out.
    enum Keeper {
        /// The loop, which polls: ring for it.
        case polling
        /// A thread that works until the box is empty and needs no bell.
        case draining
        /// Nobody. The next work brings a thread of its own.
        case nobody
    }

    /// What the loop last said, or was told.
    private enum Signal {
        static let awake: UInt8 = 0
        static let asleep: UInt8 = 1
        static let mail: UInt8 = 2
    }

    private struct State: ~Copyable {
        var work = RingBuffer<LoopWork>()
        /// At first a loop is expected: work waits for it.
        var keeper = Keeper.draining
        var ring: (@Sendable () -> Void)?
    }

    private let state = Locked(State())
    private let signal = Atomic<UInt8>(Signal.awake)

    // MARK: Any thread

    /// Leaves work in the box and wakes the loop if it sleeps.
    ///
    /// - Returns: whether the caller has to start a thread that drains the box, because nobody else will.
    func deliver(_ item: LoopWork) -> Bool {
        state.withLock { state in
            state.work.append(item)
            switch state.keeper {
            case .polling:
                // Rung under the lock: `stopRinging` then knows that no ring is under way when the bell goes.
                if signal.exchange(Signal.mail, ordering: .acquiringAndReleasing) == Signal.asleep {
                    state.ring?()
                }
                return false
            case .draining:
                return false
            case .nobody:
                state.keeper = .draining
                return true
            }
        }
    }

    // MARK: The keeper only

    func startRinging(_ ring: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.keeper = .polling
            state.ring = ring
            if !state.work.isEmpty { signal.store(Signal.mail, ordering: .releasing) }
        }
    }

    /// Says that no loop will come.
    func abandon() {
        state.withLock { $0.keeper = .nobody }
    }

    /// After this the bell is never rung again; the caller drains the box.
    func stopRinging() {
        state.withLock { state in
            state.keeper = .draining
            state.ring = nil
        }
    }

    /// Takes all work, in the order it came, if there may be any.
    func take(into work: inout RingBuffer<LoopWork>) {
        guard signal.load(ordering: .acquiring) == Signal.mail else { return }
        signal.store(Signal.awake, ordering: .sequentiallyConsistent)
        takeAll(into: &work)
    }

    /// Takes all work, whether there is any or not.
    func takeAll(into work: inout RingBuffer<LoopWork>) {
        // An empty queue is given for a full one, so that the memory of both is used again.
        if work.isEmpty { return state.withLock { swap(&work, &$0.work) } }
        var taken = RingBuffer<LoopWork>()
        state.withLock { swap(&taken, &$0.work) }
        while let item = taken.popFirst() { work.append(item) }
    }

    /// Says that the loop is about to sleep in its poll.
    ///
    /// - Returns: false if there is mail, and the loop must not sleep.
    func fallAsleep() -> Bool {
        signal.compareExchange(
            expected: Signal.awake,
            desired: Signal.asleep,
            ordering: .acquiringAndReleasing
        )
        .exchanged
    }

    /// Says that the loop is awake again; mail that came meanwhile stays signalled.
    func wakeUp() {
        _ = signal.compareExchange(
            expected: Signal.asleep,
            desired: Signal.awake,
            ordering: .acquiringAndReleasing
        )
    }

    /// Takes what is left while draining.
    ///
    /// - Parameter work: an empty queue, which gets it.
    /// - Returns: whether anything was left; if not, the box is nobody's from now on.
    func takeOrLeave(into work: inout RingBuffer<LoopWork>) -> Bool {
        state.withLock { state in
            guard !state.work.isEmpty else {
                state.keeper = .nobody
                return false
            }
            swap(&work, &state.work)
            return true
        }
    }
}
