@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// What every caller sees under each fault, and by when.
///
/// One after the other: times are measured, and the tests would be each other's noise.
@Suite(.serialized) struct FaultTests {
    /// How long after its deadline a command may take to end; under a sanitizer times are not the code's own.
    static let grace = isSanitized ? Duration.seconds(20) : .milliseconds(20)

    /// Commands on the wire or behind a full socket, from the loop and from elsewhere, and behind them commands that wait for a permit or for the
    /// connection, from the loop and from elsewhere.
    @Test(arguments: Fault.allCases)
    func everyPendingCommandEndsByItsDeadline(fault: Fault) async throws {
        let loop = EventLoop(name: "fault")
        let noise = SchedulingNoise(besides: "fault")
        let (endings, duration) = try await FaultScene(fault, on: loop, isHeavy: true).play()
        // While the loop's thread is still there to be asked how long it waited.
        let allowance = Self.grace + (await noise.stop())
        await loop.shutdown()

        // What is no deadline's end comes at once; the server's thread too has to be given a processor.
        if !fault.endsByDeadline { #expect(duration <= allowance + .milliseconds(100), "\(duration)") }

        for (index, ending) in endings.enumerated() {
            let expected = index < FaultyServer.onTheWire ? fault.whenSent[index] : fault.whenUnsent
            #expect(ending.sight == expected, "command \(index): \(ending)")
            #expect(ending.lateness <= allowance, "command \(index): \(ending)")
        }
    }
}

typealias Ending = TimedEnd<RedisError>

extension Ending {
    /// What the caller saw; nil for a reply.
    var sight: Sight? { error.map { Sight($0.code, $0.outcome) } }
}

/// Commands in every place that a command can wait in, and then a fault.
struct FaultScene {
    private let fault: Fault
    private let loop: EventLoop
    private let server: FaultyServer
    private let redis: AsyncRedisClient
    private let limiter: InflightLimiter
    /// A command's time: short where it is all that ends it, and else never reached.
    private let limit: Duration
    private let payload: RESPWord

    /// - Parameter isHeavy: whether, where nothing is read, each command is more than a socket takes.
    init(_ fault: Fault, on loop: EventLoop, isHeavy: Bool) throws {
        self.fault = fault
        self.loop = loop
        server = try FaultyServer(fault)
        let fillsSocket = isHeavy && fault == .readsNothing
        // Filling it takes time too.
        limit = fillsSocket ? .seconds(1) : fault.endsByDeadline ? .milliseconds(150) : .seconds(60)
        payload = fillsSocket ? RESPWord([UInt8](repeating: 0x61, count: 8 << 20)) : "x"
        let isInHandshake = fault.isBeforeTheConnection && fault != .refuses && fault != .neverAccepts
        let spec = EndpointSpec(
            id: "faulty",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            credentials: isInHandshake ? EndpointCredentials(password: "x") : nil,
            policy: EndpointPolicy(
                maxInflight: FaultyServer.onTheWire,
                connectTimeout: .seconds(3600),
                commandTimeout: limit,
                livenessTimeout: .seconds(3600)
            )
        )
        limiter = InflightLimiter(spec.policy)
        redis = try AsyncRedisClient(spec, isOwn: false, limiter: limiter, loop: loop)
    }

    /// - Returns: how the commands ended, in the order they were called, and how long after the fault all of them had.
    func play() async -> ([Ending], Duration) {
        let commands = await place()
        let start = ContinuousClock.now
        server.mayAct.open()
        var endings: [Ending] = []
        for command in commands { endings.append(await command.value) }
        let duration = ContinuousClock.now - start
        if fault.endsByDeadline {
            // What was sent keeps its permit until its reply comes, and its neighbours are refused when they waited long.
            redis.shutdown()
            await redis.close()
        }
        #expect(redis.hasEnded)
        let taken = await loop.run { [limiter] in limiter.inflight + limiter.waiting }
        #expect(taken == 0)
        server.stop()
        return (endings, duration)
    }

    /// Calls a command, then the next when that has its place.
    private func place() async -> [Task<Ending, Never>] {
        var commands: [Task<Ending, Never>] = []
        // On a slow machine the first may be over before the last has its place.
        let isOver = Gate()
        for index in 0..<(2 * FaultyServer.onTheWire) {
            let isOnLoop = index.isMultiple(of: 2)
            commands.append(
                Task { [redis, loop, limit, payload] in
                    defer { isOver.open() }
                    return await Ending.of(within: limit) {
                        if isOnLoop {
                            try await loop.run { _ = try await redis.send("ECHO", payload) }
                        } else {
                            _ = try await redis.send("ECHO", payload)
                        }
                    }
                }
            )
            let isPlaced = await eventually { await count() > index || redis.hasEnded || isOver.isOpen }
            #expect(isPlaced)
        }
        if !fault.isBeforeTheConnection, fault != .readsNothing { await server.hasRead.wait() }
        return commands
    }

    /// How many commands the connection has.
    private func count() async -> Int {
        await loop.run { [connection = redis.connection] in
            connection.machine.value.inflight + connection.machine.value.waitingCount
        }
    }
}
