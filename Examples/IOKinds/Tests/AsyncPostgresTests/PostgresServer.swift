import AsyncPostgres
import Foundation
import TestSupport

/// The servers that `scripts/io_kinds.sh` starts.
enum PostgresServer {
    private static func number(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    static let port = number("POSTGRES_PORT")
    static let socket = ProcessInfo.processInfo.environment["POSTGRES_SOCKET"]
    static let victimPort = number("POSTGRES_VICTIM_PORT")
    static let victimPID = number("POSTGRES_VICTIM_PID").map { pid_t($0) }
    static var isThere: Bool { port != nil && socket != nil && victimPort != nil && victimPID != nil }

    static func spec(_ policy: EndpointPolicy = .patient, host: String = "127.0.0.1", port: Int? = port)
        -> EndpointSpec
    {
        EndpointSpec(
            id: "orders",
            kind: .postgres,
            host: host,
            port: port ?? 1,
            credentials: EndpointCredentials(username: "postgres", password: "secret"),
            database: "postgres",
            policy: policy
        )
    }

    static func clients(_ spec: EndpointSpec = spec(), on loop: EventLoop) throws -> AsyncIOClients {
        let other = EndpointSpec(id: "other", kind: EndpointKind("other"), host: "localhost", port: 1)
        return AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec, other]))
    }
}

/// A loop of a test's own, clients on it, and a look at the server from outside.
protocol PostgresScene {
    var loop: EventLoop { get }
}

extension PostgresScene {
    /// A client, and another to look at its queries from outside.
    func client(_ policy: EndpointPolicy = .patient, port: Int? = PostgresServer.port) throws
        -> PostgresClient
    {
        try PostgresServer.clients(PostgresServer.spec(policy, port: port), on: loop).postgres("orders")
    }

    /// How many queries with that mark run on the server.
    func running(_ mark: String, seenBy watcher: PostgresClient) async -> Int? {
        let sql =
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()"
        return try? await watcher.query(sql, ["%\(mark)%"]).count
    }

    /// Waits until so many queries with that mark run on the server.
    func runs(_ mark: String, _ count: Int, seenBy watcher: PostgresClient) async -> Bool {
        await eventually { await running(mark, seenBy: watcher) == count }
    }

    func start(_ sql: String, _ postgres: PostgresClient) -> Task<PostgresError?, Never> {
        Task { await failure(of: sql, on: postgres) }
    }
}
