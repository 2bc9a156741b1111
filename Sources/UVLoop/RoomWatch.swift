import CUV
import Glibc

/// Says when a socket that took no more bytes has room again.
///
/// libuv tells that only of bytes it has been given for good, so the socket is watched beside it, by a second descriptor
/// of the same socket. It belongs to its loop's thread.
final class RoomWatch {
    private let driver: LoopDriver
    private let hasRoom: () -> Void
    private var descriptor: Int32
    private var poll: LoopPoll?
    /// Asks again and again where there is nothing to watch with; made when it is needed.
    private var timer: LoopTimer?

    private static let retryMilliseconds: UInt64 = 5

    /// Prepares to watch.
    ///
    /// - Parameters:
    ///   - socket: the open stream.
    ///   - hasRoom: called in a callback of libuv's, at each turn until the watch is stopped.
    init(on driver: LoopDriver, _ socket: UnsafeMutablePointer<uv_handle_t>, hasRoom: @escaping () -> Void) {
        self.driver = driver
        self.hasRoom = hasRoom
        var original: uv_os_fd_t = -1
        descriptor =
            if unsafe uv_fileno(socket, &original) == 0 { fcntl(original, F_DUPFD_CLOEXEC, 0) } else { -1 }
        if descriptor >= 0 {
            poll = try? LoopPoll(
                on: driver,
                descriptor: descriptor,
                ready: { [weak self] result in
                    if case .failure = result { self?.giveUpPolling() }
                    hasRoom()
                }
            )
        }
    }

    func start() {
        if let poll { return poll.wait(for: .writable) }
        if timer == nil { timer = LoopTimer(on: driver, fired: hasRoom) }
        timer?.start(after: Self.retryMilliseconds, every: Self.retryMilliseconds)
    }

    /// The watch is over: asks again and again from now on.
    private func giveUpPolling() {
        poll?.close()
        poll = nil
        start()
    }

    func stop() {
        poll?.stop()
        timer?.stop()
    }

    /// Ends the watch for good.
    ///
    /// Calling it again does nothing.
    func close() {
        poll?.close()
        poll = nil
        timer?.close()
        timer = nil
        // The poll has let go of it.
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }
}
