import CUV

/// The executor to prefer for tasks that should run on the loop.
///
/// A second object beside the serial executor: a type that is both has every resumed task enqueued twice.
final class LoopTaskExecutor: TaskExecutor {
    private let core: LoopCore

    init(core: LoopCore) {
        self.core = core
    }

    func enqueue(_ job: consuming ExecutorJob) {
        core.enqueue(.taskJob(UnownedJob(job)))
    }
}

/// The executor to prefer for the task of an actor on the loop while it is suspended: what it is given runs as the actor's.
final class LoopActorTaskExecutor: TaskExecutor {
    private let core: LoopCore

    init(core: LoopCore) {
        self.core = core
    }

    func enqueue(_ job: consuming ExecutorJob) {
        core.enqueue(job)
    }
}

/// What the current task prefers to run on while it is suspended: the loop that serves it, as its actor, which lives there.
///
/// A continuation resumes its task on the executor that the task prefers, by default the global one; only from there it goes
/// to its actor. The standard library's `withTaskExecutorPreference` cannot be used, because its closure is no actor's.
@usableFromInline
@safe struct ExecutorPreference {
    private let record: UnsafeMutableRawPointer

    /// Has the current task prefer its actor's loop, which the caller holds; nil if the actor does not live on it.
    ///
    /// To be popped in the same function.
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
    func pop() {
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
/// Source: `SerialExecutorRef` and `TaskExecutorRef` in the Swift runtime's `Executor.h`.
private struct ExecutorWords {
    /// The executor's object.
    let identity: UInt
    let implementation: UInt

    @unsafe init(_ executor: UnownedTaskExecutor) {
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }

    @unsafe init(_ executor: UnownedSerialExecutor) {
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }
}
