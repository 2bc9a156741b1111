import CUV

/// What the current task prefers to run on while it is suspended: the loop that serves it, as its actor, which lives there.
///
/// A continuation resumes its task on the executor that the task prefers, by default the global one; only from there it goes
/// to its actor. The standard library's `withTaskExecutorPreference` enters its closure as the actor's again, which the changed
/// preference makes one more job. To be popped once, by the same task, before it gives memory back that it took earlier.
@usableFromInline
@safe struct ExecutorPreference: ~Copyable {
    /// Memory of the task's.
    ///
    /// It does not keep the executor alive: the caller holds the loop, which does.
    private let record: UnsafeMutableRawPointer

    /// Has the current task prefer its actor's loop, which the caller holds; nil if the actor does not live on it.
    @usableFromInline
    static func push(for actor: borrowing (any Actor)?, on loop: borrowing EventLoop) -> ExecutorPreference? {
        guard let actor = copy actor, loop.isHome(of: actor) else { return nil }
        let executor = unsafe ExecutorWords(loop.actorTaskExecutor.asUnownedTaskExecutor())
        guard let record = unsafe cuv_push_preference(executor.identity, executor.implementation) else {
            return nil
        }
        return unsafe ExecutorPreference(record: record)
    }

    /// The task prefers what it preferred before.
    @usableFromInline
    consuming func pop() {
        // Pushed by this task, which has been resumed since.
        unsafe cuv_pop_preference(record)
    }
}

extension EventLoop {
    /// Whether an actor lives here: its executor is the loop's.
    func isHome(of actor: any Actor) -> Bool {
        let theirs = unsafe ExecutorWords(actor.unownedExecutor)
        return unsafe theirs.identity == ExecutorWords(core.asUnownedSerialExecutor()).identity
    }
}

/// The two words that a reference to an executor is.
///
/// They are compared, or given to the runtime as they came from it, and never read through. Source: `SerialExecutorRef` and
/// `TaskExecutorRef` in the Swift runtime's `Executor.h`.
private struct ExecutorWords {
    /// The executor's object.
    let identity: UInt
    let implementation: UInt

    @unsafe init(_ executor: UnownedTaskExecutor) {
        // It has nothing in it but the reference; were the sizes not the same, this would trap at the first suspension.
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }

    @unsafe init(_ executor: UnownedSerialExecutor) {
        // It has nothing in it but the reference; were the sizes not the same, this would trap at the first suspension.
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }
}
