/// The latency of every request, in one array that is allocated and touched before the measurement.
@safe
final class Latencies: @unchecked Sendable {
    // Freed in deinit. Safe to share because each lane writes a range of its own, the ranges of one phase do not
    // overlap, and the array is read only after the phase's lanes have ended.
    private let storage: UnsafeMutableBufferPointer<UInt64>

    init(count: Int) {
        unsafe storage = .allocate(capacity: count)
        unsafe storage.initialize(repeating: 1)
    }

    deinit {
        unsafe storage.deallocate()
    }

    /// A recorder that fills `range`.
    func recorder(for range: Range<Int>) -> LatencyRecorder {
        LatencyRecorder(latencies: self, range: range)
    }

    func sorted() -> [UInt64] {
        unsafe storage.sorted()
    }

    fileprivate func store(_ latency: UInt64, at index: Int) {
        // A recorder never passes the end of its range, and the ranges lie within the array.
        unsafe storage[index] = latency
    }
}

/// Records the latencies of one lane.
///
/// A lane is never idle, so the end of one request is the beginning of the next and the clock is read once for each.
struct LatencyRecorder: Sendable {
    private let latencies: Latencies
    private var next: Int
    private let end: Int
    private var sentAt: UInt64 = 0

    fileprivate init(latencies: Latencies, range: Range<Int>) {
        self.latencies = latencies
        next = range.lowerBound
        end = range.upperBound
    }

    /// Whether every request of the lane has its latency.
    var isFull: Bool { next == end }

    /// Marks the moment before the first request.
    mutating func start() {
        sentAt = Clock.now
    }

    /// Records a request that has just ended; the recorder must not be full.
    mutating func lap() {
        precondition(next < end)
        let now = Clock.now
        latencies.store(now - sentAt, at: next)
        sentAt = now
        next += 1
    }
}
