import Synchronization

/// An executor to prefer, which counts what comes to it on its way to the global one.
public final class CountingExecutor: TaskExecutor {
    private let count = Atomic<Int>(0)

    /// Nothing has come yet.
    public init() {}

    /// How many jobs have come.
    public var jobs: Int { count.load(ordering: .relaxed) }

    /// Counts the job and passes it on.
    public func enqueue(_ job: consuming ExecutorJob) {
        count.add(1, ordering: .relaxed)
        globalConcurrentExecutor.enqueue(job)
    }
}
