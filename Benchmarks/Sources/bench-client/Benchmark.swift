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

    /// Sends `requests` commands over all lanes and returns when each has its reply.
    private func runLanes(requests: Int, on actor: LaneActor?, into latencies: Latencies) async throws {
        let (share, remainder) = requests.quotientAndRemainder(dividingBy: arguments.concurrency)
        try await withThrowingDiscardingTaskGroup { group in
            var first = 0
            for index in 0..<arguments.concurrency {
                let end = first + share + (index < remainder ? 1 : 0)
                let recorder = latencies.recorder(for: first..<end)
                first = end
                let lane = makeLane(recorder)
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
