@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// A way to end a client, its clients or its loop.
enum WayToEnd: String, CaseIterable, Sendable {
    case closesClient, shutsClientDown, closesClients, shutsClientsDown, shutsLoopDown

    /// What it ends: two ways to end the same thing never stand in one order.
    var subject: Int {
        switch self {
        case .closesClient, .shutsClientDown: 0
        case .closesClients, .shutsClientsDown: 1
        case .shutsLoopDown: 2
        }
    }

    /// Every order of three ways, one for each of client, clients and loop.
    static let orders: [[WayToEnd]] = allCases.flatMap { first in
        allCases.filter { $0.subject != first.subject }.flatMap { second in
            allCases.filter { ![first.subject, second.subject].contains($0.subject) }
                .map { [first, second, $0] }
        }
    }
}

/// What an end finds.
enum Scenery: CaseIterable, Sendable {
    /// The server has not answered the login; commands wait.
    case connecting
    /// Nothing is under way.
    case idle
    /// One command is on the wire, and others wait for its permit.
    case busy
}

extension FaultTests {
    @Test func thereAreTwentyFourOrders() {
        #expect(WayToEnd.orders.count == 24)
    }

    @Test(arguments: WayToEnd.orders, Scenery.allCases)
    func anyOrderOfEndsEndsEverythingOnce(order: [WayToEnd], scenery: Scenery) async throws {
        for isOnLoop in [true, false] {
            let stage = try EndStage(scenery)
            let commands = try await stage.callCommands()
            let redis = stage.redis
            let first = Task { await stage.perform(order[0], isOnLoop: isOnLoop) }
            if [.closesClient, .closesClients].contains(order[0]) {
                // It waits for replies, and the server goes on only when it does.
                #expect(await eventually { redis.hasEnded })
                stage.mayAnswer.open()
                await first.value
            } else {
                await first.value
                // What it has left to the loop is done.
                await stage.loop.run {}
                stage.mayAnswer.open()
            }
            // Each a second time at once, and then all of them again.
            for way in order + order { await stage.perform(way, isOnLoop: isOnLoop) }

            let sights = await stage.sights(of: commands)
            #expect(sights.count == commands.count)
            switch order[0] {
            case .closesClient, .closesClients: #expect(sights.allSatisfy { $0 == nil })
            case .shutsClientDown, .shutsClientsDown, .shutsLoopDown:
                let code: RedisError.Code = order[0] == .shutsLoopDown ? .loopShutDown : .clientClosed
                let outcomes = sights.map { $0?.outcome }
                #expect(sights.allSatisfy { $0?.code == code })
                let sent = scenery == .busy ? 1 : 0
                #expect(outcomes.count { $0 == .indeterminate } == sent)
                #expect(outcomes.count { $0 == .notSent } == commands.count - sent)
            }
            let later = await Ending.of(within: .zero) { _ = try await redis.send("PING") }
            #expect(later.error?.outcome == .notSent)
            #expect(throws: RedisError.self) { try stage.io.redis("staged") }
            #expect(await stage.permitsTaken() == 0)
            stage.server.stop()
        }
    }

    @Test(arguments: WayToEnd.allCases, Scenery.allCases)
    func allEndsAtOnceFromManyThreadsEndEverythingOnce(way: WayToEnd, scenery: Scenery) async throws {
        let stage = try EndStage(scenery)
        let commands = try await stage.callCommands()
        await withTaskGroup(of: Void.self) { group in
            for isOnLoop in [true, false] {
                // The one way first, so that it is not always the same that comes to be the first.
                for each in [way] + WayToEnd.allCases {
                    group.addTask { await stage.perform(each, isOnLoop: isOnLoop) }
                }
            }
            group.addTask { stage.mayAnswer.open() }
        }
        let sights = await stage.sights(of: commands)
        #expect(sights.count == commands.count)
        for sight in sights {
            #expect(sight == nil || [.clientClosed, .loopShutDown].contains(sight?.code))
        }
        #expect(await stage.permitsTaken() == 0)
        stage.server.stop()
    }

    @Test(arguments: Scenery.allCases)
    func theLastReferenceEndsEverything(scenery: Scenery) async throws {
        let hasLeft = Gate()
        let name = "drop-\(scenery)"
        var commands: [Task<Ending, Never>] = []
        let mayAnswer: Gate
        let server: ScriptedServer
        do {
            let stage = try EndStage(scenery, commandTimeout: .seconds(1), name: name, hasLeft: hasLeft)
            (mayAnswer, server) = (stage.mayAnswer, stage.server)
            commands = try await stage.callCommands()
        }
        // A command holds its client; when the last has ended by its time, nobody does any more.
        for command in commands { #expect(await command.value.error?.code == .deadlineExceeded) }
        #expect(await eventually { !threadNames().contains(name) })
        mayAnswer.open()
        await hasLeft.wait()
        server.stop()
    }
}

/// A client, its clients and its loop, in some state.
private struct EndStage: Sendable {
    let loop: EventLoop
    let io: AsyncIOClients
    let redis: AsyncRedisClient
    let server: ScriptedServer
    let mayAnswer = Gate()
    private let scenery: Scenery
    private let hasRead = Gate()

    init(
        _ scenery: Scenery,
        commandTimeout: Duration? = nil,
        name: String = "staged",
        hasLeft: Gate = Gate()
    ) throws {
        self.scenery = scenery
        loop = EventLoop(name: name)
        server = try ScriptedServer { [hasRead, mayAnswer] connection in
            while connection.readCommand() != nil {
                hasRead.open()
                mayAnswer.waitOnThread()
                connection.write("+OK\r\n")
            }
            hasLeft.open()
        }
        let spec = EndpointSpec(
            id: "staged",
            kind: .redis,
            host: "127.0.0.1",
            port: server.port,
            credentials: scenery == .connecting ? EndpointCredentials(password: "x") : nil,
            policy: EndpointPolicy(maxInflight: 1, commandTimeout: commandTimeout)
        )
        io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
        redis = try io.redis("staged")
    }

    /// Calls commands from the loop and from elsewhere, and returns when all are where the scenery has them.
    func callCommands() async throws -> [Task<Ending, Never>] {
        guard scenery != .idle else {
            mayAnswer.open()
            _ = try await redis.send("PING")
            return []
        }
        let count = 4
        let tasks = (0..<count).map { index in
            Task { [redis, loop] in
                await Ending.of(within: .zero) {
                    let send: @concurrent @Sendable () async throws -> Void = {
                        _ = try await redis.send("PING")
                    }
                    if index.isMultiple(of: 2) { try await loop.run(send) } else { try await send() }
                }
            }
        }
        await hasRead.wait()
        let isPlaced = await eventually {
            await loop.run { [connection = redis.connection] in
                connection.machine.value.inflight + connection.machine.value.waitingCount == count
            }
        }
        #expect(isPlaced)
        return tasks
    }

    func perform(_ way: WayToEnd, isOnLoop: Bool) async {
        let end: @concurrent @Sendable () async -> Void = { [redis, io, loop] in
            switch way {
            case .closesClient: await redis.close()
            case .shutsClientDown: redis.shutdown()
            case .closesClients: await io.close()
            case .shutsClientsDown: io.shutdown()
            case .shutsLoopDown: await loop.shutdown()
            }
        }
        if isOnLoop { await loop.run(end) } else { await end() }
    }

    func permitsTaken() async -> Int {
        await loop.run { [limiter = redis.connection.limiter] in limiter.inflight + limiter.waiting }
    }

    func sights(of commands: [Task<Ending, Never>]) async -> [Sight?] {
        var sights: [Sight?] = []
        for command in commands { sights.append(await command.value.sight) }
        return sights
    }
}
