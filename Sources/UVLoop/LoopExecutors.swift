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

/// The executor to prefer for tasks of actors on the loop while they are suspended: they come back as their actor's.
final class LoopReturnExecutor: TaskExecutor {
    private let core: LoopCore

    init(core: LoopCore) {
        self.core = core
    }

    func enqueue(_ job: consuming ExecutorJob) {
        core.enqueue(.returningJob(UnownedJob(job)))
    }
}

/// The two words that a reference to an executor is.
///
/// Source: `SerialExecutorRef` and `TaskExecutorRef` in the Swift runtime's `Executor.h`.
struct ExecutorWords: Equatable {
    let first: UInt
    let second: UInt

    @unsafe init(_ executor: UnownedTaskExecutor) {
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }

    @unsafe init(_ executor: UnownedSerialExecutor) {
        self = unsafe unsafeBitCast(executor, to: ExecutorWords.self)
    }
}

extension EventLoop {
    /// Whether an actor lives here: its executor is the loop's.
    func isHome(of actor: any Actor) -> Bool {
        let theirs = unsafe ExecutorWords(actor.unownedExecutor)
        return unsafe theirs == ExecutorWords(core.asUnownedSerialExecutor())
    }
}
