import RESP
import UVLoop

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
        buffer.withBytes(range) { $0[0] == RESPType.error }
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
    /// Valid until the continuation is resumed: the task is suspended on it, and a suspended task is alive.
    private let task: UnsafeCurrentTask?

    /// The current task, about to suspend on `continuation`.
    @inline(__always)
    init(_ continuation: UnsafeContinuation<CommandEnd, Never>) {
        unsafe self.continuation = unsafe continuation
        unsafe task = withUnsafeCurrentTask { unsafe $0 }
    }

    var isCancelled: Bool { unsafe task?.isCancelled ?? false }

    @inline(__always)
    func resume(_ end: CommandEnd) {
        unsafe continuation.resume(returning: end)
    }
}
