@_spi(Driver) public import AsyncIO
public import IOCalls

/// Postgres, as a kind of I/O.
public enum Postgres: IOKind {
    /// What messages call it.
    public static let name = "Postgres"
}

extension EndpointKind {
    /// A Postgres server.
    ///
    /// A spec's `socketPath` is the whole path, `/directory/.s.PGSQL.5432`. Of its policy's permits as many are used as queries
    /// may run at once, each on a connection of its own: eight at most. A client that the server gives no further connection does with
    /// those it has, and asks for one more each second; one that has none ends. What a spec leaves out libpq takes from its
    /// environment variables and its password file, as every program that uses it.
    ///
    /// Nothing is encrypted, not even a password that the server wants in the clear. To cancel queries a client opens one connection
    /// more, and keeps it. The server is to have it left: where it has not, an abandoned query runs to its end, and holds its
    /// connection and its permit for the `livenessTimeout`, 30 seconds if it is nil. That one does not end a query that takes long;
    /// besides, it is the kernel's limit for a silent peer.
    public static let postgres = EndpointKind("postgres")
}

extension AsyncIOClients {
    /// The client for a Postgres endpoint: the same at each call, from any thread.
    ///
    /// It returns at once, with a client that is connecting at first; queries are accepted meanwhile. A client that has lost its
    /// last connection has ended, and is replaced at the next call, not before, so that each failure is seen by a caller.
    /// So is one that has lost a query's connection as all are lost when their server dies: what it has accepted goes on. A server
    /// that is shut down in order says the same to each connection as when an administrator ends one of them: until the last has
    /// been lost, a caller who asks at once may get the same client, and a call that fails.
    ///
    /// Its permits, and what may wait, are counted for the id in these clients: another id with the same server, or another
    /// `AsyncIOClients`, counts for itself. Of the policy `idleProbeInterval` and `isExclusive` have no meaning here.
    ///
    /// - Parameter id: the endpoint's id in the registry.
    /// - Returns: the client.
    /// - Throws: ``PostgresError`` with code `invalidEndpoint`: the id is unknown, the endpoint is not a Postgres server, its
    ///   socket's path is not Postgres's, or the clients have been closed.
    public func postgres(_ id: String) throws(PostgresError) -> PostgresClient {
        try client(id, of: Postgres.self, .postgres) { spec, limiter throws(EndpointError) in
            PostgresClient(spec, address: try PostgresAddress(spec), limiter: limiter, loop: loop)
        }
    }
}
