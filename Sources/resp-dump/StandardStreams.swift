import Foundation

/// A system call on standard input or output that failed.
struct StreamError: Error {
    let reason: String

    init(_ call: String, _ number: Int32) {
        // Safe: the text is the C library's own, and copied at once.
        reason = "\(call): \(unsafe String(cString: strerror(number)))"
    }
}

/// Whether a call that failed was interrupted, or found a stream that does not block not ready; it is when this returns.
///
/// - Parameter event: what the stream is to be ready for.
private func isWorthAnotherTry(_ stream: Int32, _ event: Int32) -> Bool {
    if errno == EINTR { return true }
    guard errno == EAGAIN || errno == EWOULDBLOCK else { return false }
    var waiting = pollfd(fd: stream, events: Int16(event), revents: 0)
    // Safe: one descriptor, which outlives the call. Whatever became of the stream, the next try finds out.
    return unsafe poll(&waiting, 1, -1) >= 0 || errno == EINTR
}

/// Standard input, in pieces as they arrive.
struct StandardInput {
    /// A piece is no longer than this.
    static let pieceBytes = 1 << 16

    /// Reads what there is, waiting for the first byte of it.
    ///
    /// - Returns: the bytes; none at the end.
    func read() throws(StreamError) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.pieceBytes) { memory, count in
            // Safe: the memory has room for as many bytes as are asked for, and outlives the call.
            var result = unsafe Foundation.read(STDIN_FILENO, memory.baseAddress, memory.count)
            while result < 0, isWorthAnotherTry(STDIN_FILENO, POLLIN) {
                result = unsafe Foundation.read(STDIN_FILENO, memory.baseAddress, memory.count)
            }
            if result < 0 { failure = errno }
            count = max(0, result)
        }
        if failure != 0 { throw StreamError("reading standard input", failure) }
        return bytes
    }
}

/// Standard output, gathered up to a piece's length: of a reply's text no more than that, and one string of it, is in memory.
struct StandardOutput: TextOutputStream {
    private var pending: [UInt8] = []
    /// What went wrong first; nothing is written from then on.
    private(set) var failure: StreamError?

    mutating func write(_ text: String) {
        pending.append(contentsOf: text.utf8)
        if pending.count >= StandardInput.pieceBytes { flush() }
    }

    mutating func write(_ bytes: [UInt8]) { pending.append(contentsOf: bytes) }

    /// Hands everything to the system.
    mutating func flush() {
        defer { pending.removeAll(keepingCapacity: true) }
        var start = 0
        while failure == nil, start < pending.count {
            let written = unsafe pending[start...].withUnsafeBytes {
                // Safe: the array keeps its bytes until the call returns.
                unsafe Foundation.write(STDOUT_FILENO, $0.baseAddress, $0.count)
            }
            if written >= 0 {
                start += written
            } else if !isWorthAnotherTry(STDOUT_FILENO, POLLOUT) {
                failure = StreamError("writing standard output", errno)
            }
        }
    }
}
