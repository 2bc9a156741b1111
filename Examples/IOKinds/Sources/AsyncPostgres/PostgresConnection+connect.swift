import CPostgres
import Glibc
import IOCalls
@_spi(Driver) import UVLoop

/// Connecting, in steps on libuv's pool.
extension PostgresConnection {
    /// How much the kernel is to keep of what has come, for one turn of the loop to take in within a few milliseconds.
    private static let receivedBytes: Int32 = 256 << 10

    /// Begins to connect; its owner is told, as a rule later.
    func start() {
        guard let words = CTexts(address.parameters.map(\.0) + [nil]),
            let values = CTexts(address.parameters.map(\.1) + [nil])
        else { return end(failed("a name or the password has a NUL byte")) }
        step { [libpq] in
            // It copies the words before it returns.
            unsafe libpq.pointer = words.withPointers { words in
                unsafe values.withPointers { values in unsafe PQconnectStartParams(words, values, 0) }
            }
            // What libpq would print to the terminal is dropped.
            unsafe PQsetNoticeProcessor(libpq.pointer, { _, _ in }, nil)
            let hasFailed = unsafe PQstatus(libpq.pointer) == CONNECTION_BAD
            return hasFailed ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
        }
    }

    /// Takes one step of connecting, on the pool: libpq looks names up there, and proves with long sums that it knows a password.
    private func step(_ body: @escaping @Sendable () -> PostgresPollingStatusType) {
        turn = ConnectTurns.shared.take(address.server, on: loop) { [self] in
            // If it has ended meanwhile its turn has been given back.
            if phase != .closed { takeStep(body) }
        }
    }

    private func takeStep(_ body: @escaping @Sendable () -> PostgresPollingStatusType) {
        libpq.status = nil
        do throws(IOError) {
            offload = try LoopOffload(
                on: loop,
                body: { [libpq] in libpq.status = body() },
                over: { [self] _ in stepped() },
                loopWillShutDown: { [self] in end(loopIsGone) }
            )
            away.left()
        } catch {
            end(loopIsGone)
        }
    }

    private func stepped() {
        offload = nil
        giveTurnBack()
        defer { away.cameBack() }
        // It has ended meanwhile: now there is nobody else who uses it.
        guard phase != .closed else { return finish() }
        switch libpq.status {
        case PGRES_POLLING_READING: awaitStep(.readable)
        case PGRES_POLLING_WRITING: awaitStep(.writable)
        case PGRES_POLLING_OK: stands()
        case nil: end(loopIsGone)
        default: end(failed(errorMessage))
        }
    }

    func giveTurnBack() {
        if let turn { ConnectTurns.shared.giveBack(turn) }
        turn = nil
    }

    /// Waits for the next step.
    ///
    /// At each libpq may close its socket and open another, so each step has a poll of its own.
    private func awaitStep(_ readiness: LoopPoll.Readiness) {
        watch { [self] _ in
            stopWatching()
            step { [libpq] in unsafe PQconnectPoll(libpq.pointer) }
        }
        poll?.wait(for: readiness)
    }

    private func stands() {
        unsafe PQsetnonblocking(connection, 1)
        // In one turn libpq reads and takes in what is there, as far as its memory goes, which a large value has made large.
        var bytes = Self.receivedBytes
        unsafe setsockopt(PQsocket(connection), SOL_SOCKET, SO_RCVBUF, &bytes, 4)
        processID = unsafe PQbackendPID(connection)
        phase = .idle
        awaitInput()
        if phase == .idle { owner?.connectionStands(self) }
    }
}

extension PostgresConnection {
    /// How many of a client's connections are on the pool: the client has not stopped before they are back and closed.
    ///
    /// It belongs to its loop's thread.
    final class Away {
        private var count = 0
        private var told: (() -> Void)?

        func left() { count += 1 }

        func cameBack() {
            count -= 1
            tell()
        }

        /// Has it told, once, when none is on the pool.
        func whenNone(_ told: @escaping () -> Void) {
            self.told = told
            tell()
        }

        private func tell() {
            guard count == 0, let told else { return }
            self.told = nil
            told()
        }
    }

    /// What a body on the pool uses, and the loop when the body is over.
    @safe final class Handle: @unchecked Sendable {
        // Safe to share: the pool orders the two.
        var pointer: OpaquePointer?
        /// What the body's step of connecting came to; nil if it never ran.
        var status: PostgresPollingStatusType?
    }
}
