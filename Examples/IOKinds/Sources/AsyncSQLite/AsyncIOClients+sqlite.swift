@_spi(Driver) public import AsyncIO
public import IOCalls

/// SQLite, as a kind of I/O.
public enum SQLite: IOKind {
    /// What messages call it.
    public static let name = "SQLite"
}

extension EndpointKind {
    /// An SQLite database.
    public static let sqlite = EndpointKind("sqlite")
}

extension EndpointSpec {
    /// An SQLite endpoint.
    ///
    /// - Parameters:
    ///   - id: the name by which the program asks for it.
    ///   - path: the database file, made if it is not there, or `:memory:`. It travels in `socketPath`, which is what a spec
    ///     has for a path.
    ///   - policy: how to treat it. Of its permits as many are used as bodies may run at once: one for the writer, and one for
    ///     each of two readers.
    public init(id: String, sqlitePath path: String, policy: EndpointPolicy = .init()) {
        self.init(id: id, kind: .sqlite, socketPath: path, policy: policy)
    }
}

extension AsyncIOClients {
    /// The client for an SQLite endpoint: the same at each call, from any thread.
    ///
    /// It returns at once, with a client that is opening its file at first; queries are accepted meanwhile. A client that could
    /// not open it is replaced at the next call, not before, so that each failure is seen by a caller.
    ///
    /// Its permits, and what may wait, are counted for the id in these clients: another id with the same file, or another
    /// `AsyncIOClients`, counts for itself. Of the policy `livenessTimeout`, `idleProbeInterval` and `isExclusive` have no meaning here.
    ///
    /// - Parameter id: the endpoint's id in the registry.
    /// - Returns: the client.
    /// - Throws: ``SQLiteError`` with code `invalidEndpoint`: the id is unknown, the endpoint is not an SQLite database, it has no
    ///   path or a URI for one, it has credentials or a database, or the clients have been closed.
    public func sqlite(_ id: String) throws(SQLiteError) -> SQLiteClient {
        try client(id, of: SQLite.self, .sqlite) { spec, limiter throws(EndpointError) in
            guard let path = spec.socketPath else {
                throw EndpointError(.invalidSetting, id, "has no path: make it with sqlitePath")
            }
            try spec.check(!path.hasPrefix("file:"), "has a URI for a path: give the file's name")
            try spec.refuseCredentialsAndDatabase()
            return SQLiteClient(spec, path: path, limiter: limiter, loop: loop)
        }
    }
}
