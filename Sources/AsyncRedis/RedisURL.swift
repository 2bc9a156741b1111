@_spi(Driver) import AsyncIO

/// A parsed `redis://` or `unix://` URL.
///
/// Source: the registered URI schemes `redis` and `rediss`; redis-py's `unix://` for sockets.
struct RedisURL {
    private(set) var spec: EndpointSpec

    /// Parses `redis://[user[:password]@]host[:port][/db]` or `unix:///path/to.sock[?db=N]`, also
    /// `unix://[user[:password]@]/path`.
    ///
    /// - Parameter policy: how to treat the endpoint; its id is its address.
    /// - Throws: ``RedisError`` with code `invalidURL`. No message repeats anything that could be a password.
    init(_ text: String, policy: EndpointPolicy) throws(RedisError) {
        guard let (scheme, rest) = text.split(at: "://") else {
            throw Self.invalid("it has no scheme: write redis://host:port, or unix:///path for a socket")
        }
        switch scheme.lowercased() {
        case "redis": spec = try Self.parseTCP(rest, policy)
        case "unix": spec = try Self.parseUnix(rest, policy)
        case "rediss":
            throw Self.invalid(
                "TLS is not built in yet: rediss:// cannot be used; use redis:// or a local TLS proxy"
            )
        default:
            throw Self.invalid("the scheme is none of redis and unix")
        }
        do throws(EndpointError) {
            try spec.validate()
        } catch {
            throw RedisError(error)
        }
    }

    private static func parseTCP(_ rest: Substring, _ policy: EndpointPolicy) throws(RedisError)
        -> EndpointSpec
    {
        guard !rest.contains("#") else {
            throw invalid("it has a fragment (#…): write a # in a password as %23")
        }
        let (hierarchy, query) = rest.split(at: "?") ?? (rest, "")
        let (authority, path) = hierarchy.split(at: "/") ?? (hierarchy, "")
        let (userinfo, address) = splitUserinfo(authority)
        let (host, port) = try parseAddress(address)
        let inPath = path.isEmpty ? nil : try decode(path, "the database")
        let inQuery = try parseDatabase(inQuery: query)
        if inPath != nil, inQuery != nil { throw invalid("it names a database twice") }
        return EndpointSpec(
            id: host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)",
            kind: .redis,
            host: host,
            port: port,
            credentials: try parseCredentials(userinfo),
            database: try checkDatabase(inPath ?? inQuery),
            policy: policy
        )
    }

    private static func parseUnix(_ rest: Substring, _ policy: EndpointPolicy) throws(RedisError)
        -> EndpointSpec
    {
        let (hierarchy, query) = rest.split(at: "?") ?? (rest, "")
        guard let slash = hierarchy.firstIndex(of: "/") else {
            throw invalid("a socket's path has to be absolute: write unix:///path/to.sock")
        }
        let (userinfo, host) = splitUserinfo(hierarchy[..<slash])
        guard host.isEmpty else { throw invalid("a socket's URL has no host: write unix:///path/to.sock") }
        let path = try decode(hierarchy[slash...], "the path")
        return EndpointSpec(
            id: path,
            kind: .redis,
            socketPath: path,
            credentials: try parseCredentials(userinfo),
            database: try checkDatabase(try parseDatabase(inQuery: query)),
            policy: policy
        )
    }

    // MARK: Parts

    /// The last @ ends the userinfo, so that one in a password that was not encoded does no harm.
    private static func splitUserinfo(_ authority: Substring) -> (userinfo: Substring?, address: Substring) {
        guard let at = authority.lastIndex(of: "@") else { return (nil, authority) }
        return (authority[..<at], authority[authority.index(after: at)...])
    }

    private static func parseCredentials(_ userinfo: Substring?) throws(RedisError) -> EndpointCredentials? {
        guard let userinfo, !userinfo.isEmpty else { return nil }
        guard let (user, password) = userinfo.split(at: ":") else {
            throw invalid(
                "it has a user and no password: write redis://user:password@host, or redis://:password@host"
            )
        }
        let name = try decode(user, "the user")
        return EndpointCredentials(
            username: name.isEmpty ? nil : name,
            password: try decode(password, "the password")
        )
    }

    private static func parseAddress(_ address: Substring) throws(RedisError) -> (host: String, port: Int) {
        var host = address
        var port: Substring?
        if address.first == "[" {
            guard let end = address.firstIndex(of: "]") else {
                throw invalid("an IPv6 address lacks its closing ]")
            }
            host = address[address.index(after: address.startIndex)..<end]
            let rest = address[address.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { throw invalid("after ] only :port may stand") }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if let (name, number) = address.split(at: ":") {
            guard !number.contains(":") else {
                throw invalid("an IPv6 address has to stand in brackets: [::1]")
            }
            host = name
            port = number
        }
        guard !host.isEmpty else { throw invalid("it has no host") }
        return (
            try decode(host, "the host"),
            try port.map { text throws(RedisError) in try parsePort(text) } ?? 6379
        )
    }

    private static func parsePort(_ text: Substring) throws(RedisError) -> Int {
        guard let port = UInt16(text), port > 0, text.first != "+" else {
            throw invalid("the port is not a number from 1 to 65535")
        }
        return Int(port)
    }

    private static func parseDatabase(inQuery query: Substring) throws(RedisError) -> String? {
        var database: String?
        for part in query.split(separator: "&") {
            guard let (name, value) = part.split(at: "="), name == "db" else {
                throw invalid("of the settings behind ? only db=N is known")
            }
            guard database == nil else { throw invalid("it names a database twice") }
            database = try decode(value, "the database")
        }
        return database
    }

    private static func checkDatabase(_ text: String?) throws(RedisError) -> String? {
        guard let text else { return nil }
        guard RedisHandshake.isDatabase(text) else { throw invalid("the database is not a number from 0") }
        return text
    }

    private static func decode(_ text: Substring, _ part: String) throws(RedisError) -> String {
        guard text.contains("%") else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst()?.hexDigit, let low = rest.popFirst()?.hexDigit else {
                throw invalid(
                    "\(part) has a % that two hexadecimal digits do not follow: write % itself as %25"
                )
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw invalid("\(part) is not UTF-8")
        }
        return decoded
    }

    private static func invalid(_ reason: String) -> RedisError {
        RedisError(.invalidURL, .notSent, endpoint: "URL", "the URL cannot be used: \(reason)")
    }
}

extension StringProtocol where SubSequence == Substring {
    /// The text before the first `separator` and the text after it.
    fileprivate func split(at separator: String) -> (Substring, Substring)? {
        guard let range = firstRange(of: separator) else { return nil }
        return (self[..<range.lowerBound], self[range.upperBound...])
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
