import AsyncRedis

/// Whether an endpoint has all its permits, and no more than them: while the server is stopped exactly `maxInflight` and
/// `maxWaiting` commands are accepted, and the next ones are refused as overloaded.
struct PermitCheck {
    let world: World
    let harness: Harness

    private static let beyond = 5

    func run() async {
        for place in world.places where place.id != "dead" {
            var counts: [Int?] = []
            // A machine that is busy elsewhere may let deadlines pass while the commands are being made.
            while counts.count < 6, counts.last != Self.beyond { counts.append(await refusals(place)) }
            if counts.last == Self.beyond {
                world.ledger.checked("endpoints with all their permits")
            } else {
                let found = counts.map { $0.map { "\($0)" } ?? "no answer" }
                world.ledger.wrong("permits of \(place.id): \(Self.beyond) are to be refused, were \(found)")
            }
        }
    }

    /// How many are refused of five more than there is room for.
    private func refusals(_ place: Place) async -> Int? {
        guard let client = world.client(place) else { return nil }
        do throws(RedisError) {
            _ = try await client.send("PING", timeout: .seconds(2))
        } catch {
            await world.pause(.milliseconds(50))
            return nil
        }
        harness.tell("stop")
        let count = place.policy.maxInflight + place.policy.maxWaiting + Self.beyond
        let refused = await world.loop.run {
            let commands = Task(executorPreference: world.loop.taskExecutor) {
                await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<count {
                        group.addTask { await isOverloaded(client) }
                    }
                    return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
            }
            // A few turns of the loop: every command has been called.
            await world.pause(.milliseconds(20))
            commands.cancel()
            return await commands.value
        }
        harness.tell("go")
        return refused
    }

    private func isOverloaded(_ client: AsyncRedisClient) async -> Bool {
        do throws(RedisError) {
            _ = try await client.send("ECHO", "permit")
            return false
        } catch {
            return error.code == .overloaded
        }
    }
}
