@_spi(Driver) public import AsyncIO
import RESP
@_spi(Driver) public import UVLoop

/// A client of one Redis server, over one connection.
///
/// Commands are sent in the order they are called, many at a time, and each call returns with its own reply. At most the
/// endpoint's `maxInflight` are on the wire; further ones wait in turn. The client never repeats a command and never
/// reconnects: once its connection has ended, every command is refused with the cause, and
/// ``AsyncIO/AsyncIOClients/redis(_:)`` makes a new client. A client that nobody holds any more is shut down.
///
/// Everything here may be called from any thread. A task that runs on the client's loop is served without leaving it.
public final class AsyncRedisClient: Sendable {
    let connection: RedisConnection
    private let core: LoopCore
    /// Keeps the loop alive for as long as the client is.
    private let loop: EventLoop

    /// The endpoint's id, or for a client made from a URL its address.
    public var endpoint: String { connection.endpoint }

    /// Makes a client that begins to connect at once.
    init(_ spec: EndpointSpec, limiter: InflightLimiter, loop: EventLoop) throws(EndpointError) {
        let target: StreamTarget =
            if let path = spec.socketPath { .unix(path: path) } else {
                .tcp(host: spec.host, port: UInt16(spec.port))
            }
        self.loop = loop
        core = loop.core
        connection = RedisConnection(
            core: loop.core,
            endpoint: spec.id,
            target: target,
            greeting: try RedisGreeting(spec),
            policy: spec.policy,
            limiter: limiter,
            limits: .default
        )
        core.runOrPost { [connection] in connection.start() }
    }

    deinit {
        core.runOrPost { [connection] in connection.shutDown() }
    }

    // MARK: Connect and close

    /// Connects to a server, logs in and selects the database.
    ///
    /// - Parameters:
    ///   - url: `redis://[user[:password]@]host[:port][/db]`, or `unix:///path/to.sock[?db=N]`. User, password, host and path may be
    ///     percent-encoded. `rediss://` is refused: TLS is not built in yet.
    ///   - loop: the loop the client lives on.
    ///   - policy: its limits and times.
    /// - Returns: a client whose connection stands.
    /// - Throws: ``RedisError``, always *notSent*: `invalidURL`, `invalidEndpoint`, `resolveFailed`, `connectFailed`,
    ///   `connectTimedOut`, `handshakeFailed`, `protocolViolation`, `connectionLost`, `cancelled`, `loopShutDown`.
    public static func connect(
        to url: String,
        on loop: EventLoop = .shared,
        policy: EndpointPolicy = EndpointPolicy()
    ) async throws(RedisError) -> AsyncRedisClient {
        let spec = try RedisURL(url, policy: policy).spec
        let client: AsyncRedisClient
        do throws(EndpointError) {
            client = try AsyncRedisClient(
                spec,
                limiter: InflightLimiter(capacity: spec.policy.maxInflight),
                loop: loop
            )
        } catch {
            throw RedisError(error)
        }
        try await client.waitUntilConnected()
        return client
    }

    /// Returns once the connection stands; throws the error that keeps it from standing.
    ///
    /// A task that is cancelled while it waits ends the attempt.
    private func waitUntilConnected() async throws(RedisError) {
        let failure = await withTaskCancellationHandler {
            await SuspendedTask<RedisError?>.suspend { task in
                core.runOrPost { [connection] in connection.whenConnected { task.resume($0) } }
            }
        } onCancel: {
            core.runOrPost { [connection] in connection.shutDown() }
        }
        connection.hasBeenResumed()
        // A cancellation may have come just after the connection stood, and has ended it.
        if Task.isCancelled { throw .cancelled(.notSent, endpoint) }
        guard let failure else { return }
        throw failure
    }

    /// Whether the client has been closed, or its connection has ended: every further command is refused.
    public var hasEnded: Bool { connection.inbox.isClosed }

    /// Closes the client: new commands are refused at once, those accepted get their replies, then the socket is closed.
    ///
    /// It returns when the connection has ended; also if it had ended before.
    ///
    /// - Parameter timeout: how long replies are waited for. What has no reply by then fails.
    public func close(timeout: Duration) async {
        let deadline = LoopClock.instant(after: timeout)
        await SuspendedTask<Void>.suspend { task in
            core.runOrPost { [connection] in connection.close(deadline: deadline) { task.resume(()) } }
        }
    }

    /// Closes the client, waiting at most five seconds for replies.
    ///
    /// See ``close(timeout:)``.
    public func close() async {
        await close(timeout: .seconds(5))
    }

    /// Ends the client at once.
    ///
    /// Commands that wait fail: *notSent* those not handed to the socket, *indeterminate* the others.
    public func shutdown() {
        connection.inbox.close(.closed(endpoint))
        core.runOrPost { [connection] in connection.shutDown() }
    }

    // MARK: One command

    /// Sends a command and decodes its reply.
    @inline(__always)
    func perform<Value: RESPDecodable>(
        _ command: some RESPCommand,
        as type: Value.Type
    ) async throws(RedisError) -> Value {
        let byteCount: Int
        do throws(RESPEncodingError) {
            byteCount = try command.byteCount(connection.limits)
        } catch {
            throw RedisError(error, endpoint: endpoint)
        }
        let end = await CommandWaiter.suspend { waiter in
            if core.isOnLoop {
                connection.submit(command, byteCount: byteCount, waiter)
            } else {
                submitFromElsewhere(command, byteCount, waiter)
            }
        }
        connection.hasBeenResumed()
        switch end {
        case .reply(let reply): return try reply.decode(type, endpoint: connection.endpoint)
        case .failure(let error): throw error
        }
    }

    private func submitFromElsewhere(_ command: some RESPCommand, _ byteCount: Int, _ waiter: CommandWaiter) {
        let deadline = connection.deadlineOfNewCommand
        switch connection.inbox.submit(command, byteCount: byteCount, deadline: deadline, waiter) {
        case .accepted: break
        case .first: core.post { [connection] in connection.takeInbox() }
        case .tooMany: waiter.resume(.failure(connection.error(for: .tooManyWaiting)))
        case .tooManyBytes: waiter.resume(.failure(connection.error(for: .tooManyBytes)))
        case .refused(let error): waiter.resume(.failure(error))
        }
    }
}

extension AsyncRedisClient: IOClient {}
