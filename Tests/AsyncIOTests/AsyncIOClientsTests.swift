@_spi(Driver) import AsyncIO
import Synchronization
import Testing
import UVLoop

/// One client for each endpoint, of kinds that are defined outside the module.
struct AsyncIOClientsTests {
    private static let endpoints = [
        EndpointSpec(id: "a", kind: .fake, host: "a.example", port: 1, policy: .init(maxInflight: 3)),
        EndpointSpec(id: "b", kind: .fake, host: "b.example", port: 2),
        EndpointSpec(id: "c", kind: .other, host: "c.example", port: 3),
    ]

    private func makeClients() throws -> AsyncIOClients {
        AsyncIOClients(loop: .shared, endpoints: try EndpointRegistry(Self.endpoints))
    }

    // MARK: The same client

    @Test func anEndpointHasOneClient() throws {
        let io = try makeClients()
        let client = try io.fake("a")
        #expect(client.endpoint == Self.endpoints[0])
        #expect(client.limiter.capacity == 3)
        for _ in 0..<5 { #expect(try io.fake("a") === client) }
        #expect(try io.fake("b") !== client)
        #expect(try io.fake("b").endpoint == Self.endpoints[1])
        #expect(try io.fake("b").limiter !== client.limiter)
        #expect(try io.fake("a") === client)
    }

    @Test func manyTasksThatAskAtOnceGetOneClient() async throws {
        let io = try makeClients()
        let made = Made()
        let identities = await withTaskGroup(of: ObjectIdentifier?.self) { group in
            for _ in 0..<200 {
                group.addTask { @concurrent in (try? made.client(io)).map { ObjectIdentifier($0) } }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(identities.count == 200)
        #expect(Set(identities).count == 1 && !identities.contains(nil))
        #expect(made.count == 1)
    }

    @Test func kindsDoNotGetInEachOthersWay() throws {
        let io = try makeClients()
        let fake = try io.fake("a")
        let other = try io.other("c")
        #expect(try io.fake("a") === fake)
        #expect(try io.other("c") === other)
        for ask in [{ _ = try io.other("a") }, { _ = try io.fake("c") }] as [() throws -> Void] {
            let error = #expect(throws: EndpointError.self) { try ask() }
            #expect(error?.code == .wrongKind)
        }
        #expect(try io.fake("a") === fake)
        #expect(try io.other("c") === other)
    }

    @Test func twoSetsOverTheSameEndpointsStayApart() async throws {
        let registry = try EndpointRegistry(Self.endpoints)
        let one = AsyncIOClients(loop: .shared, endpoints: registry)
        let two = AsyncIOClients(loop: .shared, endpoints: registry)
        let client = try two.fake("a")
        #expect(try one.fake("a") !== client)
        await one.close()
        #expect(!client.hasEnded)
        #expect(try two.fake("a") === client)
    }

    @Test func anUnknownEndpointHasNoClient() throws {
        let io = try makeClients()
        let error = #expect(throws: EndpointError.self) { try io.fake("nowhere") }
        #expect(error?.code == .unknownID && error?.endpoint == "nowhere")
    }

    @Test func aClientThatCannotBeMadeIsTriedAgain() throws {
        let io = try makeClients()
        let reason = EndpointError(.invalidSetting, "a", "has a database that is not a number")
        #expect(throws: reason) {
            try io.client("a", kind: .fake) { _, _ throws(EndpointError) -> FakeClient in throw reason }
        }
        let client = try io.fake("a")
        #expect(try io.fake("a") === client)
    }

    // MARK: Replacement

    @Test func anEndedClientIsReplacedAtTheNextCallAndNotBefore() throws {
        let io = try makeClients()
        let made = Made()
        let first = try made.client(io)
        #expect(made.count == 1)
        first.end()
        #expect(made.count == 1)
        let second = try made.client(io)
        #expect(second !== first && !second.hasEnded)
        #expect(try made.client(io) === second)
        #expect(made.count == 2)
        second.end()
        #expect(try made.client(io) !== second)
        #expect(made.count == 3)
    }

    @Test func manyTasksThatFindAnEndedClientGetOneNewOne() async throws {
        let io = try makeClients()
        let made = Made()
        let first = try made.client(io)
        first.end()
        let identities = await withTaskGroup(of: ObjectIdentifier?.self) { group in
            for _ in 0..<200 {
                group.addTask { @concurrent in (try? made.client(io)).map { ObjectIdentifier($0) } }
            }
            return await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(identities.count == 1 && !identities.contains(ObjectIdentifier(first)))
        #expect(made.count == 2)
    }

    @Test func anEndedClientLeavesTheOthersAlone() throws {
        let io = try makeClients()
        let b = try io.fake("b")
        try io.fake("a").end()
        _ = try io.fake("a")
        #expect(try io.fake("b") === b)
    }

    /// What the ended client has in flight still counts.
    @Test func aReplacementHasTheLimiterOfTheClientBeforeIt() throws {
        let io = try makeClients()
        let first = try io.fake("a")
        first.end()
        #expect(try io.fake("a").limiter === first.limiter)
    }

    // MARK: The end

    @Test func closeReachesEveryClient() async throws {
        let io = try makeClients()
        let clients = [try io.fake("a"), try io.fake("b")]
        await io.close()
        #expect(clients.map(\.closes) == [1, 1])
        #expect(clients.map(\.shutdowns) == [0, 0])
        try refusesAll(io)
    }

    /// One that is closing is replaced at the next call, and has commands in flight.
    @Test func theEndReachesAlsoThoseThatWereReplaced() async throws {
        let io = try makeClients()
        let closing = try io.fake("a")
        closing.end()
        #expect(try io.fake("a") !== closing)
        io.shutdown()
        #expect(closing.shutdowns == 1)
        await io.close()
        #expect(closing.closes == 1)
    }

    /// Whom nobody else holds is gone.
    @Test func aReplacedClientIsNotKept() throws {
        let io = try makeClients()
        weak var first: FakeClient?
        do {
            let client = try io.fake("a")
            first = client
            client.end()
        }
        _ = try io.fake("a")
        #expect(first == nil)
    }

    @Test func shutdownReachesEveryClient() throws {
        let io = try makeClients()
        let clients = [try io.fake("a"), try io.fake("b")]
        io.shutdown()
        #expect(clients.map(\.shutdowns) == [1, 1])
        #expect(clients.map(\.closes) == [0, 0])
        try refusesAll(io)
    }

    @Test func anEndpointNeverAskedForHasNoClientAfterTheEnd() async throws {
        let io = try makeClients()
        await io.close()
        try refusesAll(io)
        await io.close()
        io.shutdown()
        try refusesAll(io)
    }

    private func refusesAll(_ io: AsyncIOClients) throws {
        for id in ["a", "b"] {
            let error = #expect(throws: EndpointError.self) { try io.fake(id) }
            #expect(error?.code == .clientsClosed && error?.endpoint == id)
            #expect(error?.description.hasPrefix("endpoint \"\(id)\" ") == true)
        }
        let error = #expect(throws: EndpointError.self) { try io.fake("nowhere") }
        #expect(error?.code == .unknownID)
    }
}

/// Counts the clients that are made for endpoint `a`.
private final class Made: Sendable {
    private let number = Mutex(0)
    var count: Int { number.withLock { $0 } }

    func client(_ io: AsyncIOClients) throws(EndpointError) -> FakeClient {
        try io.client("a", kind: .fake) { spec, limiter in
            number.withLock { $0 += 1 }
            return FakeClient(spec, limiter)
        }
    }
}
