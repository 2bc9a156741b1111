extension EventLoop {
    /// Runs a blocking body on libuv's thread pool, and returns what it returns.
    ///
    /// ```swift
    /// let size = try await loop.offload { () throws(DiskError) in try measure(path) }
    /// ```
    ///
    /// It may be called from any thread, and the loop goes on meanwhile. The pool is shared by the process: four threads unless
    /// the environment's `UV_THREADPOOL_SIZE` says otherwise. Bodies that find none free wait in the order they came, without a
    /// limit: whoever offloads for an endpoint bounds them with its permits.
    ///
    /// A task that is cancelled has its await ended at once, whatever the body does:
    ///
    /// - A body that was still queued is taken out and never runs.
    /// - A body that runs cannot be stopped. It runs to its end on its thread, and what it gives is dropped there; the
    ///   error's `hasBegun` says so, and that its effects may come still.
    ///
    /// The loop's shutdown ends the await in the same way, and then waits for bodies that run.
    ///
    /// - Parameter body: what to run. It may block, and it may outlive the call.
    /// - Returns: what `body` returned.
    /// - Throws: ``OffloadError`` with code `bodyFailed` and what `body` threw, `cancelled`, or `loopShutDown`.
    public func offload<Success: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Success
    ) async throws(OffloadError<Failure>) -> Success {
        let call = OffloadCall(core: core, body)
        let end = await run(call, isolation: #isolation)
        // Also what nobody wants any more is let go of here, or by the body.
        let result = call.result.take()
        try end.get()
        switch result {
        case .success(let success): return success
        case .failure(let failure): throw OffloadError(failure)
        // A bug of ours only: it gives one either way before the loop is told that it is over.
        case nil: preconditionFailure("a body that is over has given its result")
        }
    }

    private func run<Success, Failure>(
        _ call: OffloadCall<Success, Failure>,
        isolation: isolated (any Actor)?
    ) async -> OffloadCall<Success, Failure>.End {
        await withTaskCancellationHandler {
            // The closure is the caller's actor's because it has it.
            _ = isolation
            return await call.run(on: self)
        } onCancel: {
            call.cancel()
        }
    }
}

/// Why an offloaded body gave nothing.
public struct OffloadError<Failure: Error>: Error, CustomStringConvertible {
    /// What went wrong; codes may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name.
        public let description: String
        private init(_ description: String) { self.description = description }

        /// The body threw; ``OffloadError/failure`` is what.
        public static var bodyFailed: Code { Code("bodyFailed") }
        /// The task was cancelled.
        public static var cancelled: Code { Code("cancelled") }
        /// The event loop has been shut down, or its shutdown has begun.
        public static var loopShutDown: Code { Code("loopShutDown") }
    }

    /// What went wrong.
    public let code: Code
    /// Whether the body has begun.
    ///
    /// If not, it never will. One that has begun and has not thrown may still run.
    public let hasBegun: Bool
    /// What the body threw, if it did.
    public let failure: Failure?

    init(_ code: Code, hasBegun: Bool) {
        self.code = code
        self.hasBegun = hasBegun
        failure = nil
    }

    init(_ failure: Failure) {
        code = .bodyFailed
        hasBegun = true
        self.failure = failure
    }

    /// A sentence for a person.
    public var description: String {
        let fate = hasBegun ? "it had begun, and what it gives is dropped" : "it never ran"
        if let failure { return "the offloaded work failed: \(failure)" }
        return switch code {
        case .cancelled: "the task was cancelled before its offloaded work had ended; \(fate)"
        default: "the event loop was shut down before the offloaded work had ended; \(fate)"
        }
    }
}

/// One call of `EventLoop.offload(_:)`.
///
/// Its state belongs to the loop's thread.
@safe final class OffloadCall<Success: Sendable, Failure: Error>: @unchecked Sendable {
    // Safe to share: `result` synchronises itself; everything else that changes is touched on the loop's thread only.

    /// How the await ends: with success there is a result.
    typealias End = Result<Void, OffloadError<Failure>>

    let result = Handover<Result<Success, Failure>>()
    private let core: LoopCore
    private var body: (@Sendable () throws(Failure) -> Success)?
    private var offload: LoopOffload?
    private var task: SuspendedTask<End>?
    private var end: End?

    init(core: LoopCore, _ body: @escaping @Sendable () throws(Failure) -> Success) {
        self.core = core
        self.body = body
    }

    func run(on loop: EventLoop) async -> End {
        await SuspendedTask<End>.suspend(servedBy: loop) { task in
            core.runOrPost { [self] in start(task) }
        }
    }

    func cancel() {
        core.runOrPost { [self] in giveUp(.cancelled) }
    }

    private func start(_ task: SuspendedTask<End>) {
        // It may have been cancelled on its way here.
        if let end { return task.resume(end) }
        guard let body else { return }
        self.body = nil
        self.task = task
        do throws(IOError) {
            offload = try LoopOffload(
                on: core.driver,
                body: { [result] in
                    do throws(Failure) {
                        result.give(.success(try body()))
                    } catch {
                        result.give(.failure(error))
                    }
                },
                over: { [self] hasRun in over(hasRun) },
                loopWillShutDown: { [self] in giveUp(.loopShutDown) }
            )
        } catch {
            finish(.failure(OffloadError(.loopShutDown, hasBegun: false)))
        }
    }

    private func over(_ hasRun: Bool) {
        offload = nil
        // The end of one that never ran was told when it was taken out of the queue.
        if hasRun { finish(.success(())) }
    }

    private func giveUp(_ code: OffloadError<Failure>.Code) {
        finish(.failure(OffloadError(code, hasBegun: offload.map { !$0.cancel() } ?? false)))
    }

    private func finish(_ end: End) {
        guard self.end == nil else { return }
        self.end = end
        body = nil
        task?.resume(end)
        task = nil
    }
}
