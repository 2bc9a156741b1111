import AsyncRedis
import TestSupport

/// Clients of a task's own, and loops of its own: made, used, and ended in every way with commands in flight.
struct Churn {
    let world: World
    var random: SplitMix64

    mutating func run() async {
        while !world.isStopping {
            await world.pause(random.milliseconds(5...150))
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3: await connectAndEnd()
            case 3..<5: await block()
            case 5: await transaction()
            case 6: await cancelConnect()
            default: await ownLoop()
            }
        }
    }

    private mutating func place(exclusive: Bool) -> Place {
        let settings = world.settings
        let port = random.pick(settings.redisPort, settings.roughPort, settings.cuttingPort)
        let policy = EndpointPolicy(
            maxInflight: random.pick(1, 8, 64),
            maxWaiting: random.pick(0, 16, 256),
            connectTimeout: .milliseconds(500),
            commandTimeout: .milliseconds(700),
            livenessTimeout: .milliseconds(900),
            isExclusive: exclusive
        )
        return Place(
            spec: EndpointSpec(id: "own", kind: .redis, host: "127.0.0.1", port: port, policy: policy)
        )
    }

    private func connect(_ place: Place, on loop: EventLoop) async -> AsyncRedisClient? {
        let ticket = world.watch.ticket()
        let limit = ContinuousClock.now + place.policy.connectTimeout
        world.watch.begin(ticket, "connecting", limit: limit)
        defer { world.watch.end(ticket) }
        do throws(RedisError) {
            let url = "redis://127.0.0.1:\(place.spec.port)/0"
            return try await AsyncRedisClient.connect(to: url, on: loop, policy: place.policy)
        } catch {
            world.ledger.ended("connect: \(error.code) \(error.outcome)")
            if error.outcome != .notSent { world.ledger.wrong("a connect is not `notSent`: \(error)") }
            return nil
        }
    }

    /// How a client is ended.
    private enum End: Sendable { case close, closeSoon, closeNow, shutdown, both, drop }

    private mutating func end() -> End {
        random.pick(.close, .closeSoon, .closeNow, .shutdown, .both, .drop)
    }

    private func end(_ client: AsyncRedisClient, _ end: End) async {
        let ticket = world.watch.ticket()
        let patience: Duration =
            switch end {
            case .closeSoon: .milliseconds(5)
            case .closeNow: .zero
            default: .seconds(5)
            }
        world.watch.begin(ticket, "close of a client (\(end))", limit: .now + patience)
        switch end {
        case .close: await client.close()
        case .closeSoon, .closeNow: await client.close(timeout: patience)
        case .shutdown: client.shutdown()
        case .both:
            async let closed: Void = client.close()
            client.shutdown()
            await closed
            await client.close()
        case .drop: break
        }
        world.watch.end(ticket)
        if end != .drop, !client.hasEnded { world.ledger.wrong("a client has not ended after \(end)") }
    }

    private mutating func connectAndEnd() async {
        let place = place(exclusive: true)
        guard let client = await connect(place, on: world.loop) else { return }
        await load(client, place, end())
    }

    /// Commands in flight, and the end of their client in the middle of it.
    private mutating func load(_ client: AsyncRedisClient, _ place: Place, _ end: End) async {
        let world = world
        let count = Int.random(in: 0...60, using: &random)
        let delay = random.milliseconds(0...30)
        let size = random.oneIn(5) ? 200_000 : 100
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                let question = Content.bytes(Content.tag("own", "echo", world.number()), size: size)
                let mood = Mood.any(&random)
                let call = Call(client: client, place: place, name: "ECHO, own client", mood: mood)
                group.addTask { await world.echo(question, call) }
            }
            await world.pause(delay)
            await self.end(client, end)
        }
    }

    private mutating func cancelConnect() async {
        let place = place(exclusive: true)
        let churn = self
        let task = Task {
            if let client = await churn.connect(place, on: churn.world.loop) { client.shutdown() }
        }
        await world.pause(random.milliseconds(0...3))
        task.cancel()
        await task.value
    }

    // MARK: What only an exclusive client may do

    /// Elements pushed over one client and popped over another that waits for them.
    private mutating func block() async {
        let place = place(exclusive: true)
        guard let client = await connect(place, on: world.loop) else { return }
        guard let pusher = world.client(world.places[0]) else { return }
        let key = "\(world.name).queue\(world.number())"
        var sent: Set<Int> = []
        for _ in 0..<Int.random(in: 1...6, using: &random) where !client.hasEnded {
            if random.oneIn(3) {
                await pop(client, place, key, &sent)
                continue
            }
            let number = world.number()
            let push = Call(client: pusher, place: world.places[0], name: "RPUSH", mood: .calm(&random))
            async let pushed = world.ask(push) { client, timeout throws(RedisError) in
                try await client.send("RPUSH", key, "\(key)|e|\(number)", timeout: timeout)
            }
            // It may be popped before the push itself is answered.
            var expected = sent.union([number])
            await pop(client, place, key, &expected)
            if case .failure(let error) = await pushed, error.outcome != .indeterminate {
                expected.remove(number)
            }
            sent = expected
        }
        await end(client, end())
    }

    private mutating func pop(
        _ client: AsyncRedisClient,
        _ place: Place,
        _ key: String,
        _ sent: inout Set<Int>
    ) async {
        let seconds = random.pick(0.01, 0.05, 0.2)
        var call = Call(client: client, place: place, name: "BLPOP", mood: .any(&random))
        call.blockingTime = .seconds(seconds)
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("BLPOP", key, seconds, as: [String]?.self, timeout: timeout)
        }
        guard case .success(let reply) = result else { return }
        guard let reply else { return world.ledger.checked("BLPOP of nothing") }
        let number = reply.count == 2 && reply[0] == key ? Worker.number(in: reply[1], of: key) : nil
        guard let number, sent.remove(number) != nil else {
            return world.ledger.wrong("BLPOP \(key): \(reply), of \(sent)")
        }
        world.ledger.checked("BLPOP")
    }

    private mutating func transaction() async {
        let place = place(exclusive: true)
        guard let client = await connect(place, on: world.loop) else { return }
        let tag = "t\(world.number())"
        let call = Call(client: client, place: place, name: "MULTI", mood: .calm(&random))
        var replies: [RESPValue] = []
        for words in [["MULTI"], ["ECHO", "\(tag)a"], ["ECHO", "\(tag)b"], ["EXEC"]] {
            let result = await world.ask(call) { client, timeout throws(RedisError) in
                try await client.send(words: words, timeout: timeout)
            }
            guard case .success(let reply) = result else { return await end(client, .shutdown) }
            replies.append(reply)
        }
        let expected: [RESPValue] = [
            .simpleString("OK"), .simpleString("QUEUED"), .simpleString("QUEUED"),
            .array([.bulkString("\(tag)a"), .bulkString("\(tag)b")]),
        ]
        if replies == expected {
            world.ledger.checked("MULTI")
        } else {
            world.ledger.wrong("MULTI \(tag): \(replies)")
        }
        await end(client, end())
    }
}
