/// How a call ended that had a time limit, and when.
public struct TimedEnd<Failure: Error>: Sendable {
    /// What it threw; nil if it returned.
    public let error: Failure?
    /// How long after its limit that was; below zero for before.
    public let lateness: Duration

    /// Makes the end of a call that was timed in another way.
    public init(error: Failure?, lateness: Duration) {
        self.error = error
        self.lateness = lateness
    }

    /// Runs a call that has so much time.
    ///
    /// An error that is not a `Failure` stops the test.
    public static func of(within limit: Duration, _ call: () async throws -> Void) async -> TimedEnd {
        let start = ContinuousClock.now
        var failure: Failure?
        do {
            try await call()
        } catch let error as Failure {
            failure = error
        } catch {
            preconditionFailure("a call failed with something else: \(error)")
        }
        return TimedEnd(error: failure, lateness: ContinuousClock.now - start - limit)
    }
}
