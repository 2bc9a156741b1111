/// What was measured, as the one line the program prints.
struct Report: Sendable {
    let seconds: Double
    let cpuSeconds: Double
    let requests: Int
    let p50: Double
    let p99: Double
    let peakMemory: Int

    /// Takes times in nanoseconds, at least one latency, and memory in kilobytes.
    init(wall: UInt64, cpu: UInt64, sortedLatencies: [UInt64], peakMemory: Int) {
        seconds = Double(wall) / 1e9
        cpuSeconds = Double(cpu) / 1e9
        requests = sortedLatencies.count
        p50 = Self.percentile(50, of: sortedLatencies)
        p99 = Self.percentile(99, of: sortedLatencies)
        self.peakMemory = peakMemory
    }

    var json: String {
        let fields: [(name: String, value: String)] = [
            ("seconds", Self.rounded(seconds, places: 6)),
            ("requests_per_second", Self.rounded(Double(requests) / seconds, places: 1)),
            ("cpu_seconds", Self.rounded(cpuSeconds, places: 6)),
            ("cpu_us_per_request", Self.rounded(cpuSeconds * 1e6 / Double(requests), places: 4)),
            ("p50_us", Self.rounded(p50, places: 3)),
            ("p99_us", Self.rounded(p99, places: 3)),
            ("max_rss_kb", String(peakMemory)),
        ]
        return "{" + fields.map { "\"\($0.name)\": \($0.value)" }.joined(separator: ", ") + "}"
    }

    /// The nearest-rank percentile of sorted nanoseconds, in microseconds.
    private static func percentile(_ percent: Int, of sorted: [UInt64]) -> Double {
        let rank = (sorted.count * percent + 99) / 100
        return Double(sorted[rank - 1]) / 1e3
    }

    private static func rounded(_ value: Double, places: Int) -> String {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        return String((value * scale).rounded() / scale)
    }
}
