@_spi(Driver) import AsyncIO
import Synchronization

/// A client of a kind that `AsyncIO` knows nothing of, as a further kind of I/O would define its own.
final class FakeClient: IOClient {
    struct State {
        var hasEnded = false
        var closes = 0
        var shutdowns = 0
    }

    let endpoint: EndpointSpec
    let limiter: InflightLimiter
    private let state = Mutex(State())

    init(_ endpoint: EndpointSpec, _ limiter: InflightLimiter) {
        self.endpoint = endpoint
        self.limiter = limiter
    }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }
    var closes: Int { state.withLock { $0.closes } }
    var shutdowns: Int { state.withLock { $0.shutdowns } }

    /// As when the connection is lost.
    func end() { state.withLock { $0.hasEnded = true } }

    func close() async {
        state.withLock {
            $0.closes += 1
            $0.hasEnded = true
        }
    }

    func shutdown() {
        state.withLock {
            $0.shutdowns += 1
            $0.hasEnded = true
        }
    }
}

extension EndpointKind {
    static let fake = EndpointKind("fake")
}

extension AsyncIOClients {
    /// The client for an endpoint of the fake kind.
    func fake(_ id: String) throws(EndpointError) -> FakeClient {
        try client(id, kind: .fake) { spec, limiter in FakeClient(spec, limiter) }
    }
}

/// A client of one more kind.
final class OtherClient: IOClient {
    let hasEnded = false
    func close() async {}
    func shutdown() {}
}

extension EndpointKind {
    static let other = EndpointKind("other")
}

extension AsyncIOClients {
    /// The client for an endpoint of the other kind.
    func other(_ id: String) throws(EndpointError) -> OtherClient {
        try client(id, kind: .other) { _, _ in OtherClient() }
    }
}
