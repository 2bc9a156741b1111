import AsyncRedis

extension Churn {
    private enum LoopEnd: Sendable { case shutdown, closeClients, shutDownClients, twice, drop }

    /// A loop with clients of its own, ended with commands in flight.
    mutating func ownLoop() async {
        let loop = EventLoop(name: "soak-own")
        let place = world.place(&random)
        guard let registry = try? EndpointRegistry([place.spec]) else { return }
        let io = AsyncIOClients(loop: loop, endpoints: registry)
        let end: LoopEnd = random.pick(.shutdown, .closeClients, .shutDownClients, .twice, .drop)
        let count = Int.random(in: 0...50, using: &random)
        let delay = random.milliseconds(0...30)
        let world = world
        let isOnLoop = Bool.random(using: &random)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                let question = Content.bytes(Content.tag("loop", "echo", world.number()), size: 100)
                group.addTask {
                    if isOnLoop {
                        await loop.run { await world.echoOnce(question, io, place) }
                    } else {
                        await world.echoOnce(question, io, place)
                    }
                }
            }
            await world.pause(delay)
            await self.end(loop, io, end)
        }
    }

    private func end(_ loop: EventLoop, _ io: AsyncIOClients, _ end: LoopEnd) async {
        let ticket = world.watch.ticket()
        // Closing waits for replies for five seconds at most.
        let patience: Duration = end == .closeClients ? .seconds(5) : .zero
        world.watch.begin(ticket, "the end of a loop (\(end))", limit: .now + patience)
        switch end {
        case .shutdown: await loop.shutdown()
        case .closeClients: await io.close()
        case .shutDownClients: io.shutdown()
        case .twice:
            async let first: Void = loop.shutdown()
            io.shutdown()
            await loop.shutdown()
            await first
        case .drop: break
        }
        world.watch.end(ticket)
        world.ledger.checked("ends of loops")
    }
}

extension World {
    /// One question for a client that may be closed any moment.
    fileprivate func echoOnce(_ question: [UInt8], _ io: AsyncIOClients, _ place: Place) async {
        let client: AsyncRedisClient
        do throws(RedisError) {
            client = try io.redis(place.id)
        } catch {
            // The clients were closed before this task came to ask.
            if error.code != .invalidEndpoint { ledger.wrong("no client for \(place.id): \(error)") }
            return
        }
        await echo(question, Call(client: client, place: place, name: "ECHO, own loop"))
    }
}
