/// The endpoints that a process knows, by id.
///
/// Checked when it is made; it does not change afterwards.
public struct EndpointRegistry: Sendable {
    private let specs: [String: EndpointSpec]

    /// Registers endpoints.
    ///
    /// - Parameter endpoints: the endpoints, each with an id of its own.
    /// - Throws: ``EndpointError`` for an id that is empty or registered twice, an empty host or socket path, a port
    ///   outside 1…65535, or a limit or time below what it can be.
    public init(_ endpoints: [EndpointSpec]) throws(EndpointError) {
        var specs: [String: EndpointSpec] = [:]
        for endpoint in endpoints {
            try endpoint.validate()
            guard specs.updateValue(endpoint, forKey: endpoint.id) == nil else {
                throw EndpointError(
                    .duplicateID,
                    endpoint.id,
                    "is registered twice: give each endpoint its own id"
                )
            }
        }
        self.specs = specs
    }

    /// The ids, sorted.
    public var ids: [String] { specs.keys.sorted() }

    /// Finds an endpoint.
    ///
    /// - Throws: ``EndpointError`` with code `unknownID`.
    public func spec(_ id: String) throws(EndpointError) -> EndpointSpec {
        if let spec = specs[id] { return spec }
        let known = specs.isEmpty ? "no endpoint is" : "registered are: \(ids.joined(separator: ", "))"
        throw EndpointError(.unknownID, id, "is not registered; \(known)")
    }

    /// Finds an endpoint of a kind.
    ///
    /// - Throws: ``EndpointError`` with code `unknownID`, or `wrongKind` if the endpoint is of another kind.
    public func spec(_ id: String, kind: EndpointKind) throws(EndpointError) -> EndpointSpec {
        let spec = try spec(id)
        guard spec.kind == kind else {
            throw EndpointError(.wrongKind, id, "is of kind \(spec.kind), not \(kind)")
        }
        return spec
    }
}

extension EndpointSpec {
    /// Checks what can be checked without connecting.
    ///
    /// - Throws: ``EndpointError`` with the first thing that is wrong.
    public func validate() throws(EndpointError) {
        func require(_ condition: Bool, _ code: EndpointError.Code, _ message: String) throws(EndpointError) {
            if !condition { throw EndpointError(code, id, message) }
        }
        try require(!id.isEmpty, .invalidID, "is an empty id: give the endpoint a name")
        if let socketPath {
            try require(!socketPath.isEmpty, .invalidAddress, "has an empty socket path")
            try require(!socketPath.utf8.contains(0), .invalidAddress, "has a NUL byte in its socket path")
        } else {
            try require(!host.isEmpty, .invalidAddress, "has an empty host")
            try require(!host.utf8.contains(0), .invalidAddress, "has a NUL byte in its host")
            try require((1...65535).contains(port), .invalidPort, "has port \(port): a port is 1 to 65535")
        }
        try require(
            policy.maxInflight >= 1,
            .invalidPolicy,
            "has maxInflight \(policy.maxInflight): it is at least 1"
        )
        try require(
            policy.maxWaiting >= 0,
            .invalidPolicy,
            "has maxWaiting \(policy.maxWaiting): it is at least 0"
        )
        try require(
            policy.maxQueuedBytes >= 1,
            .invalidPolicy,
            "has maxQueuedBytes \(policy.maxQueuedBytes): it is at least 1"
        )
        let times = [
            policy.connectTimeout, policy.commandTimeout ?? .seconds(1),
            policy.livenessTimeout ?? .seconds(1), policy.idleProbeInterval ?? .seconds(1),
        ]
        try require(times.allSatisfy { $0 > .zero }, .invalidPolicy, "has a timeout that is not above zero")
    }
}

/// Something wrong with an endpoint's registration, or with asking for it.
public struct EndpointError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong; codes may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name.
        public let description: String
        private init(_ description: String) { self.description = description }

        /// The id is empty.
        public static let invalidID = Code("invalidID")
        /// Two endpoints have the same id.
        public static let duplicateID = Code("duplicateID")
        /// The host or the socket path is empty.
        public static let invalidAddress = Code("invalidAddress")
        /// The port is outside 1…65535.
        public static let invalidPort = Code("invalidPort")
        /// A limit or a time is below what it can be.
        public static let invalidPolicy = Code("invalidPolicy")
        /// No endpoint has that id.
        public static let unknownID = Code("unknownID")
        /// The endpoint is of another kind than the one asked for.
        public static let wrongKind = Code("wrongKind")
        /// A kind's own setting is wrong, for example a Redis database that is not a number.
        public static let invalidSetting = Code("invalidSetting")
        /// The process's clients have been closed.
        public static let clientsClosed = Code("clientsClosed")
    }

    /// What is wrong.
    public let code: Code
    /// The endpoint's id.
    public let endpoint: String
    private let message: String

    /// Makes an error.
    ///
    /// - Parameters:
    ///   - code: what is wrong.
    ///   - endpoint: the endpoint's id.
    ///   - message: how the sentence `endpoint "id" …` goes on.
    public init(_ code: Code, _ endpoint: String, _ message: String) {
        self.code = code
        self.endpoint = endpoint
        self.message = message
    }

    /// A sentence for a person.
    public var description: String { "endpoint \"\(endpoint)\" \(message)" }
}
