/// What an endpoint speaks: `redis` comes with `AsyncRedis`, and each further kind of I/O defines its own.
public struct EndpointKind: Hashable, Sendable, CustomStringConvertible {
    /// The kind's name.
    public let name: String

    /// Defines a kind.
    ///
    /// - Parameter name: what to call it in messages; kinds of the same name are the same kind.
    public init(_ name: String) {
        self.name = name
    }

    /// The kind's name.
    public var description: String { name }
}

/// How a client treats its endpoint.
///
/// Permits and limits are the endpoint's: its clients share them, such as one that is closing and its successor.
public struct EndpointPolicy: Hashable, Sendable {
    /// The most commands in flight at a time, sent and not answered.
    ///
    /// Further ones wait in turn. Default 1024.
    public var maxInflight: Int
    /// The most commands that wait at a time, for the connection or for a permit; a further one is refused as
    /// overloaded.
    ///
    /// Of tasks that do not run on the loop `maxInflight` more may be on their way to it, where they find a permit or are
    /// refused.
    ///
    /// Up to the default, 131,072, the end of a cancelled or late command that waits is told within 20 ms; with more,
    /// looking through them all takes longer.
    public var maxWaiting: Int
    /// The most bytes of commands that are not yet handed to the socket; a further command is refused as
    /// overloaded, unless it is the only one.
    ///
    /// Default 256 MiB.
    public var maxQueuedBytes: Int
    /// The time for looking the name up, trying all its addresses, and the handshake.
    ///
    /// Default 5 s.
    public var connectTimeout: Duration
    /// The time a command may take from its call to its reply: the wait for the connection, for a permit, in the queue and
    /// for the server; nil for no limit.
    ///
    /// A command that blocks on the server has the time it asks to block for on top. A call's own `timeout` and
    /// ``withIOTimeout(_:_:)`` can make it shorter. Default 2 s.
    public var commandTimeout: Duration?
    /// With commands in flight and no byte read for this long the connection is given up as dead; nil for never.
    ///
    /// While the first command in flight blocks on the server, the time it asked for is added. The kernel is asked for the
    /// same: it probes a peer that is silent for that long, and gives up one that acknowledges nothing, or has no room for
    /// what is to be sent, for that long (Linux, tcp(7): `TCP_KEEPIDLE`, `TCP_USER_TIMEOUT`). Default 30 s.
    public var livenessTimeout: Duration?
    /// An idle connection is probed with a command of its kind's own (`PING` for Redis) after this long without a byte
    /// read; nil for never.
    ///
    /// A probe that is not answered within `livenessTimeout` ends the connection. None comes between commands that belong
    /// together, such as those from `MULTI` to `EXEC`. Default nil.
    public var idleProbeInterval: Duration?
    /// Whether whoever uses a client has it for themselves.
    ///
    /// Then commands that block on the server, and commands that change the connection for those after them (`MULTI`,
    /// `WATCH`, `SELECT` …), may be sent. Default nil: so it is for a client that its caller made, and not for one that
    /// ``AsyncIOClients`` hands to everybody.
    public var isExclusive: Bool?

    /// Makes a policy; what is left out has its default.
    public init(
        maxInflight: Int = 1024,
        maxWaiting: Int = 1 << 17,
        maxQueuedBytes: Int = 256 << 20,
        connectTimeout: Duration = .seconds(5),
        commandTimeout: Duration? = .seconds(2),
        livenessTimeout: Duration? = .seconds(30),
        idleProbeInterval: Duration? = nil,
        isExclusive: Bool? = nil
    ) {
        self.maxInflight = maxInflight
        self.maxWaiting = maxWaiting
        self.maxQueuedBytes = maxQueuedBytes
        self.connectTimeout = connectTimeout
        self.commandTimeout = commandTimeout
        self.livenessTimeout = livenessTimeout
        self.idleProbeInterval = idleProbeInterval
        self.isExclusive = isExclusive
    }
}

/// A name and a password.
///
/// Neither description nor reflection shows the password.
public struct EndpointCredentials: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The user, or nil for the server's default user.
    public var username: String?
    /// The password.
    public var password: String

    /// Makes credentials.
    public init(username: String? = nil, password: String) {
        self.username = username
        self.password = password
    }

    /// The user's name, and that there is a password.
    public var description: String { "\(username ?? "default user"), password hidden" }
    /// The user's name alone.
    public var customMirror: Mirror { Mirror(self, children: ["username": username as Any]) }
}

/// One endpoint: where it is, what it speaks, and how to treat it.
public struct EndpointSpec: Hashable, Sendable {
    /// The name by which the program asks for it.
    public var id: String
    /// What it speaks.
    public var kind: EndpointKind
    /// A host name or an address in figures, version 4 or 6; empty for a unix socket.
    public var host: String
    /// The TCP port, from 1 to 65535; 0 for a unix socket.
    public var port: Int
    /// The path of a unix socket, or nil for TCP.
    public var socketPath: String?
    /// Who to log in as, or nil.
    public var credentials: EndpointCredentials?
    /// The database to use, or nil for the server's default; for Redis a number from 0.
    public var database: String?
    /// How to treat it.
    public var policy: EndpointPolicy

    /// An endpoint reached over TCP.
    public init(
        id: String,
        kind: EndpointKind,
        host: String,
        port: Int,
        credentials: EndpointCredentials? = nil,
        database: String? = nil,
        policy: EndpointPolicy = .init()
    ) {
        self.id = id
        self.kind = kind
        self.host = host
        self.port = port
        self.credentials = credentials
        self.database = database
        self.policy = policy
    }

    /// An endpoint reached over a unix socket.
    public init(
        id: String,
        kind: EndpointKind,
        socketPath: String,
        credentials: EndpointCredentials? = nil,
        database: String? = nil,
        policy: EndpointPolicy = .init()
    ) {
        self.init(
            id: id,
            kind: kind,
            host: "",
            port: 0,
            credentials: credentials,
            database: database,
            policy: policy
        )
        self.socketPath = socketPath
    }
}
