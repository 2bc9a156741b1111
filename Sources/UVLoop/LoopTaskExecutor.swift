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
