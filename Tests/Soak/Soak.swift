import AsyncRedis
import Glibc
import Synchronization
import TestSupport

/// A mixed load on faults, with every reply checked against its question.
@main
struct Soak {
    private let settings: Settings
    private let harness = Harness()
    private let ledger = Ledger()
    private let watch: Watch

    private static let workers = 20
    private static let churns = 4
    private static let storms = 2
    private static let warmUpSeconds = 6
    /// How long the last commands may take to end once nothing disturbs them: more than the longest limit of a place.
    private static let patience = Duration.seconds(20)

    static func main() async {
        let soak = Soak(Settings(Array(CommandLine.arguments.dropFirst())))
        exit(await soak.run() ? 0 : 1)
    }

    private init(_ settings: Settings) {
        self.settings = settings
        watch = Watch(allowance: settings.allowance, ledger: ledger)
    }

    /// - Returns: whether nothing was wrong.
    private func run() async -> Bool {
        say("seed \(settings.seed): it repeats the plan, not the interleaving")
        await period("warm-up", Self.warmUpSeconds, seed: ~settings.seed)
        let start = await quietFigures(like: nil)
        say("after the warm-up: \(start.description)")
        await period("soak", settings.seconds, seed: settings.seed)
        let end = await quietFigures(like: start)
        report(start, end)
        return ledger.wrongCount == 0
    }

    // MARK: A period of load

    /// A loop, clients and load of their own; nothing of it is left at the end.
    private func period(_ name: String, _ seconds: Int, seed: UInt64) async {
        let loop = EventLoop(name: "soak-loop")
        guard let world = try? World(name, settings, loop: loop, ledger: ledger, watch: watch) else {
            return ledger.wrong("the endpoints are not valid")
        }
        harness.tell("begin")
        let isDone = Flag()
        Task {
            await load(world, seed: seed)
            isDone.set()
        }
        let stalls = [
            Task { await watch.measureStalls() }, Task { await watch.measureStalls(of: loop) },
        ]
        defer { for stall in stalls { stall.cancel() } }
        await attend(world, seconds)
        world.stop()
        harness.tell("calm")
        let deadline = ContinuousClock.now + Self.patience
        while !isDone.isSet {
            guard ContinuousClock.now < deadline else { giveUp() }
            watch.look()
            await world.pause(.milliseconds(20))
        }
        if !watch.pending.isEmpty { ledger.wrong("pending with no task left: \(watch.pending)") }
        await PermitCheck(world: world, harness: harness).run()
        await world.io.close()
        await loop.shutdown()
    }

    private func load(_ world: World, seed: UInt64) async {
        var seeds = SplitMix64(seed: seed)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.workers {
                let seed = seeds.next()
                group.addTask {
                    var worker = Worker(world, seed: seed)
                    await worker.run()
                }
            }
            for _ in 0..<Self.churns {
                let churn = Churn(world: world, random: SplitMix64(seed: seeds.next()))
                group.addTask {
                    var churn = churn
                    await churn.run()
                }
            }
            for _ in 0..<Self.storms {
                let storm = Storm(world: world, random: SplitMix64(seed: seeds.next()))
                group.addTask {
                    var storm = storm
                    await storm.run()
                }
            }
            let intruder = Intruder(world: world, random: SplitMix64(seed: seeds.next()))
            group.addTask {
                var intruder = intruder
                await intruder.run()
            }
        }
    }

    /// Looks after the load: what is late is reported while it is late, and the world is told of progress.
    private func attend(_ world: World, _ seconds: Int) async {
        let begin = ContinuousClock.now
        var nextReport = Duration.seconds(10)
        while ContinuousClock.now - begin < .seconds(seconds) {
            await world.pause(.milliseconds(100))
            watch.look()
            guard ContinuousClock.now - begin > nextReport else { continue }
            say(
                "\(nextReport): \(ledger.repliesChecked) replies checked, \(ledger.wrongCount) wrong, "
                    + ProcessFigures.now(trimming: false).description
            )
            nextReport += .seconds(10)
        }
    }

    private func giveUp() -> Never {
        ledger.wrong("awaits that have not ended \(Self.patience) after the last fault:")
        for sentence in watch.pending { say("  \(sentence)") }
        say("FAILED")
        exit(1)
    }

    // MARK: The end

    /// What the process holds once the last thread of the load has gone, and what is freed late has been freed.
    private func quietFigures(like start: ProcessFigures?) async -> ProcessFigures {
        var least = ProcessFigures.now(trimming: true)
        for second in 1...10 {
            try? await Task.sleep(for: .seconds(1))
            let figures = ProcessFigures.now(trimming: true)
            let isSmaller = figures.allocated < least.allocated
            least = figures
            let isQuiet =
                !figures.threads.contains { $0.hasPrefix("soak-") }
                && figures.descriptors.count <= start?.descriptors.count ?? .max
            if second >= 2, isQuiet, !isSmaller { break }
        }
        return least
    }

    private func report(_ start: ProcessFigures, _ end: ProcessFigures) {
        if end.descriptors.count > start.descriptors.count {
            ledger.wrong("descriptors grew from \(start.descriptors) to \(end.descriptors)")
        }
        let loops = end.threads.filter { $0.hasPrefix("soak-") }
        if !loops.isEmpty { ledger.wrong("threads of loops are left: \(loops)") }
        if end.threads.count > start.threads.count + settings.maxThreadGrowth {
            ledger.wrong("threads grew from \(start.threads) to \(end.threads)")
        }
        if end.allocated > start.allocated + settings.maxAllocatedGrowth {
            ledger.wrong("allocated memory grew")
        }
        if end.resident > start.resident + settings.maxResidentGrowth {
            ledger.wrong("resident memory grew")
        }
        for line in ledger.lines() + harness.faults() { say(line) }
        say(watch.line())
        say("at the start: \(start.description)")
        say("at the end:   \(end.description)")
        let allocated = ProcessFigures.mebibytes(settings.maxAllocatedGrowth)
        let resident = ProcessFigures.mebibytes(settings.maxResidentGrowth)
        say(
            "allowed growth: allocated \(allocated), resident \(resident), threads \(settings.maxThreadGrowth), "
                + "descriptors none"
        )
        for sentence in ledger.mistakes { say("wrong: \(sentence)") }
        say("\(ledger.wrongCount == 0 ? "nothing was wrong" : "FAILED"), seed \(settings.seed)")
    }
}

/// Something that is set once, by one task for another.
final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
