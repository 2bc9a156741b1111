@_spi(Driver) import AsyncIO
import RESP
@_spi(Driver) import UVLoop

/// The way in for commands of tasks that do not run on the loop.
///
/// Each is encoded on its own thread, under one short lock, and the loop is woken once for a batch.
final class CommandInbox: Sendable {
    struct Entry {
        let waiter: CommandWaiter
        let request: RedisConnection.Request
        /// The command's bytes, if they are too many to be copied under the lock.
        let own: OutputQueue?
    }

    /// Commands in the order they came, with the bytes of the small ones one after the other.
    @safe struct Batch: @unchecked Sendable {
        // Safe to share: a batch has one owner at a time, the inbox behind its lock or the loop.
        var entries: [Entry] = []
        var bytes = WriteBuffer()
        /// The bytes of all entries.
        var byteCount = 0

        fileprivate mutating func take(_ entry: Entry) -> Submission {
            byteCount += entry.request.byteCount
            entries.append(entry)
            return entries.count == 1 ? .first : .accepted
        }
    }

    private struct State {
        var batch = Batch()
        var spare: Batch?
        var closed: RedisError?
    }

    private let backlog: Backlog
    private let state = Locked(State())

    /// - Parameter backlog: what waits for the endpoint, where commands that come in here are counted.
    init(_ backlog: Backlog) {
        self.backlog = backlog
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

    /// Encodes a command into the batch.
    ///
    /// If it is not accepted, nothing has been kept, and the waiter is the caller's.
    func submit(
        _ command: some RESPCommand,
        _ request: RedisConnection.Request,
        _ waiter: CommandWaiter
    ) -> Submission {
        if request.isLarge { return submitLarge(command, request, waiter) }
        return state.withLock { state in
            if let obstacle = obstacle(request, state) { return obstacle }
            state.batch.bytes.append(request.byteCount) { command.encode(into: &$0) }
            return state.batch.take(Entry(waiter: waiter, request: request, own: nil))
        }
    }

    private func submitLarge(
        _ command: some RESPCommand,
        _ request: RedisConnection.Request,
        _ waiter: CommandWaiter
    ) -> Submission {
        if let obstacle = state.withLock({ obstacle(request, $0) }) { return obstacle }
        let own = OutputQueue()
        own.append(command, request.byteCount)
        return state.withLock { state in
            guard let closed = state.closed else {
                return state.batch.take(Entry(waiter: waiter, request: request, own: own))
            }
            backlog.giveBack(bytes: request.byteCount)
            return .refused(closed)
        }
    }

    /// What keeps a command out; if nothing does, there is room for it now.
    private func obstacle(_ request: RedisConnection.Request, _ state: State) -> Submission? {
        if let closed = state.closed { return .refused(closed) }
        return switch backlog.reserve(bytes: request.byteCount) {
        case nil: nil
        case .commands: .tooMany
        case .bytes: .tooManyBytes
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
        state.withLock { if $0.closed == nil { $0.spare = batch } }
    }

    /// Lets go of memory that no command lies in.
    func giveMemoryBack() {
        state.withLock { state in
            state.spare = nil
            if state.batch.entries.isEmpty { state.batch = Batch() }
        }
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
