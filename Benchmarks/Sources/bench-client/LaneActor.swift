import AsyncRedis

/// An actor that lives on the event loop, and runs lanes there.
actor LaneActor {
    private let loop: EventLoop

    init(on loop: EventLoop) {
        self.loop = loop
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        // The loop has its executor for as long as it lives, and is held here.
        unsafe loop.serialExecutor.asUnownedSerialExecutor()
    }

    func run(_ lane: Lane) async throws {
        var lane = lane
        try await lane.run()
    }
}
