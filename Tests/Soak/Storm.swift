import AsyncRedis
import TestSupport

/// Now and then very many commands at once, cancelled all together in the middle of it.
struct Storm {
    let world: World
    var random: SplitMix64

    mutating func run() async {
        while !world.isStopping {
            await world.pause(random.milliseconds(100...1500))
            let place = world.place(&random)
            if let client = world.client(place) { await strike(client, place) }
        }
    }

    private mutating func strike(_ client: AsyncRedisClient, _ place: Place) async {
        let world = world
        let count = random.pick(100, 500, 1500)
        let isOnLoop = Bool.random(using: &random)
        let seed = random.next()
        let tickets = (0..<count).map { _ in world.watch.ticket() }
        let storm = Task {
            await withTaskGroup(of: Void.self) { group in
                for (index, ticket) in tickets.enumerated() {
                    let executor: (any TaskExecutor)? = isOnLoop ? world.loop.taskExecutor : nil
                    group.addTask(executorPreference: executor) {
                        await world.stormEcho(client, place, ticket, seed: seed &+ UInt64(index))
                    }
                }
            }
        }
        await world.pause(random.milliseconds(0...40))
        for ticket in tickets { world.watch.cancel(ticket) }
        storm.cancel()
        await storm.value
        world.ledger.checked("storms (each ended whole)")
    }
}

extension World {
    fileprivate func stormEcho(
        _ client: AsyncRedisClient,
        _ place: Place,
        _ ticket: Watch.Ticket,
        seed: UInt64
    ) async {
        var random = SplitMix64(seed: seed)
        let size = random.oneIn(50) ? 30_000 : Int.random(in: 0...200, using: &random)
        let question = Content.bytes(Content.tag("storm", "echo", number()), size: size)
        let mood = Mood()
        let call = Call(client: client, place: place, name: "ECHO in a storm", mood: mood)
        await echo(question, call, ticket)
    }
}
