import RESP
@_spi(Driver) import UVLoop

/// The way in for commands of tasks that do not run on the loop.
///
/// Each is encoded on its own thread, under one lock, and the loop is woken once for a batch.
final class CommandInbox: Sendable {
    struct Entry {
        let waiter: CommandWaiter
        let byteCount: Int
    }

    /// Commands in the order they came, with their bytes one after the other.
    @safe struct Batch: @unchecked Sendable {
        // Safe to share: a batch has one owner at a time, the inbox behind its lock or the loop.
        var entries: [Entry] = []
        var bytes = WriteBuffer()
    }

    private struct State {
        var batch = Batch()
        var spare: Batch?
        var closed: RedisError?
    }

    private let state = Locked(State())

    enum Submission {
        /// It waits for the loop to take it.
        case accepted
        /// The same, and the loop has to be told: it is the first of a batch.
        case first
        case refused(RedisError)
        case invalid(RESPEncodingError)
    }

    /// Encodes a command into the batch.
    ///
    /// If it is not accepted, nothing has been kept, and the waiter is the caller's.
    func submit(
        _ command: some RESPCommand,
        _ waiter: CommandWaiter,
        _ limits: RESPLimits
    ) -> Submission {
        state.withLock { state in
            if let closed = state.closed { return .refused(closed) }
            do throws(RESPEncodingError) {
                let byteCount = try command.byteCount(limits)
                var failure: RESPEncodingError?
                state.batch.bytes.append(byteCount) { command.encode(into: &$0, &failure) }
                if let failure { throw failure }
                state.batch.entries.append(Entry(waiter: waiter, byteCount: byteCount))
                return state.batch.entries.count == 1 ? .first : .accepted
            } catch {
                return .invalid(error)
            }
        }
    }

    /// Takes the batch out.
    ///
    /// On the loop's thread.
    func take() -> Batch {
        state.withLock { state in
            let batch = state.batch
            state.batch = state.spare ?? Batch()
            state.spare = nil
            return batch
        }
    }

    /// Gives a batch that has been dealt with back, for its memory.
    func recycle(_ used: consuming Batch) {
        var batch = used
        guard batch.bytes.heldBytes <= WriteBufferPool.maxSpareBytes else { return }
        batch.entries.removeAll(keepingCapacity: batch.entries.capacity <= 4096)
        batch.bytes.clear()
        state.withLock { $0.spare = batch }
    }

    /// Refuses every further command with `error`.
    func close(_ error: RedisError) {
        state.withLock { state in
            if state.closed == nil { state.closed = error }
            state.spare = nil
        }
    }

    /// Whether commands are refused.
    var isClosed: Bool { state.withLock { $0.closed != nil } }
}
