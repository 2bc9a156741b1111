import Foundation
import TestSupport
import Testing

@testable import AsyncRedis

/// Connections and their state machines in a world of their own, in every order of a few events, and in many of all.
///
/// `SIMULATION_RUNS` sets how many random runs there are, `SIMULATION_DEPTH` how long the exhaustive ones, and
/// `SIMULATION_SEED` replays one random run and prints what happened in it.
@Suite struct SimulationTests {
    private static func setting(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].map { text in
            guard let number = UInt64(text) else { fatalError("\(name)=\(text): give a number from 0") }
            return number
        }
    }

    @Test func randomOrders() async {
        let seeds =
            Self.setting("SIMULATION_SEED").map { $0...$0 } ?? 1...(Self.setting("SIMULATION_RUNS") ?? 500)
        var steps = 0
        for seed in seeds {
            var random = RandomSteps(seed: seed)
            let world = Simulation(random.setup)
            for _ in 0..<random.length where world.failure == nil { world.run(random.next(in: world)) }
            if world.failure == nil { world.finish() }
            steps += world.transcript.count
            if let failure = world.failure {
                Issue.record(
                    "SIMULATION_SEED=\(seed): \(failure)\n\(world.transcript.joined(separator: "\n"))"
                )
                break
            }
            // Others have something to do on this thread too.
            await Task.yield()
            if seeds.count == 1 { print(world.transcript.joined(separator: "\n")) }
        }
        print("simulated \(seeds.count) random runs, \(steps) steps")
    }

    /// Small alphabets from which every word of a length is tried, each from a beginning of its own.
    @Test(arguments: Alphabet.all)
    func everyOrderOfAFewEvents(_ alphabet: Alphabet) async {
        let depth = Int(Self.setting("SIMULATION_DEPTH") ?? 3)
        var words = 0
        var word = Array(repeating: 0, count: depth)
        repeat {
            let world = Simulation(alphabet.setup)
            for step in alphabet.beginning { world.run(step) }
            for index in word where world.failure == nil { world.run(alphabet.steps[index]) }
            if world.failure == nil { world.finish() }
            words += 1
            if words.isMultiple(of: 64) { await Task.yield() }
            if let failure = world.failure {
                Issue.record("\(failure)\n\(world.transcript.joined(separator: "\n"))")
                return
            }
        } while Self.advance(&word, base: alphabet.steps.count)
        print("simulated all \(words) orders of \(depth) events, \(alphabet)")
    }

    private static func advance(_ word: inout [Int], base: Int) -> Bool {
        for place in word.indices.reversed() {
            word[place] += 1
            if word[place] < base { return true }
            word[place] = 0
        }
        return false
    }
}
