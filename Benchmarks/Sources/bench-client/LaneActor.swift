/// An actor that lives on the client's event loop, and runs lanes there.
actor LaneActor {
    private let executor: any SerialExecutor

    /// - Parameter executor: the event loop's.
    init(on executor: any SerialExecutor) {
        self.executor = executor
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The executor is held here.
        unsafe executor.asUnownedSerialExecutor()
    }

    func run(_ lane: some Lane) async throws {
        var lane = lane
        try await lane.run()
    }
}
