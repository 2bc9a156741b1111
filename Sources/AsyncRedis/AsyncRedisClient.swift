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
    ///
    /// - Parameter isOwn: whether it is made for its caller alone, as far as the policy does not say otherwise.
    init(_ spec: EndpointSpec, isOwn: Bool, limiter: InflightLimiter, loop: EventLoop) throws(EndpointError) {
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
            handshake: try RedisHandshake(spec),
            policy: spec.policy,
            isExclusive: spec.policy.isExclusive ?? isOwn,
            // Of a client that others share no one task's limit is the connection's.
            connectDeadline: min(
                LoopClock.instant(after: spec.policy.connectTimeout),
                isOwn ? IODeadline.current : .max
            ),
            limiter: limiter,
            limits: .default
        )
        core.runOrPost { [connection] in connection.start() }
    }

    deinit {
        core.runOrPost { [connection] in connection.shutDown() }
    }

    // MARK: Connect and close

    /// Connects to a server, logs in and selects the database, within `connectTimeout` and what
    /// ``AsyncIO/withIOTimeout(_:_:)`` says.
    ///
    /// - Parameters:
    ///   - url: `redis://[user[:password]@]host[:port][/db]`, or `unix:///path/to.sock[?db=N]`. User, password, host and path may be
    ///     percent-encoded. `rediss://` is refused: TLS is not built in yet.
    ///   - loop: the loop the client lives on.
    ///   - policy: its limits and times.
    /// - Returns: a client whose connection stands. It is its caller's own: commands that block on the server or change the
    ///   connection may be sent on it, unless the policy says otherwise.
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
                isOwn: true,
                limiter: InflightLimiter(spec.policy),
                loop: loop
            )
        } catch {
            throw RedisError(error)
        }
        try await client.waitUntilConnected(#isolation)
        return client
    }

    /// Returns once the connection stands; throws the error that keeps it from standing.
    ///
    /// A task that is cancelled while it waits ends the attempt.
    private func waitUntilConnected(_ isolation: isolated (any Actor)?) async throws(RedisError) {
        let failure = await withTaskCancellationHandler {
            // The closure is the caller's actor's because it has it.
            _ = isolation
            return await SuspendedTask<RedisError?>.suspend(servedBy: loop) { task in
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
    /// It returns when the connection has ended; also if it had ended before. Cancelling the caller does not shorten it.
    ///
    /// - Parameter timeout: how long replies are waited for. What has no reply by then fails with `clientClosed`, *notSent*
    ///   or *indeterminate*.
    public func close(timeout: Duration) async {
        let deadline = LoopClock.instant(after: timeout)
        connection.inbox.close(.closed(endpoint))
        await SuspendedTask<Void>.suspend(servedBy: loop) { task in
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
    ///
    /// - Parameters:
    ///   - command: made where it is written, so that a task keeps none of it while it waits.
    ///   - timeout: the most time it may take; the endpoint's and the task's own limits hold beside it.
    @inline(__always)
    func perform<Value: RESPDecodable>(
        _ command: @autoclosure () -> some RESPCommand,
        as type: Value.Type,
        timeout: Duration?
    ) async throws(RedisError) -> Value {
        try await end(as: type) { waiter in submit(command(), timeout, .none, waiter) }
    }

    /// Sends a command of any words and decodes its reply.
    ///
    /// Whether it may be sent here is asked first.
    @inline(__always)
    func perform<Value: RESPDecodable>(
        words: [any RESPEncodable],
        as type: Value.Type,
        timeout: Duration?
    ) async throws(RedisError) -> Value {
        try await end(as: type) { waiter in submit(words: words, timeout, waiter) }
    }

    /// Suspends the task, has it handed in, and decodes the reply when it goes on.
    @inline(__always)
    private func end<Value: RESPDecodable>(
        as type: Value.Type,
        _ submit: (CommandWaiter) -> Void
    ) async throws(RedisError) -> Value {
        let end = await CommandWaiter.suspend(servedBy: loop, submit)
        connection.hasBeenResumed()
        switch end {
        case .reply(let reply): return try reply.decode(type, endpoint: connection.endpoint)
        case .failure(let error): throw error
        }
    }

    /// Hands a command of any words in, or refuses it.
    @inline(never)
    private func submit(words: [any RESPEncodable], _ timeout: Duration?, _ waiter: CommandWaiter) {
        // Of a name, a key and perhaps a value no list is made, which would need memory.
        guard words.count == 2 || words.count == 3 else {
            return submit(RESPWordList(words), timeout, waiter)
        }
        let (first, second) = (words[0].respWord, words[1].respWord)
        let third = words.count == 3 ? words[2].respWord : nil
        guard let name = first.shortText, !CommandEffect.mayFollow(name), let key = second.shortText else {
            let taken = third.map { [first, second, $0] } ?? [first, second]
            return submit(RESPWordList(taken: taken), timeout, waiter)
        }
        guard let third else { return submit(RESPKeyCommand(name, key), timeout, .none, waiter) }
        guard let value = third.shortText else {
            return submit(RESPWordList(taken: [first, second, third]), timeout, waiter)
        }
        submit(RESPTextCommand(name, key, value), timeout, .none, waiter)
    }

    private func submit(_ command: RESPWordList, _ timeout: Duration?, _ waiter: CommandWaiter) {
        let effect = command.effect
        if effect != .none, let refusal = refusal(effect, command) {
            return waiter.resume(.failure(refusal))
        }
        submit(command, timeout, effect, waiter)
    }

    /// Hands a command in.
    ///
    /// In a function of its own what it works with is on the stack, instead of in the memory that each waiting task keeps.
    @inline(never)
    private func submit(
        _ command: some RESPCommand,
        _ timeout: Duration?,
        _ effect: CommandEffect,
        _ waiter: CommandWaiter
    ) {
        let byteCount: Int
        do throws(RESPEncodingError) {
            byteCount = try command.byteCount(connection.limits)
        } catch {
            return waiter.resume(.failure(RedisError(error, endpoint: endpoint)))
        }
        let isOnLoop = core.isOnLoop
        let moment = connection.momentOfCall(timeout, isOnLoop: isOnLoop)
        let request = RedisConnection.Request(
            byteCount: byteCount,
            deadline: connection.settings.deadline(
                calledAt: moment.latest,
                timeout: timeout,
                blockingTime: effect.blockingTime,
                ambient: IODeadline.current
            ),
            blockingTime: effect.blockingTime,
            groupStep: effect.groupStep
        )
        if isOnLoop {
            connection.submit(command, request, waiter, now: moment.earliest)
        } else {
            submitFromElsewhere(command, request, waiter)
        }
    }

    private func submitFromElsewhere(
        _ command: some RESPCommand,
        _ request: RedisConnection.Request,
        _ waiter: CommandWaiter
    ) {
        switch connection.inbox.submit(command, request, waiter) {
        case .accepted: break
        case .first: core.post { [connection] in connection.takeArrivals() }
        case .tooMany: waiter.resume(.failure(connection.failure(of: .tooManyWaiting)))
        case .tooManyBytes: waiter.resume(.failure(connection.failure(of: .tooManyBytes)))
        case .refused(let error): waiter.resume(.failure(error))
        }
    }
}

extension AsyncRedisClient: IOClient {}
