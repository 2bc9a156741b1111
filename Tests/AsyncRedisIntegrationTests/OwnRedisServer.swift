import Foundation
import TestSupport

/// A redis-server of a test's own, to be killed and restarted on the same port.
final class OwnRedisServer: @unchecked Sendable {
    // Safe to share: a test uses it from one task at a time.
    let port: Int
    private var process: Process?
    private let arguments: [String]
    private let directory: URL

    init(_ arguments: String...) throws {
        port = try ScriptedServer.closedPort()
        self.arguments = arguments
        directory = FileManager.default.temporaryDirectory.appending(
            path: "redis-\(port)-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try start()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: directory)
    }

    var url: String { "redis://127.0.0.1:\(port)" }

    /// Starts the server and returns when it takes connections.
    func start() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            + ["--dir", directory.path(percentEncoded: false)] + arguments
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
