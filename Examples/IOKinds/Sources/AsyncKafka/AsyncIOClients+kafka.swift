@_spi(Driver) public import AsyncIO
public import IOCalls

/// Kafka, as a kind of I/O.
public enum Kafka: IOKind {
    /// What messages call it.
    public static let name = "Kafka"
}

extension EndpointKind {
    /// A Kafka cluster, given by one of its brokers.
    ///
    /// Of a spec's policy, `maxInflight`, `maxWaiting` and `maxQueuedBytes` bound the endpoint's messages, of all its clients together;
    /// a permit is held for each from its turn to its delivery report. Each sequence has a line of its own for tasks that wait for
    /// a message, with `maxWaiting` places behind the first. A `connectTimeout` of less than a second counts as one, except where
    /// a reader looks for its partitions. A broker that leaves a request unanswered for the `livenessTimeout` is disconnected; it is
    /// from a second to five minutes, which is what nil stands for. Nothing is encrypted.
    public static let kafka = EndpointKind("kafka")
}

extension AsyncIOClients {
    /// The client for a Kafka endpoint: the same at each call, from any thread.
    ///
    /// It returns at once, with a client that is connecting at first; messages are accepted meanwhile. A client whose brokers are
    /// all gone has ended, and is replaced at the next call, not before, so that each failure is seen by a caller.
    ///
    /// Its permits, and what may wait, are counted for the id in these clients: another id with the same cluster, or another
    /// `AsyncIOClients`, counts for itself. Of the policy `idleProbeInterval` and `isExclusive` have no meaning here.
    ///
    /// - Parameter id: the endpoint's id in the registry.
    /// - Returns: the client.
    /// - Throws: ``KafkaError`` with code `invalidEndpoint`: the id is unknown, the endpoint is not a Kafka cluster, it is given by a
    ///   unix socket or by several hosts, it has credentials or a database, or the clients have been closed.
    public func kafka(_ id: String) throws(KafkaError) -> KafkaClient {
        try client(id, of: Kafka.self, .kafka) { spec, limiter throws(EndpointError) in
            try spec.check(spec.socketPath == nil, "has a socket path: Kafka is reached over TCP")
            try spec.check(!spec.host.contains(","), "has the host \(spec.host): name one broker")
            try spec.refuseCredentialsAndDatabase()
            return KafkaClient(spec, limiter: limiter, loop: loop)
        }
    }
}
