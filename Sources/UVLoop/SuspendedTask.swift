#if hasFeature(BuiltinModule)
    public import Builtin
#endif
import CUV

#if DEBUG
    import Synchronization
#endif

/// A task that waits for a value, for whoever is to resume it; in an optimised build one word, which costs nothing to move.
///
/// It has to be resumed exactly once: resumed twice, or asked about once it was resumed, it touches a task that may be gone;
/// never resumed, it waits for ever. A debug build checks that, and stops at the fault.
@_spi(Driver) @safe public struct SuspendedTask<Value>: @unchecked Sendable {
    // Safe to share: a continuation may be resumed anywhere, and its owner resumes it once; asking a task whether it is
    // cancelled is allowed on any thread.
    @usableFromInline let continuation: UnsafeContinuation<Value, Never>
    #if DEBUG
        @usableFromInline let check = ResumptionCheck()
    #endif

    @inlinable
    @inline(__always)
    init(_ continuation: UnsafeContinuation<Value, Never>) {
        unsafe self.continuation = unsafe continuation
    }

    /// Suspends the current task and hands it to `body`, which passes it on to whoever resumes it.
    ///
    /// - Parameters:
    ///   - loop: the loop that serves it. An actor that lives there goes on without a way over Swift's global executor.
    ///   - body: what takes the task; it runs at once, where the caller does.
    /// - Returns: what the task was resumed with.
    @inlinable
    @inline(__always)
    public static func suspend(
        servedBy loop: EventLoop,
        _ body: (SuspendedTask) -> Void
    ) async -> sending Value {
        // A task without an actor is on the executor that it prefers already, and is resumed there.
        if isWithoutActor(#isolation) { return await suspendHere(body) }
        return await suspendOnActor(loop, body)
    }

    @inlinable
    @inline(never)
    static func suspendOnActor(
        _ loop: EventLoop,
        _ body: (SuspendedTask) -> Void
    ) async -> sending Value {
        // Not to be inlined: what a caller takes of the task's memory could then lie between the push and the pop.
        if let preference = ExecutorPreference.push(for: #isolation, on: loop) {
            let value = await suspendHere(body)
            preference.pop()
            return value
        }
        let value = unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Value, Never>) in
            body(unsafe SuspendedTask(continuation))
        }
        comeBackToActor()
        return value
    }

    /// Suspends a task without a check of the executor it is on.
    ///
    /// Does what the function of the standard library does, without what it does besides: it has the runtime look up, before
    /// and after, whether the task is on its actor's executor or on the one it prefers, for which each time a lock is taken.
    @inlinable
    @inline(__always)
    static func suspendHere(_ body: (SuspendedTask) -> Void) async -> sending Value {
        #if hasFeature(BuiltinModule)
            return await Builtin.withUnsafeContinuation { (raw: Builtin.RawUnsafeContinuation) in
                // That is all that an `UnsafeContinuation` has in it. Source: the standard library's interface.
                body(unsafe SuspendedTask(unsafeBitCast(raw, to: UnsafeContinuation<Value, Never>.self)))
            }
        #else
            return unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Value, Never>) in
                body(unsafe SuspendedTask(continuation))
            }
        #endif
    }

    /// Whether the task has been cancelled.
    ///
    /// Not to be asked once it has been resumed.
    @inlinable
    @inline(__always)
    public var isCancelled: Bool {
        #if DEBUG
            check.isAsked()
        #endif
        // A continuation is a pointer to its task, which is alive while it is suspended on it. Source:
        // `swift_continuation_init` in the Swift runtime's `Concurrency.h`. Asked of the runtime directly, because
        // `UnsafeCurrentTask` would count references to the task each time.
        return unsafe isTaskCancelled(unsafeBitCast(continuation, to: UnsafeRawPointer.self))
    }

    /// Lets the task go on.
    ///
    /// By its executor's queue, never from inside this call.
    @inlinable
    @inline(__always)
    public func resume(_ value: sending Value) {
        #if DEBUG
            check.isResumed()
        #endif
        unsafe continuation.resume(returning: value)
    }
}

#if DEBUG
    /// What all copies of a suspended task share, to see that it is resumed, and once only.
    ///
    /// What it stops at is a driver's bug only: neither a caller nor a server can resume a task.
    @usableFromInline
    final class ResumptionCheck: Sendable {
        private let isOver = Atomic(false)

        @usableFromInline
        init() {}

        @usableFromInline
        func isResumed() {
            let wasOver = isOver.exchange(true, ordering: .relaxed)
            precondition(!wasOver, "a suspended task was resumed twice")
        }

        @usableFromInline
        func isAsked() {
            precondition(
                !isOver.load(ordering: .relaxed),
                "a suspended task was asked about after it was resumed"
            )
        }

        deinit {
            precondition(
                isOver.load(ordering: .relaxed),
                "nobody has a suspended task any more, and it was not resumed"
            )
        }
    }
#endif

/// Whether a task, given by its object, has been cancelled.
@usableFromInline
@unsafe func isTaskCancelled(_ task: UnsafeRawPointer) -> Bool { unsafe cuv_is_task_cancelled(task) }

/// Something to do on the actor behind a function's last `await`: it does nothing, which the compiler does not know.
///
/// Without it the compiler (6.3.1, -O) leaves the hop back to the actor out of specialised functions, and their callers go on
/// elsewhere.
@usableFromInline
@inline(never)
func comeBackToActor() { cuv_do_nothing() }

/// A function of its own, because the compiler (6.3.1) fails where `#isolation` is looked into directly.
@usableFromInline
@inline(never)
func isWithoutActor(_ isolation: (any Actor)?) -> Bool { isolation == nil }
