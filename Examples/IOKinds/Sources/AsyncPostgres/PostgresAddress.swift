@_spi(Driver) import AsyncIO
import IOCalls

/// Where a server is, and who asks: what libpq is told to connect with.
struct PostgresAddress: Sendable {
    /// libpq's keywords and values.
    let parameters: [(String, String)]
    /// The host, or the socket's directory, and the port.
    var server: String { parameters.prefix(2).map(\.1).joined(separator: ":") }

    init(_ spec: EndpointSpec) throws(EndpointError) {
        let place: [(String, String?)]
        if let path = spec.socketPath {
            let name = path.split(separator: "/").last ?? ""
            let port = name.hasPrefix(".s.PGSQL.") ? Int(name.dropFirst(".s.PGSQL.".count)) : nil
            try spec.check(port != nil, "has the socket path \(path): Postgres's ends with .s.PGSQL.PORT")
            place = [("host", String(path.dropLast(name.utf8.count + 1))), ("port", port.map { "\($0)" })]
        } else {
            // libpq would take it for a socket's directory, or for several hosts.
            let isName = !spec.host.hasPrefix("/") && !spec.host.hasPrefix("@") && !spec.host.contains(",")
            try spec.check(isName, "has the host \(spec.host), which is no name")
            place = [("host", spec.host), ("port", "\(spec.port)")]
        }
        let silence = spec.policy.livenessTimeout?.clampedMilliseconds ?? 0
        // Linux takes no more than so many seconds, and libpq's connect fails with its refusal.
        let keepalive = min(max(1, (silence + 999) / 1000), 32_767)
        let words =
            place + [
                ("user", spec.credentials?.username), ("password", spec.credentials?.password),
                ("dbname", spec.database), ("client_encoding", "UTF8"),
                ("application_name", "async-postgres"),
                // Without encryption: a spec says nothing of certificates.
                ("sslmode", "disable"), ("gssencmode", "disable"),
                ("keepalives_idle", silence == 0 ? nil : "\(keepalive)"), ("tcp_user_timeout", "\(silence)"),
            ]
        parameters = words.compactMap { word, value in value.map { (word, $0) } }
    }
}
