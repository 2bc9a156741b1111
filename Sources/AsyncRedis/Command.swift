import RESP
@_spi(Driver) import UVLoop

/// How a command ended, as handed to its task.
enum CommandEnd {
    case reply(Reply)
    case failure(RedisError)
}

/// A complete reply, still in the buffer it was received into.
///
/// It is decoded on its task's own side, then let go.
struct Reply {
    let buffer: ReadBuffer
    let range: Range<Int>

    /// Whether the reply as a whole is an error.
    @inline(__always)
    var isError: Bool {
        buffer.byte(at: range.lowerBound) == RESPType.error
    }

    /// The error that the reply is.
    func serverError(endpoint: String) -> RedisError {
        // Between the type byte and CR LF.
        let message = buffer.withBytes((range.lowerBound + 1)..<(range.upperBound - 2)) { Array(copying: $0) }
        return RedisError(serverMessage: message, endpoint: endpoint)
    }

    /// Decodes the reply, or throws the error that it is.
    @inline(__always)
    func decode<Value: RESPDecodable>(_ type: Value.Type, endpoint: String) throws(RedisError) -> Value {
        if isError { throw serverError(endpoint: endpoint) }
        do throws(RESPDecodingError) {
            return try buffer.withBytes(range) { bytes throws(RESPDecodingError) in
                var reader = RESPReader(bytes)
                return try Value(from: &reader)
            }
        } catch {
            throw RedisError(error, endpoint: endpoint)
        }
    }
}

/// A task that waits for its command's end.
@safe struct CommandWaiter: @unchecked Sendable {
    // Safe to share: the continuation is made to be resumed anywhere, and is resumed once, by whoever ends the command;
    // asking a task whether it is cancelled is allowed on any thread.
    private let continuation: UnsafeContinuation<CommandEnd, Never>
    /// The task, not retained: a waiter is plain bits, and costs nothing to move.
    ///
    /// Valid until the continuation is resumed, because the task is suspended on it, and a suspended task is
    /// alive.
    private let task: Unmanaged<AnyObject>?

    /// The current task, about to suspend on `continuation`.
    @inline(__always)
    init(_ continuation: UnsafeContinuation<CommandEnd, Never>) {
        unsafe self.continuation = unsafe continuation
        // An `UnsafeCurrentTask` is one reference to the task's object.
        unsafe task = withUnsafeCurrentTask {
            unsafe $0.map { unsafe unsafeBitCast($0, to: Unmanaged<AnyObject>.self) }
        }
    }

    /// Whether the task has been cancelled.
    ///
    /// Not to be asked once the waiter has been resumed.
    var isCancelled: Bool {
        guard let task = unsafe task else { return false }
        return unsafe unsafeBitCast(task, to: UnsafeCurrentTask.self).isCancelled
    }

    @inline(__always)
    func resume(_ end: CommandEnd) {
        unsafe continuation.resume(returning: end)
    }
}
