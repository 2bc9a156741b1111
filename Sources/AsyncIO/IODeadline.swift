import Synchronization
@_spi(Driver) import UVLoop

/// The instant by which the commands of a task and of its child tasks have to be over, whatever kind of I/O they are of.
///
/// Set with ``withIOTimeout(_:_:)``.
@_spi(Driver) public enum IODeadline {
    @TaskLocal fileprivate static var ofTask: UInt64 = .max

    /// Whether any task ever had one.
    ///
    /// If none had, a command need not ask for its task's.
    private static let isInUse = Atomic(false)

    /// On the loop's clock, in nanoseconds; `UInt64.max` for none.
    public static var current: UInt64 {
        // A task that has one has set this itself, or was made by one that had.
        isInUse.load(ordering: .relaxed) ? ofTask : .max
    }

    fileprivate static func with<Result>(
        _ deadline: UInt64,
        isolation: isolated (any Actor)?,
        _ body: () async -> Result
    ) async -> Result {
        isInUse.store(true, ordering: .relaxed)
        return await $ofTask.withValue(deadline) {
            // The closure is the caller's actor's because it has it.
            _ = isolation
            return await body()
        }
    }
}

/// Runs `body` with a time limit on its commands, of every kind of I/O, and on those of the child tasks it makes.
///
/// ```swift
/// let page = try await withIOTimeout(.milliseconds(50)) {
///     let ids = try await redis.lrange("follow:1", 0, 4)
///     return try await redis.hmget("names", ids)
/// }
/// ```
///
/// The limit is an instant, `timeout` from now, that all of the commands share. A command that is not over by then fails
/// with its client's *deadline exceeded* error. Where several limits apply (this one, one around it, the endpoint's
/// `commandTimeout`, a call's own `timeout`) the earliest wins. `body` itself is not interrupted. Making a
/// client's own connection is bounded in the same way; what closes one is not.
///
/// - Parameters:
///   - timeout: how long the commands may take together.
///   - body: what to run.
/// - Returns: what `body` returned.
/// - Throws: what `body` throws.
public func withIOTimeout<Success, Failure: Error>(
    _ timeout: Duration,
    _ body: () async throws(Failure) -> Success
) async throws(Failure) -> Success {
    let deadline = min(IODeadline.current, LoopClock.instant(after: timeout))
    let result: Result<Success, Failure> = await IODeadline.with(deadline, isolation: #isolation) {
        do throws(Failure) {
            return .success(try await body())
        } catch {
            return .failure(error)
        }
    }
    return try result.get()
}
