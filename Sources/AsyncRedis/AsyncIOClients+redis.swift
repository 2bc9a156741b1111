@_spi(Driver) public import AsyncIO

extension EndpointKind {
    /// A Redis server.
    public static let redis = EndpointKind("redis")
}

extension EndpointSpec {
    /// A Redis endpoint from a URL.
    ///
    /// - Parameters:
    ///   - id: the name by which the program asks for it.
    ///   - redisURL: as for ``AsyncRedisClient/connect(to:on:policy:)``.
    ///   - policy: how to treat it.
    /// - Throws: ``RedisError`` with code `invalidURL`.
    public init(id: String, redisURL: String, policy: EndpointPolicy = .init()) throws(RedisError) {
        self = try RedisURL(redisURL, policy: policy).spec
        self.id = id
    }
}

extension AsyncIOClients {
    /// The client for a Redis endpoint: the same at each call, from any thread.
    ///
    /// It returns at once, with a client that is connecting at first; commands are accepted meanwhile. A client whose
    /// connection has ended is replaced at the next call, not before, so that each failure is seen by a caller.
    ///
    /// - Parameter id: the endpoint's id in the registry.
    /// - Returns: the client.
    /// - Throws: ``RedisError`` with code `invalidEndpoint`: the id is unknown, the endpoint is not a Redis server, its
    ///   database is not a number, or the clients have been closed.
    public func redis(_ id: String) throws(RedisError) -> AsyncRedisClient {
        do throws(EndpointError) {
            return try client(id, kind: .redis) { spec, limiter throws(EndpointError) in
                try AsyncRedisClient(spec, isOwn: false, limiter: limiter, loop: loop)
            }
        } catch {
            throw RedisError(error)
        }
    }
}
