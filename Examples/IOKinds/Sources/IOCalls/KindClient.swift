@_spi(Driver) public import AsyncIO
package import UVLoop

/// A client whose calls ``Calls`` keeps: it ends in the same way, whatever its kind.
///
/// Everything here may be called from any thread. A client that nobody holds any more is shut down.
public protocol KindClient: IOClient {
    /// What ends the client with its last holder.
    var lifetime: ClientLifetime { get }
}

extension KindClient {
    /// The endpoint's id.
    public var endpoint: String { lifetime.calls.endpoint }

    /// Whether the client has been closed, or what it lives by is gone: every further call is refused.
    public var hasEnded: Bool { lifetime.calls.hasEnded }

    /// Closes the client: new calls are refused at once, those accepted get their answers, then it lets go of what it has.
    ///
    /// - Parameter timeout: how long answers are waited for. What has none by then fails.
    public func close(timeout: Duration) async { await lifetime.calls.close(timeout: timeout) }

    /// Closes the client, waiting at most five seconds for answers.
    ///
    /// See ``close(timeout:)``.
    public func close() async { await close(timeout: .seconds(5)) }

    /// Ends the client at once.
    ///
    /// Calls that wait fail: *notSent* those that have not begun, *indeterminate* the others.
    public func shutdown() { lifetime.calls.shutdown() }
}

/// Ends a client's calls when it is let go of: its client holds it, and nobody else.
public final class ClientLifetime: Sendable {
    fileprivate let calls: any EndingCalls

    package init(_ calls: any EndingCalls) { self.calls = calls }

    // Later: whoever lets go last may be in the middle of a call's end.
    deinit { calls.loop.post { [calls] in calls.shutdown() } }
}

/// The calls of a client of any kind, as far as their end is concerned.
package protocol EndingCalls: Sendable {
    var endpoint: String { get }
    var loop: EventLoop { get }
    var hasEnded: Bool { get }
    func close(timeout: Duration) async
    func shutdown()
}

extension Calls: EndingCalls {}

// MARK: - The map

extension AsyncIOClients {
    /// The client for an endpoint: the same at each call, until it has ended; what is wrong with the endpoint is an error of its kind.
    package func client<Kind: IOKind, Client: KindClient>(
        _ id: String,
        of _: Kind.Type,
        _ kind: EndpointKind,
        make: (EndpointSpec, InflightLimiter) throws(EndpointError) -> Client
    ) throws(KindError<Kind>) -> Client {
        do throws(EndpointError) {
            return try client(id, kind: kind, make: make)
        } catch {
            throw KindError(error)
        }
    }
}

extension EndpointSpec {
    /// Refuses the endpoint, with a reason, for a setting that its kind cannot use.
    package func check(_ isRight: Bool, _ reason: String) throws(EndpointError) {
        guard isRight else { throw EndpointError(.invalidSetting, id, reason) }
    }

    /// Refuses credentials and a database, for a kind that uses neither.
    package func refuseCredentialsAndDatabase() throws(EndpointError) {
        try check(
            credentials == nil && database == nil,
            "has credentials or a database: this driver uses neither"
        )
    }
}
