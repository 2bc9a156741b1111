@_spi(Driver) public import UVLoop

/// A client that ``AsyncIOClients`` keeps, of any kind of I/O.
public protocol IOClient: AnyObject, Sendable {
    /// Whether the client takes no command any more: the next to ask for the endpoint gets a new client.
    var hasEnded: Bool { get }
    /// Ends the client after the commands it has accepted have got their replies, as long as that does not take too long.
    func close() async
    /// Ends the client at once; what waits fails.
    func shutdown()
}

/// The process's clients, one for each endpoint.
///
/// A kind of I/O adds its own way in from its own module, as `AsyncRedis` does:
///
/// ```swift
/// extension AsyncIOClients {
///     public func redis(_ id: String) throws(RedisError) -> AsyncRedisClient
/// }
/// ```
///
/// Everything here may be called from any thread.
public final class AsyncIOClients: Sendable {
    /// The loop that the clients live on.
    public let loop: EventLoop
    /// The endpoints they are for.
    public let endpoints: EndpointRegistry

    fileprivate struct Entry {
        var client: any IOClient
        /// Those that were replaced: one that is closing has commands in flight.
        var former: [Former] = []
        /// Outlives the clients: what an ended one still has in flight counts against the endpoint.
        let limiter: InflightLimiter
    }

    fileprivate struct Former {
        weak var client: (any IOClient)?
    }

    fileprivate struct State {
        var entries: [String: Entry] = [:]
        var isClosed = false
    }

    private let state = Locked(State())

    /// Makes the set of clients; each connects when it is first asked for.
    ///
    /// - Parameters:
    ///   - loop: the loop that the clients live on.
    ///   - endpoints: the endpoints they are for.
    public init(loop: EventLoop, endpoints: EndpointRegistry) {
        self.loop = loop
        self.endpoints = endpoints
    }

    /// The client for an endpoint: the same at each call, until it has ended and the next call replaces it.
    ///
    /// A client that failed is replaced here and nowhere else, by one new client that everyone who asks gets, so a process
    /// recovers when its server does, one attempt at a time, and somebody sees each failure.
    ///
    /// - Parameters:
    ///   - id: the endpoint's id.
    ///   - kind: the kind it has to be of.
    ///   - make: makes a client. It starts to connect and does not wait.
    /// - Returns: the client, connecting or connected or failed since.
    /// - Throws: ``EndpointError`` for an unknown id, another kind, closed clients, and what `make` throws.
    @_spi(Driver)
    public func client<Client: IOClient>(
        _ id: String,
        kind: EndpointKind,
        make: (EndpointSpec, InflightLimiter) throws(EndpointError) -> Client
    ) throws(EndpointError) -> Client {
        let spec = try endpoints.spec(id, kind: kind)
        let result: Result<Client, EndpointError> = state.withLock { state in
            do throws(EndpointError) {
                return .success(try state.client(spec, make))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Closes every client after the commands it has accepted have got their replies; new ones are refused.
    ///
    /// A client waits for its replies as long as its kind does, which is five seconds for Redis.
    public func close() async {
        // Together: none of them waits for the others' last replies before it refuses new commands.
        await withTaskGroup(of: Void.self) { group in
            for client in takeAll() { group.addTask { await client.close() } }
        }
    }

    /// Ends every client at once; what waits fails.
    ///
    /// New clients are refused.
    public func shutdown() {
        for client in takeAll() { client.shutdown() }
    }

    private func takeAll() -> [any IOClient] {
        state.withLock { state in
            state.isClosed = true
            return state.entries.values.flatMap { [$0.client] + $0.former.compactMap(\.client) }
        }
    }
}

extension AsyncIOClients.State {
    fileprivate mutating func client<Client: IOClient>(
        _ spec: EndpointSpec,
        _ make: (EndpointSpec, InflightLimiter) throws(EndpointError) -> Client
    ) throws(EndpointError) -> Client {
        let entry = entries[spec.id]
        if let client = entry?.client as? Client, !client.hasEnded { return client }
        guard !isClosed else {
            throw EndpointError(.clientsClosed, spec.id, "has no client any more: the clients were closed")
        }
        let limiter = entry?.limiter ?? InflightLimiter(spec.policy)
        let client = try make(spec, limiter)
        var former = entry?.former.filter { $0.client != nil } ?? []
        if let replaced = entry?.client { former.append(.init(client: replaced)) }
        entries[spec.id] = .init(client: client, former: former, limiter: limiter)
        return client
    }
}
