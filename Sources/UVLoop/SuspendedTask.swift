/// A task that waits for a value: plain bits, which cost nothing to move, for whoever is to resume it.
///
/// It has to be resumed exactly once.
@_spi(Driver) @safe public struct SuspendedTask<Value>: @unchecked Sendable {
    // Safe to share: a continuation may be resumed anywhere, and its owner resumes it once; asking a task whether it is
    // cancelled is allowed on any thread.
    @usableFromInline let continuation: UnsafeContinuation<Value, Never>
    /// The task, not retained.
    ///
    /// Valid until the continuation is resumed: the task is suspended on it, and a suspended task is alive.
    @usableFromInline let task: Unmanaged<AnyObject>?

    /// The current task, about to suspend on `continuation`.
    @inlinable
    init(_ continuation: UnsafeContinuation<Value, Never>) {
        unsafe self.continuation = unsafe continuation
        // An `UnsafeCurrentTask` is one reference to the task's object.
        unsafe task = withUnsafeCurrentTask { task in
            unsafe task.map { unsafe unsafeBitCast($0, to: Unmanaged<AnyObject>.self) }
        }
    }

    /// Suspends the current task and hands it to `body`, which passes it on to whoever resumes it.
    ///
    /// - Returns: what the task was resumed with.
    @inlinable
    public static func suspend(_ body: (SuspendedTask) -> Void) async -> sending Value {
        unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Value, Never>) in
            body(unsafe SuspendedTask(continuation))
        }
    }

    /// Whether the task has been cancelled.
    ///
    /// Not to be asked once it has been resumed.
    @inlinable
    public var isCancelled: Bool {
        guard let task = unsafe task else { return false }
        return unsafe unsafeBitCast(task, to: UnsafeCurrentTask.self).isCancelled
    }

    /// Lets the task go on.
    ///
    /// By its executor's queue, never from inside this call.
    @inlinable
    public func resume(_ value: sending Value) {
        unsafe continuation.resume(returning: value)
    }
}
