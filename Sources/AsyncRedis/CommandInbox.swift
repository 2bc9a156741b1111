import RESP
@_spi(Driver) import UVLoop

/// The way in for commands of tasks that do not run on the loop.
///
/// Each is encoded on its own thread, under one short lock, and the loop is woken once for a batch.
final class CommandInbox: Sendable {
    struct Entry {
        let waiter: CommandWaiter
        let byteCount: Int
        let deadline: UInt64
        /// The command's bytes, if they are too many to be copied under the lock.
        let own: WriteBuffer?
    }

    /// Commands in the order they came, with the bytes of the small ones one after the other.
    @safe struct Batch: @unchecked Sendable {
        // Safe to share: a batch has one owner at a time, the inbox behind its lock or the loop.
        var entries: [Entry] = []
        var bytes = WriteBuffer()
        /// The bytes of all entries.
        var byteCount = 0
    }

    private struct State {
        var batch = Batch()
        var spare: Batch?
        var closed: RedisError?
    }

    /// A command larger than this is encoded before the lock is taken.
    private static let maxBytesUnderLock = 16 * 1024

    private let maxEntries: Int
    private let maxBytes: Int
    private let state = Locked(State())

    /// - Parameters:
    ///   - maxEntries: how many commands may be in a batch.
    ///   - maxBytes: how many bytes they may have; one command alone always may.
    init(maxEntries: Int, maxBytes: Int) {
        self.maxEntries = maxEntries
        self.maxBytes = maxBytes
    }

    enum Submission {
        /// It waits for the loop to take it.
        case accepted
        /// The same, and the loop has to be told: it is the first of a batch.
        case first
        case tooMany
        case tooManyBytes
        case refused(RedisError)
    }

    /// Encodes a command of `byteCount` bytes into the batch.
    ///
    /// If it is not accepted, nothing has been kept, and the waiter is the caller's.
    func submit(
        _ command: some RESPCommand,
        byteCount: Int,
        deadline: UInt64,
        _ waiter: CommandWaiter
    ) -> Submission {
        var own: WriteBuffer?
        if byteCount > Self.maxBytesUnderLock {
            let buffer = WriteBuffer()
            buffer.append(byteCount) { command.encode(into: &$0) }
            own = buffer
        }
        let entry = Entry(waiter: waiter, byteCount: byteCount, deadline: deadline, own: own)
        return state.withLock { state in
            if let closed = state.closed { return .refused(closed) }
            guard state.batch.entries.count < maxEntries else { return .tooMany }
            guard state.batch.byteCount == 0 || state.batch.byteCount + byteCount <= maxBytes else {
                return .tooManyBytes
            }
            if entry.own == nil { state.batch.bytes.append(byteCount) { command.encode(into: &$0) } }
            state.batch.byteCount += byteCount
            state.batch.entries.append(entry)
            return state.batch.entries.count == 1 ? .first : .accepted
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
        batch.byteCount = 0
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
