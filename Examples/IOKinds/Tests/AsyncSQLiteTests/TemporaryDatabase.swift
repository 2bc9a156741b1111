import AsyncSQLite
import Foundation
import TestSupport

/// A database file in a directory of its own, and clients for it.
final class TemporaryDatabase: Sendable {
    let directory: String
    let loop = EventLoop(name: "sqlite-test")

    var path: String { "\(directory)/ledger.db" }

    init() throws {
        directory = NSTemporaryDirectory() + "sqlite-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    func clients(_ policy: EndpointPolicy = .patient, path: String? = nil) throws -> AsyncIOClients {
        let spec = EndpointSpec(id: "ledger", sqlitePath: path ?? self.path, policy: policy)
        let other = EndpointSpec(id: "other", kind: EndpointKind("other"), host: "localhost", port: 1)
        let pathless = EndpointSpec(id: "pathless", kind: .sqlite, host: "localhost", port: 1)
        var secret = spec
        (secret.id, secret.credentials) = ("secret", EndpointCredentials(password: "p"))
        // Each connection would have a database of its own.
        let uri = EndpointSpec(id: "uri", sqlitePath: "file::memory:")
        return AsyncIOClients(
            loop: loop,
            endpoints: try EndpointRegistry([spec, other, pathless, secret, uri])
        )
    }

    /// Ends the loop, whatever is still there, and removes the files.
    func remove() async {
        await loop.shutdown()
        try? FileManager.default.removeItem(atPath: directory)
    }

    func exists(_ suffix: String) -> Bool { FileManager.default.fileExists(atPath: path + suffix) }
}

/// Statements that never end by themselves.
enum Endless {
    static let numbers = "(WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)"
    static let reading = "SELECT count(*) FROM \(numbers)"
    static let writing = "INSERT INTO entry (amount) SELECT x FROM \(numbers)"
}
