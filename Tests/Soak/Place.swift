import AsyncRedis

/// An endpoint of the load: how it is reached, and what is expected of it.
struct Place: Sendable {
    let spec: EndpointSpec

    var id: String { spec.id }
    var policy: EndpointPolicy { spec.policy }

    /// The same server behind many policies and several kinds of trouble.
    static func all(_ settings: Settings) -> [Place] {
        func tcp(
            _ id: String,
            _ port: Int,
            _ policy: EndpointPolicy,
            _ credentials: EndpointCredentials? = nil
        ) -> Place {
            Place(
                spec: EndpointSpec(
                    id: id,
                    kind: .redis,
                    host: "127.0.0.1",
                    port: port,
                    credentials: credentials,
                    database: credentials == nil ? nil : "0",
                    policy: policy
                )
            )
        }
        return [
            tcp("direct", settings.redisPort, policy(64, 512, command: 2000, liveness: 3000)),
            tcp("narrow", settings.redisPort, policy(1, 4, command: 1000, liveness: 2000)),
            tcp("hasty", settings.redisPort, policy(16, 256, command: 60, liveness: 2000)),
            tcp("stingy", settings.redisPort, policy(64, 64, bytes: 64 << 10, command: 500, liveness: 2000)),
            tcp("patient", settings.roughPort, policy(32, 128, bytes: 8 << 20, command: nil, liveness: 1500)),
            tcp("rough", settings.roughPort, policy(128, 256, command: 800, liveness: 1000), login),
            tcp("probed", settings.roughPort, policy(8, 64, command: 1000, liveness: 400, probe: 50)),
            tcp("cut", settings.cuttingPort, policy(32, 256, command: 3000, liveness: 3000)),
            tcp("dead", settings.deadPort, policy(8, 8, command: 500, liveness: 1000)),
            Place(
                spec: EndpointSpec(
                    id: "socket",
                    kind: .redis,
                    socketPath: settings.socketPath,
                    policy: policy(16, 512, command: 1500, liveness: 3000)
                )
            ),
        ]
    }

    /// Where a task of its own asks for replies that nobody asked for.
    static func marked(_ settings: Settings) -> Place {
        Place(
            spec: EndpointSpec(
                id: "marked",
                kind: .redis,
                host: "127.0.0.1",
                port: settings.markedPort,
                policy: policy(32, 64, command: 2000, liveness: 3000)
            )
        )
    }

    /// Logging in takes a round trip, for connections to break in.
    private static let login = EndpointCredentials(username: "default", password: "any will do")

    private static func policy(
        _ maxInflight: Int,
        _ maxWaiting: Int,
        bytes: Int = 64 << 20,
        command: Int?,
        liveness: Int,
        probe: Int? = nil
    ) -> EndpointPolicy {
        EndpointPolicy(
            maxInflight: maxInflight,
            maxWaiting: maxWaiting,
            maxQueuedBytes: bytes,
            connectTimeout: .milliseconds(700),
            commandTimeout: command.map { .milliseconds($0) },
            livenessTimeout: .milliseconds(liveness),
            idleProbeInterval: probe.map { .milliseconds($0) }
        )
    }
}
