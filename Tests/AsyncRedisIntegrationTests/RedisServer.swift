import Foundation

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
