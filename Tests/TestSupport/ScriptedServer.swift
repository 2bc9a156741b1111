import Foundation
import Glibc
@_spi(Driver) import UVLoop

/// A server on loopback that does to each connection what a test's script says, on a thread of its own with blocking I/O.
public final class ScriptedServer: Sendable {
    /// The port it listens on.
    public let port: Int
    private let listener: Int32
    private let connections = Locked<[ServerConnection]>([])

    /// Starts the server.
    ///
    /// - Parameter script: called for each connection, on that connection's own thread. The connection is closed when it
    ///   returns.
    public init(_ script: @escaping @Sendable (ServerConnection) -> Void) throws {
        (listener, port) = try listenOnLoopback(backlog: 1024)
        Thread.detachNewThread { [self] in acceptAll(script) }
    }

    private func acceptAll(_ script: @escaping @Sendable (ServerConnection) -> Void) {
        var index = 0
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else {
                // Closed by the thread that accepts, or its next `accept` could meet the number's next owner.
                _ = Glibc.close(listener)
                return
            }
            // As for `streamSocket`; Swift does not see `accept4`.
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let connection = ServerConnection(descriptor, index: index)
            index += 1
            connections.withLock { $0.append(connection) }
            Thread.detachNewThread {
                script(connection)
                connection.close()
            }
        }
    }

    /// The URL for a client.
    public var url: String { "redis://127.0.0.1:\(port)" }

    /// How many connections have been accepted.
    public var connectionCount: Int { connections.withLock { $0.count } }

    /// Stops listening and ends every connection.
    public func stop() {
        _ = shutdown(listener, Int32(SHUT_RDWR))
        for connection in connections.withLock({ $0 }) { connection.interrupt() }
    }

    /// A port that nobody listens on: it was bound a moment ago and has been closed.
    public static func closedPort() throws -> Int {
        let server = try ScriptedServer { _ in }
        server.stop()
        return server.port
    }
}

/// A socket call of the test's server that failed.
public struct ScriptedServerError: Error {
    let call: String
    let number: Int32
}

/// The server's end of one connection, for its script's thread; `interrupt` may be called from any thread.
public final class ServerConnection: @unchecked Sendable {
    // Safe to share: `buffer` belongs to the script's thread, the descriptor is closed once under the lock.
    /// Which connection of the server this is, from 0.
    public let index: Int
    private let descriptor: Int32
    private let isClosed = Locked(false)
    private var buffer: [UInt8] = []
    private var start = 0

    init(_ descriptor: Int32, index: Int) {
        self.descriptor = descriptor
        self.index = index
        var one: Int32 = 1
        unsafe setsockopt(
            descriptor,
            Int32(IPPROTO_TCP),
            TCP_NODELAY,
            &one,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    /// Reads some bytes; nil at the end.
    public func readSome() -> [UInt8]? {
        let capacity = 65536
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            // MSG_NOSIGNAL has no meaning for reads; the memory is `capacity` bytes long.
            count = unsafe max(0, recv(descriptor, memory.baseAddress, capacity, 0))
        }
        return bytes.isEmpty ? nil : bytes
    }

    /// Reads one command's words, or nil at the end.
    ///
    /// An empty array stands for anything that is not a command.
    public func readCommand() -> [[UInt8]]? {
        guard let head = readLine() else { return nil }
        guard head.first == UInt8(ascii: "*"), let count = number(head) else { return [] }
        var words: [[UInt8]] = []
        for _ in 0..<count {
            guard let line = readLine(), let length = number(line), let word = read(length), read(2) != nil
            else { return nil }
            words.append(word)
        }
        return words
    }

    /// Reads one command as text.
    public func readTextCommand() -> [String]? {
        readCommand().map { $0.map { String(decoding: $0, as: UTF8.self) } }
    }

    private func number(_ line: [UInt8]) -> Int? { Int(String(decoding: line.dropFirst(), as: UTF8.self)) }

    private func readLine() -> [UInt8]? {
        while true {
            if let end = buffer[start...].firstIndex(of: UInt8(ascii: "\r")), end + 1 < buffer.count {
                let line = Array(buffer[start..<end])
                start = end + 2
                return line
            }
            guard fill() else { return nil }
        }
    }

    private func read(_ count: Int) -> [UInt8]? {
        while buffer.count - start < count {
            guard fill() else { return nil }
        }
        let bytes = Array(buffer[start..<(start + count)])
        start += count
        return bytes
    }

    private func fill() -> Bool {
        if start > buffer.count / 2 {
            buffer.removeFirst(start)
            start = 0
        }
        guard let more = readSome() else { return false }
        buffer += more
        return true
    }

    /// Writes the bytes, in pieces of at most `chunk`.
    @discardableResult
    public func write(_ bytes: [UInt8], chunk: Int = .max) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(chunk))
            // The array outlives the call.
            let written = unsafe piece.withUnsafeBytes {
                unsafe send(descriptor, $0.baseAddress, piece.count, Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }

    /// Writes text.
    @discardableResult
    public func write(_ text: String, chunk: Int = .max) -> Bool { write(Array(text.utf8), chunk: chunk) }

    /// Writes the text about once in a millisecond, for as long as the peer is there and `isWanted` says so.
    ///
    /// The pace is the fault; what ends it is waited for meanwhile.
    public func trickle(_ text: String, while isWanted: () -> Bool = { true }) {
        // Asked for nothing, it tells of a hang-up and of errors.
        var peer = pollfd(fd: descriptor, events: 0, revents: 0)
        while isWanted(), write(text), unsafe poll(&peer, 1, 1) == 0 {}
    }

    /// Says that nothing more will be written; reading goes on.
    public func halfClose() { _ = Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends the connection in order.
    public func close() {
        isClosed.withLock { isClosed in
            guard !isClosed else { return }
            isClosed = true
            _ = Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
            _ = Glibc.close(descriptor)
        }
    }

    /// Ends the connection for a script that may be reading from it; the descriptor stays its own until it returns.
    func interrupt() {
        isClosed.withLock { isClosed in
            if !isClosed { _ = Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Ends the connection with a reset.
    public func reset() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_LINGER,
            &linger,
            socklen_t(MemoryLayout<Glibc.linger>.size)
        )
        isClosed.withLock { isClosed in
            guard !isClosed else { return }
            isClosed = true
            _ = Glibc.close(descriptor)
        }
    }
}

/// A plain blocking connection, to find out whether somebody listens.
public enum RawConnection {
    /// Whether a connection to the port on loopback is taken.
    public static func canConnect(port: Int) -> Bool {
        let descriptor = streamSocket()
        guard descriptor >= 0 else { return false }
        defer { _ = Glibc.close(descriptor) }
        return connectToLoopback(descriptor, port: port)
    }
}

/// A port whose queue of connections is full: a further connection gets no answer.
public final class SilentListener: Sendable {
    /// The port.
    public let port: Int
    private let descriptors: [Int32]

    /// Opens the port and fills its queue.
    public init() throws {
        let (listener, port) = try listenOnLoopback(backlog: 0)
        self.port = port
        var descriptors = [listener]
        for _ in 0..<4 {
            let descriptor = streamSocket(flags: SOCK_NONBLOCK)
            _ = connectToLoopback(descriptor, port: port)
            descriptors.append(descriptor)
        }
        self.descriptors = descriptors
    }

    deinit {
        for descriptor in descriptors { _ = Glibc.close(descriptor) }
    }
}

/// A TCP socket that no process inherits: a test that runs one would hold connections open that have been closed here.
private func streamSocket(flags: __socket_type? = nil) -> Int32 {
    let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (flags?.rawValue ?? 0)
    return socket(AF_INET, Int32(kind), 0)
}

/// A listening socket on a free port of loopback.
private func listenOnLoopback(backlog: Int32) throws -> (descriptor: Int32, port: Int) {
    let descriptor = streamSocket()
    guard descriptor >= 0 else { throw ScriptedServerError(call: "socket", number: errno) }
    var address = loopback(port: 0)
    // The address outlives each call, and every address begins as `sockaddr` does.
    let isListening = unsafe withUnsafeMutablePointer(to: &address) { address in
        unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            guard unsafe bind(descriptor, address, size) == 0, listen(descriptor, backlog) == 0 else {
                return false
            }
            return unsafe getsockname(descriptor, address, &size) == 0
        }
    }
    guard isListening else { throw ScriptedServerError(call: "bind", number: errno) }
    return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
}

private func connectToLoopback(_ descriptor: Int32, port: Int) -> Bool {
    // Every address begins as `sockaddr` does; it outlives the call.
    unsafe withUnsafePointer(to: loopback(port: port)) { address in
        unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            unsafe connect(descriptor, address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

private func loopback(port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = UInt16(port).bigEndian
    return address
}
