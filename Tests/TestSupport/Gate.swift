import Dispatch
@_spi(Driver) import UVLoop

/// Something that happens once, for tasks to wait for and threads to open.
public final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Locked(State())
    /// A turnstile for threads: whoever passes lets the next one pass.
    private let turnstile = DispatchSemaphore(value: 0)

    /// Makes a closed gate.
    public init() {}

    /// Lets everyone through, now and later.
    public func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            let waiters = state.waiters
            state.waiters = []
            return waiters
        }
        for waiter in waiters { waiter.resume() }
        turnstile.signal()
    }

    /// Blocks the calling thread until the gate is open.
    public func waitOnThread() {
        turnstile.wait()
        turnstile.signal()
    }

    /// Returns once the gate is open.
    public func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    /// Whether the gate is open.
    public var isOpen: Bool { state.withLock { $0.isOpen } }
}

/// A value behind a lock, for tests to collect into from any thread.
public final class Collected<Value: Sendable>: Sendable {
    private let state: Locked<Value>

    /// Makes it with its first value.
    public init(_ value: Value) { state = Locked(value) }

    /// The value now.
    public var value: Value { state.withLock { $0 } }

    /// Changes the value.
    @discardableResult
    public func update<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
        state.withLock { body(&$0) }
    }
}
