import AsyncRedis
import TestSupport

/// Asks the proxy for bytes that nobody asked for when nothing is in flight, and for garbage in the middle of a pipeline.
///
/// The proxy acts on the mark at the end of a reply. A well-formed reply in the middle of a pipeline is not among them:
/// nothing in RESP2 tells it from the right one.
struct Intruder {
    let world: World
    var random: SplitMix64

    mutating func run() async {
        while !world.isStopping {
            await world.pause(random.milliseconds(20...200))
            guard let client = world.client(world.marked) else { continue }
            switch Int.random(in: 0..<5, using: &random) {
            case 0: await intrude(client, "<late:reply>")
            case 1: await intrude(client, "<late:garbage>")
            case 2: await intrude(client, "<late:error>")
            case 3: await intrude(client, "<now:reply>")
            default: await pipeline(client)
            }
        }
    }

    private func call(_ client: AsyncRedisClient, _ name: String) -> Call {
        Call(client: client, place: world.marked, name: name, allowed: [.protocolViolation])
    }

    /// One command at a time: its reply comes, then something more.
    ///
    /// The connection has to end by it.
    private mutating func intrude(_ client: AsyncRedisClient, _ mark: String) async {
        let question = Array("\(Content.tag("intruder", "echo", world.number()))\(mark)".utf8)
        let call = call(client, "ECHO before an intruder")
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("ECHO", question, as: [UInt8].self, timeout: timeout)
        }
        switch result {
        case .failure:
            // The reply, and what follows it, may still come.
            return client.shutdown()
        case .success(let reply):
            guard reply == question else {
                return world.ledger.wrong("ECHO before an intruder: \(Content.excerpt(reply))")
            }
            world.ledger.checked("ECHO before an intruder")
        }
        guard await hasEnded(client) else {
            return world.ledger.wrong("a connection outlived \(mark)")
        }
        do throws(RedisError) {
            let reply = try await client.send("ECHO", "after")
            world.ledger.wrong("a connection that had ended answered \(reply)")
        } catch {
            world.ledger.ended("after \(mark): \(error.code) \(error.outcome)")
            guard error.outcome == .notSent, [.protocolViolation, .connectionLost].contains(error.code) else {
                return world.ledger.wrong("after \(mark): \(error)")
            }
        }
    }

    private func hasEnded(_ client: AsyncRedisClient) async -> Bool {
        let deadline = ContinuousClock.now + .seconds(3)
        while !client.hasEnded {
            if ContinuousClock.now > deadline { return false }
            await world.pause(.milliseconds(1))
        }
        return true
    }

    /// Many at once, with garbage behind the reply of one: those before it are answered, those behind it are not.
    private mutating func pipeline(_ client: AsyncRedisClient) async {
        let world = world
        let culprit = Int.random(in: 0..<12, using: &random)
        let isOnLoop = Bool.random(using: &random)
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<12 {
                let mark = index == culprit ? "<now:garbage>" : ""
                let question = Array("\(Content.tag("intruder", "pipe", world.number()))\(mark)".utf8)
                var call = call(client, "ECHO beside garbage")
                call.mood.isOnLoop = isOnLoop
                group.addTask { [call] in await world.echo(question, call) }
            }
        }
        // The garbage may be on its way while nothing is in flight: nobody else is to meet it.
        client.shutdown()
    }
}
