import AsyncRedis
import TestSupport

/// A task of the load: one command after the other, each with a question that its reply has to carry.
struct Worker {
    let world: World
    let name: String
    var random: SplitMix64
    var register: Register
    var hash: Register
    var counter: Counter
    var list: StoredList?

    init(_ world: World, seed: UInt64) {
        self.world = world
        random = SplitMix64(seed: seed)
        let name = "\(world.name).w\(world.number())"
        register = Register(key: "\(name).r0")
        hash = Register(key: "\(name).h0")
        counter = Counter(key: "\(name).c0")
        self.name = name
    }

    /// Until the world stops.
    mutating func run() async {
        while !world.isStopping {
            await step()
            if random.oneIn(2) { await world.pause(random.milliseconds(0...4)) }
            // Nobody is to hammer a server that refuses to connect.
            if random.oneIn(8) { await Task.yield() }
        }
    }

    private mutating func step() async {
        let place = world.place(&random)
        guard let client = world.client(place) else { return }
        let call = Call(client: client, place: place, name: "", mood: .any(&random))
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<22: await echo(call)
        case 22..<34: await write(call)
        case 34..<50: await read(call)
        case 50..<56: await writeHash(call)
        case 56..<66: await readHash(call)
        case 66..<74: await range(call)
        case 74..<80: await wrongType(call)
        case 80..<88: await script(call)
        case 88..<94: await increment(call)
        case 94..<96: await refusedBlocking(call)
        default: await burst(call)
        }
    }

    /// A size: mostly small, now and then of a few megabytes.
    mutating func size() -> Int {
        switch Int.random(in: 0..<200, using: &random) {
        case 0: Int.random(in: 0...4_000_000, using: &random)
        case 1..<6: Int.random(in: 0...300_000, using: &random)
        case 6..<40: Int.random(in: 0...20_000, using: &random)
        default: Int.random(in: 0...300, using: &random)
        }
    }

    /// Books whether a reply was the right one.
    func check(_ isRight: Bool, _ call: Call, _ found: @autoclosure () -> String) {
        if isRight {
            world.ledger.checked(call.name)
        } else {
            world.ledger.wrong("\(call.name) on \(call.place.id): \(found()), \(call.mood)")
        }
    }
}

extension Call {
    /// The same call under a command's name.
    func named(_ name: String, allowing codes: Set<RedisError.Code> = []) -> Call {
        var call = self
        call.name = name
        call.allowed = codes
        return call
    }
}
