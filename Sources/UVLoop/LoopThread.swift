import CUV
import Glibc

/// A detached POSIX thread that runs one closure with `SIGPIPE` blocked: libuv writes without `MSG_NOSIGNAL`.
@_spi(Driver) public enum LoopThread {
    /// The longest name Linux keeps for a thread.
    fileprivate static let maxNameBytes = 15

    /// The calling thread's identity; never 0.
    @inline(__always)
    static var currentID: UInt { cuv_current_thread() }

    fileprivate final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    static func start(named name: String, _ body: @escaping @Sendable () -> Void) {
        do throws(IOError) {
            try tryToStart(named: name, body)
        } catch {
            // Without a thread neither the loop nor its late work can go on, and no caller could be told later.
            fatalError("pthread_create failed (\(error)): the process may start no further thread")
        }
    }

    /// Starts a thread, for a driver whose library wants one of its own.
    ///
    /// - Parameters:
    ///   - name: its name, of which Linux keeps 15 bytes.
    ///   - body: what it runs; then it ends.
    /// - Throws: what the system says if it starts no further thread, for example `EAGAIN`.
    public static func tryToStart(named name: String, _ body: @escaping @Sendable () -> Void) throws(IOError)
    {
        // Retained here, released by the thread that it is handed to.
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        var thread = pthread_t()
        let failure = unsafe pthread_create(&thread, nil, threadMain, start.toOpaque())
        guard failure == 0 else {
            unsafe start.release()
            throw IOError(errno: failure)
        }
        pthread_detach(thread)
    }

    fileprivate static func blockSIGPIPE() {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    fileprivate static func setName(_ name: String) {
        unsafe cuv_name_current_thread(name)
    }
}

private func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    // `start(named:_:)` retained it for this thread.
    let start = unsafe Unmanaged<LoopThread.Start>.fromOpaque(argument).takeRetainedValue()
    LoopThread.blockSIGPIPE()
    LoopThread.setName(String(decoding: start.name.utf8.prefix(LoopThread.maxNameBytes), as: UTF8.self))
    start.body()
    return nil
}
