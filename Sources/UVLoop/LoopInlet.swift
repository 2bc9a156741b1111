import CUV

/// The way in for a thread that is not the loop's: a queue with so many places, whose order is the order of arrival.
///
/// For a C library that calls back on threads of its own. The loop is told of a batch, not of an element: once when
/// something lies in an empty queue. It takes out what it can use, and leaves the rest where it is; a place is free again
/// when its element has been taken. So a thread that is faster than whoever uses its elements waits, and at no time are more
/// than `capacity` elements on their way.
@_spi(Driver) @safe public final class LoopInlet<Element: Sendable>: LoopResident, @unchecked Sendable {
    // Safe to share: `state` and `turnstile` synchronise themselves, the constants are constant; the two closures and
    // `isOpen` are touched on the loop's thread only.

    /// How an element was received.
    enum Admission: Hashable, Sendable {
        /// It will be delivered, unless the inlet is closed first; `take(atMost:)` gives it then still.
        case accepted
        /// There is no place free; the element is the caller's still.
        case full
        /// The inlet has been closed.
        case closed
    }

    private struct State {
        /// What is on its way, behind the places of what has been taken.
        private var slots: [Element?] = []
        /// Where the first one that is left lies.
        private var head = 0
        /// How many threads stand at the turnstile.
        var blocked = 0
        /// The loop has been told of what lies here, and has not looked yet.
        var isAnnounced = false
        var isClosed = false

        var count: Int { slots.count - head }

        mutating func append(_ element: Element) { slots.append(element) }

        /// Takes the first elements out: what that costs depends on how many they are, and not on how many are left.
        mutating func take(_ count: Int) -> [Element] {
            var taken: [Element] = []
            taken.reserveCapacity(count)
            for place in head..<head + count {
                if let element = slots[place].take() { taken.append(element) }
            }
            head += count
            // What moves up is less than what has been taken since the last time.
            if head > slots.count / 2 {
                slots.removeFirst(head)
                head = 0
            }
            return taken
        }
    }

    /// How many elements may be on their way at a time.
    private let capacity: Int
    private let core: LoopCore
    private let state = Locked(State())
    /// Where threads wait for a place: it is opened once for each that may try again.
    private let turnstile: UnsafeMutablePointer<uv_sem_t>
    private var isOpen = true
    private var arrived: (() -> Void)?
    private var whenLoopShutsDown: (() -> Void)?

    /// Opens an inlet; it has to be closed with `close()`, unless the loop's shutdown closes it first.
    ///
    /// - Parameters:
    ///   - loop: the loop; the caller runs on its thread.
    ///   - capacity: how many elements may be on their way at a time, at least 1.
    ///   - arrived: called on the loop's thread when elements lie in what was an empty queue; `take(atMost:)` gives them. It
    ///     is called again only once all of them have been taken. It runs no user code.
    ///   - loopWillShutDown: called if the loop's shutdown begins first; the inlet has been closed by then.
    /// - Throws: `ESHUTDOWN` if the loop has been shut down.
    public init(
        on loop: EventLoop,
        capacity: Int,
        arrived: @escaping () -> Void,
        loopWillShutDown: @escaping () -> Void = {}
    ) throws(IOError) {
        precondition(capacity >= 1, "an inlet has at least one place")
        core = loop.core
        let driver = core.driver
        guard driver.isOpen else { throw .loopShutDown }
        self.capacity = capacity
        self.arrived = arrived
        whenLoopShutsDown = loopWillShutDown
        unsafe turnstile = .allocate(capacity: 1)
        // It fails only for a count beyond the system's largest.
        unsafe uv_sem_init(turnstile, 0)
        driver.moveIn(self)
    }

    deinit {
        // Whoever waited at the turnstile held the inlet.
        unsafe uv_sem_destroy(turnstile)
        unsafe turnstile.deallocate()
    }

    // MARK: Any thread

    /// Hands an element over, if there is a place for it; never blocks.
    ///
    /// Elements of one thread arrive in the order it handed them over.
    func offer(_ element: Element) -> Admission {
        admit(element, isPatient: false)
    }

    /// Hands an element over, and blocks the calling thread until there is a place for it.
    ///
    /// Not to be called on the loop's thread, which is the one that makes room.
    ///
    /// - Returns: false if the inlet has been closed, before or meanwhile; the element is the caller's still.
    public func send(_ element: Element) -> Bool {
        precondition(!core.isOnLoop, "the loop's thread would wait for itself")
        while true {
            switch admit(element, isPatient: true) {
            case .accepted: return true
            case .closed: return false
            // Whoever makes room opens the turnstile for each thread that was counted as blocked.
            case .full: unsafe uv_sem_wait(turnstile)
            }
        }
    }

    private func admit(_ element: Element, isPatient: Bool) -> Admission {
        let (admission, isFirst) = state.withLock { state -> (Admission, Bool) in
            if state.isClosed { return (.closed, false) }
            guard state.count < capacity else {
                if isPatient { state.blocked += 1 }
                return (.full, false)
            }
            state.append(element)
            guard state.count == 1, !state.isAnnounced else { return (.accepted, false) }
            state.isAnnounced = true
            return (.accepted, true)
        }
        if isFirst { core.post { [self] in announce() } }
        return admission
    }

    // MARK: The loop's thread

    private func announce() {
        let isEmpty = state.withLock { state in
            state.isAnnounced = false
            return state.count == 0
        }
        if !isEmpty { arrived?() }
    }

    /// Takes the first elements out, in their order, which makes room for as many.
    ///
    /// On the loop's thread, at any time: also what was accepted before the inlet was closed may be taken.
    public func take(atMost limit: Int = .max) -> [Element] {
        core.assertOnLoop()
        let (taken, freed) = state.withLock { state -> ([Element], Int) in
            let taken = state.take(min(limit, state.count))
            let freed = min(state.blocked, taken.count)
            state.blocked -= freed
            return (taken, freed)
        }
        openTurnstile(freed)
        return taken
    }

    /// Refuses every further element, and lets the threads go that wait for a place.
    ///
    /// On the loop's thread. `arrived` is not called any more. Calling it again does nothing.
    public func close() {
        core.assertOnLoop()
        guard isOpen else { return }
        isOpen = false
        arrived = nil
        whenLoopShutsDown = nil
        let blocked = state.withLock { state in
            state.isClosed = true
            let blocked = state.blocked
            state.blocked = 0
            return blocked
        }
        openTurnstile(blocked)
        core.driver.moveOut(self)
    }

    /// How many threads wait for a place; from any thread.
    public var blockedThreads: Int { state.withLock { $0.blocked } }

    private func openTurnstile(_ times: Int) {
        for _ in 0..<times { unsafe uv_sem_post(turnstile) }
    }

    func loopWillShutDown() {
        let tell = whenLoopShutsDown
        close()
        tell?()
    }
}
