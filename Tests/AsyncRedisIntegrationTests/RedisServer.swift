import Foundation
import TestSupport

/// Where the tests' Redis is; they run when REDIS_URL is set.
enum RealRedis {
    static let url: String? = ProcessInfo.processInfo.environment["REDIS_URL"]
    static let socketPath: String? = ProcessInfo.processInfo.environment["REDIS_UNIX_SOCKET"]
    static var isThere: Bool { url != nil }

    /// Host and port of the URL.
    static var hostAndPort: (host: String, port: Int) {
        let parts = URLComponents(string: url ?? "")
        return (parts?.host ?? "127.0.0.1", parts?.port ?? 6379)
    }
}

/// A redis-server of a test's own, to be killed and restarted on the same port.
final class OwnRedisServer: @unchecked Sendable {
    // Safe to share: a test uses it from one task at a time.
    let port: Int
    private var process: Process?
    private let arguments: [String]

    init(_ arguments: String...) throws {
        port = try ScriptedServer.closedPort()
        self.arguments = arguments
        try start()
    }

    deinit { kill() }

    var url: String { "redis://127.0.0.1:\(port)" }

    /// Starts the server and returns when it answers.
    func start() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            + ["--dir", NSTemporaryDirectory(), "--dbfilename", "none-\(port).rdb"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        guard answers() else { throw NotStarted() }
    }

    struct NotStarted: Error {}

    /// Kills the server as `kill -9` does, and returns when it is gone.
    func kill() {
        guard let process else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.process = nil
    }

    func stopAnswering() { process.map { _ = Foundation.kill($0.processIdentifier, SIGSTOP) } }
    func answerAgain() { process.map { _ = Foundation.kill($0.processIdentifier, SIGCONT) } }

    /// Whether the server takes a connection, asked for ten seconds at most.
    private func answers() -> Bool {
        let deadline = Date() + 10
        while Date() < deadline {
            if RawConnection.canConnect(port: port) { return true }
        }
        return false
    }
}
