import CUV

/// A libuv loop on a thread of its own, and an executor for the tasks and actors that live on it.
///
/// A task that runs on the loop talks to the connections of that loop without leaving its thread:
///
/// ```swift
/// try await EventLoop.shared.run {
///     let name = try await redis.hget("user:1", "name")
/// }
/// ```
///
/// Everything here may be called from any thread. A loop that nobody holds any more shuts itself down.
public final class EventLoop: Sendable {
    /// The process's common loop.
    ///
    /// It is made at first use and lives as long as the process.
    public static let shared = EventLoop(name: "async-io")

    /// The name its thread carries, cut to the 15 bytes that Linux keeps.
    public let name: String

    /// Whether the process, or more precisely the thread that asks first, may run on more than one processor.
    package static let hasSeveralProcessors = uv_available_parallelism() > 1

    package let core: LoopCore
    private let executor: LoopTaskExecutor
    let actorTaskExecutor: LoopActorTaskExecutor

    /// Makes a loop and starts its thread.
    ///
    /// A loop that libuv could not make, for example because the process has no descriptors left, still runs every task;
    /// what needs I/O on it fails with libuv's error.
    ///
    /// - Parameter name: what to call the thread.
    public init(name: String = "event-loop") {
        self.name = name
        core = LoopCore()
        executor = LoopTaskExecutor(core: core)
        actorTaskExecutor = LoopActorTaskExecutor(core: core)
        core.start(named: name, taskExecutor: executor)
    }

    deinit {
        core.shutDown {}
    }

    // MARK: Running on the loop

    /// Runs `body` on the loop's thread and returns what it returns.
    ///
    /// `body` and the child tasks it makes stay on the loop wherever they are not isolated to an actor. It may be called
    /// on the loop itself. A cancelled caller cancels `body` in the usual way.
    ///
    /// - Parameter body: what to run. It must not block: everything else on the loop waits while it runs.
    /// - Returns: what `body` returned.
    /// - Throws: what `body` throws.
    @concurrent
    public func run<Success: Sendable, Failure: Error>(
        _ body: @concurrent @Sendable () async throws(Failure) -> Success
    ) async throws(Failure) -> Success {
        // `@concurrent` makes `body` itself hop to the preferred executor; nothing around it does.
        try await withTaskExecutorPreference(executor, operation: body)
    }

    /// Runs `body` on the loop's thread, after everything that was posted before it.
    ///
    /// Closures posted by one thread run in the order it posted them. After the loop has shut down a closure still runs,
    /// one at a time, on another thread.
    ///
    /// - Parameter body: what to run. It must not block.
    public func post(_ body: @escaping @Sendable () -> Void) {
        core.post(body)
    }

    /// Whether the caller runs on the loop's thread.
    public var isOnLoop: Bool { core.isOnLoop }

    /// The executor for actors that live on the loop: return its `asUnownedSerialExecutor()` from `unownedExecutor`,
    /// and keep the loop in a property of the actor.
    ///
    /// Such an actor does not leave the loop's thread while it waits for a command of a client there, for ``sleep(for:)`` or
    /// ``offload(_:)``, or for such a client to connect or to close. Its child tasks run elsewhere, unless they prefer
    /// ``taskExecutor``.
    public var serialExecutor: any SerialExecutor { core }

    /// The executor for `withTaskExecutorPreference(_:)` and `Task(executorPreference:)`.
    public var taskExecutor: any TaskExecutor { executor }

    // MARK: Time

    /// Suspends the task for at least `duration`, on a timer of the loop with a resolution of one millisecond.
    ///
    /// - Parameter duration: how long to wait. Zero and less return after one turn of the loop.
    /// - Throws: `CancellationError` as soon as the task is cancelled, and ``EventLoopError/shutDown`` if the loop is, or
    ///   begins to be, shut down.
    public func sleep(for duration: Duration) async throws {
        try await sleep(milliseconds: duration.roundedUpToMilliseconds, isolation: #isolation)
    }

    private func sleep(milliseconds: UInt64, isolation: isolated (any Actor)?) async throws {
        let sleeper = Sleeper(core: core)
        try await withTaskCancellationHandler {
            // The closure is the caller's actor's because it has it.
            _ = isolation
            try await sleeper.sleep(milliseconds: milliseconds, on: self)
        } onCancel: {
            sleeper.cancel()
        }
    }

    // MARK: End

    /// Ends the loop: closes every connection and timer on it, runs the work that is ready, closes the `uv_loop_t` and
    /// lets the thread go.
    ///
    /// It returns when libuv has closed the loop. Calling it again, also at the same time, waits for the same end; it may
    /// be called on the loop itself. Tasks and actors of the loop go on afterwards on another thread. A name that is just
    /// being resolved holds the shutdown up until the system's resolver gives in.
    public func shutdown() async {
        await SuspendedTask<Void>.suspend(servedBy: self) { task in
            core.shutDown { task.resume(()) }
        }
    }
}

/// Why an event loop did not do what it was asked.
public struct EventLoopError: Error, Hashable, Sendable, CustomStringConvertible {
    private enum Code { case shutDown }
    private let code: Code

    /// The loop has been shut down, or its shutdown has begun.
    public static let shutDown = EventLoopError(code: .shutDown)

    /// A sentence for a person.
    public var description: String {
        switch code {
        case .shutDown: "the event loop has been shut down"
        }
    }
}

extension Duration {
    /// Whole nanoseconds, from 0 to what fits.
    package var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (nanoseconds, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, sumOverflow) = nanoseconds.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        return overflow || sumOverflow ? .max : sum
    }

    /// Whole milliseconds, rounded up, from 0 to what fits.
    @_spi(Driver) public var roundedUpToMilliseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (milliseconds, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        // libuv adds its own time to a timeout: leave it room.
        guard !overflow, milliseconds < UInt64.max / 4 else { return UInt64.max / 4 }
        return milliseconds + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
