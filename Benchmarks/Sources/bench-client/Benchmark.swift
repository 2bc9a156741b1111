/// Lanes on one connection: a warm-up, then the measurement.
struct Benchmark<SomeLane: Lane>: Sendable {
    let arguments: Arguments
    /// Makes a lane that fills a recorder.
    let makeLane: @Sendable (LatencyRecorder) -> SomeLane

    /// Measures with the lanes on Swift's global executor.
    @concurrent
    func measureOnPool() async throws -> Report {
        try await measure()
    }

    /// Measures with the lanes on an actor, or on the caller's executor.
    func measure(on actor: LaneActor? = nil) async throws -> Report {
        let latencies = Latencies(count: arguments.requests)
        // A tenth of the requests, and at least one for each lane, as in bench-hiredis.
        try await runLanes(
            requests: max(arguments.requests / 10, arguments.concurrency),
            on: actor,
            into: latencies
        )

        let cpuStart = Clock.processorTime
        let start = Clock.now
        try await runLanes(requests: arguments.requests, on: actor, into: latencies)
        let wall = Clock.now - start
        let cpu = Clock.processorTime - cpuStart

        let peakMemory = Clock.peakMemory
        return Report(wall: wall, cpu: cpu, sortedLatencies: latencies.sorted(), peakMemory: peakMemory)
    }

    /// How many lanes a group has: a task that ends is looked for among those of its group, which with all lanes in one would
    /// take longer than their commands.
    private static var groupSize: Int { 250 }

    /// Sends `requests` commands over all lanes and returns when each has its reply.
    private func runLanes(requests: Int, on actor: LaneActor?, into latencies: Latencies) async throws {
        var lanes: [SomeLane] = []
        let (share, remainder) = requests.quotientAndRemainder(dividingBy: arguments.concurrency)
        var first = 0
        for index in 0..<arguments.concurrency {
            let end = first + share + (index < remainder ? 1 : 0)
            lanes.append(makeLane(latencies.recorder(for: first..<end)))
            first = end
        }
        try await withThrowingDiscardingTaskGroup { groups in
            for start in stride(from: 0, to: lanes.count, by: Self.groupSize) {
                let group = lanes[start..<min(start + Self.groupSize, lanes.count)]
                groups.addTask { try await run(group, on: actor) }
            }
        }
    }

    private func run(_ lanes: ArraySlice<SomeLane>, on actor: LaneActor?) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for lane in lanes {
                // A task for each way, so that none has room for the other.
                if let actor {
                    group.addTask { try await actor.run(lane) }
                } else {
                    group.addTask {
                        var lane = lane
                        try await lane.run()
                    }
                }
            }
        }
    }
}
