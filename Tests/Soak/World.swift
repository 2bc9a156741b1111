import AsyncRedis
import Synchronization
import TestSupport

/// What one period of load shares: the loop, its clients, and who keeps the books.
final class World: Sendable {
    /// What the keys of this period begin with: the server may have those of the last one still.
    let name: String
    let settings: Settings
    let loop: EventLoop
    let io: AsyncIOClients
    let places: [Place]
    let marked: Place
    let ledger: Ledger
    let watch: Watch
    private let isOver = Atomic(false)
    private let numbers = Atomic(0)

    init(_ name: String, _ settings: Settings, loop: EventLoop, ledger: Ledger, watch: Watch) throws {
        self.name = name
        self.settings = settings
        self.loop = loop
        self.ledger = ledger
        self.watch = watch
        places = Place.all(settings)
        marked = Place.marked(settings)
        io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry((places + [marked]).map(\.spec)))
    }

    /// The load is to end.
    func stop() { isOver.store(true, ordering: .relaxed) }
    var isStopping: Bool { isOver.load(ordering: .relaxed) }

    /// A number that nobody else in this world has.
    func number() -> Int { numbers.add(1, ordering: .relaxed).newValue }

    func place(_ random: inout SplitMix64) -> Place {
        places[Int.random(in: 0..<places.count, using: &random)]
    }

    /// The place's client, or nil if there is none, which never happens before the end.
    func client(_ place: Place) -> AsyncRedisClient? {
        do throws(RedisError) {
            return try io.redis(place.id)
        } catch {
            ledger.wrong("no client for \(place.id): \(error)")
            return nil
        }
    }

    /// A pause of the load.
    func pause(_ duration: Duration) async {
        // Only the end of the loop or of the task cuts it short.
        try? await loop.sleep(for: duration)
    }
}

/// One command: who is asked, under which policy, and in which mood.
struct Call: Sendable {
    let client: AsyncRedisClient
    let place: Place
    /// The command's name, for the books.
    var name: String
    var mood = Mood()
    /// How long the server may hold the reply back.
    var blockingTime = Duration.zero
    /// Codes that this command may end with besides those that any may.
    var allowed: Set<RedisError.Code> = []
}

extension World {
    /// Calls a command, in its mood, and keeps the books of how and when it ended.
    func ask<Value: Sendable>(
        _ call: Call,
        _ known: Watch.Ticket? = nil,
        _ body: @escaping @Sendable (AsyncRedisClient, Duration?) async throws(RedisError) -> Value
    ) async -> Result<Value, RedisError> {
        let ticket = known ?? watch.ticket()
        guard let delay = call.mood.cancelAfter else {
            guard call.mood.isOnLoop else { return await attempt(call, ticket, body) }
            return await loop.run { await self.attempt(call, ticket, body) }
        }
        let executor: (any TaskExecutor)? = call.mood.isOnLoop ? loop.taskExecutor : nil
        let task = Task(executorPreference: executor) { await self.attempt(call, ticket, body) }
        if delay > .zero { await pause(delay) }
        watch.cancel(ticket)
        task.cancel()
        return await task.value
    }

    private func attempt<Value: Sendable>(
        _ call: Call,
        _ ticket: Watch.Ticket,
        _ body: @Sendable (AsyncRedisClient, Duration?) async throws(RedisError) -> Value
    ) async -> Result<Value, RedisError> {
        let mood = call.mood
        let now = ContinuousClock.now
        let own = call.place.policy.commandTimeout.map { $0 + call.blockingTime }
        let limits = [own, mood.timeout, mood.ambient]
        let limit = Task.isCancelled ? now : limits.compactMap { $0.map { now + $0 } }.min()
        watch.begin(ticket, "\(call.name) on \(call.place.id), \(mood)", limit: limit)
        let result: Result<Value, RedisError>
        do throws(RedisError) {
            if let ambient = mood.ambient {
                let value = try await withIOTimeout(ambient) { () async throws(RedisError) -> Value in
                    try await body(call.client, mood.timeout)
                }
                result = .success(value)
            } else {
                result = .success(try await body(call.client, mood.timeout))
            }
        } catch {
            result = .failure(error)
        }
        let lateness = watch.end(ticket, result.way)
        ledger.ended(result.way)
        if case .failure(let error) = result { judge(error, call, lateness) }
        return result
    }

    /// Whether a command may end in this way.
    private func judge(_ error: RedisError, _ call: Call, _ lateness: Duration?) {
        let code = error.code
        if !call.allowed.contains(code), !Verdict.isPossible(error) {
            ledger.wrong("\(call.name) on \(call.place.id) ended with \(code) \(error.outcome): \(error)")
        }
        if code == .deadlineExceeded, let lateness { watch.ranOut(lateness) }
        if code == .deadlineExceeded, lateness.map({ $0 + settings.earliness < .zero }) ?? true {
            let early = lateness.map { "\($0)" } ?? "(it had none)"
            let what = "\(call.name) on \(call.place.id), \(call.mood)"
            ledger.wrong("\(what), ended \(early) from its deadline, before it: \(error)")
        }
        if code == .cancelled, !Task.isCancelled {
            ledger.wrong("\(call.name) on \(call.place.id) was not cancelled: \(error)")
        }
        if code == .deadlineExceeded || code == .cancelled {
            let isSent = error.situation?.phase == .waitingForReply
            if isSent != (error.outcome == .indeterminate) {
                ledger.wrong("\(call.name) on \(call.place.id): phase and outcome differ: \(error)")
            }
        }
    }
}

extension Result where Failure == RedisError {
    /// How a command ended, in words.
    fileprivate var way: String {
        switch self {
        case .success: "answered with a value"
        case .failure(let error): "\(error.code) \(error.outcome)"
        }
    }
}

/// Which ends the faults and policies of the soak can lead to, for any command.
enum Verdict {
    private static let neverSent: Set<RedisError.Code> = [
        .overloaded, .connectFailed, .connectTimedOut, .handshakeFailed,
    ]
    private static let either: Set<RedisError.Code> = [
        .cancelled, .deadlineExceeded, .clientClosed, .loopShutDown, .connectionLost,
    ]

    static func isPossible(_ error: RedisError) -> Bool {
        switch error.outcome {
        case .notSent: neverSent.contains(error.code) || either.contains(error.code)
        case .indeterminate: either.contains(error.code)
        case .rejected: error.code == .outOfMemory
        case .answered: false
        }
    }
}
