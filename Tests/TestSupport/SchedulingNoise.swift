import Foundation
import UVLoop

/// How long this machine lets a task wait whose time has come, found out beside a test that measures just that.
///
/// On a machine that others use too everybody waits for a processor now and then. A promise such as "within 20 ms" is held
/// against a measured time less this. What the measured code is late by itself does not count: a timer on a loop of the
/// meter's own says how late a task is resumed, and the kernel how long the measured loop's thread stood in line for a processor.
public final class SchedulingNoise: Sendable {
    private let loop = EventLoop(name: "noise")
    private let worst = Collected(Duration.zero)
    private let tasks: [Task<Void, Never>]
    private let thread: String
    private let waitedBefore: [String: Duration]

    private static let interval = Duration.milliseconds(1)

    /// Begins to look.
    ///
    /// - Parameter thread: the name of the measured loop's thread.
    public init(besides thread: String) {
        self.thread = thread
        waitedBefore = timesInLine(ofThreads: thread)
        tasks = [true, false].map { [loop, worst] isOnLoop in
            let watch: @concurrent @Sendable () async -> Void = {
                while !Task.isCancelled {
                    let due = ContinuousClock.now + Self.interval
                    try? await loop.sleep(for: Self.interval)
                    let lateness = ContinuousClock.now - due
                    worst.update { $0 = max($0, lateness) }
                }
            }
            return Task { if isOnLoop { await loop.run(watch) } else { await watch() } }
        }
    }

    /// Ends the watch.
    ///
    /// - Returns: the longest time that a task of the meter was late, and how long the measured thread stood in line.
    public func stop() async -> Duration {
        // Of each by itself: other tests have threads of that name, too, and end them.
        let waited = timesInLine(ofThreads: thread).reduce(Duration.zero) { sum, thread in
            sum + max(.zero, thread.value - (waitedBefore[thread.key] ?? .zero))
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        await loop.shutdown()
        return worst.value + waited
    }
}

/// How long each thread of that name has been ready to run and has not run.
///
/// Source: the kernel's `sched-stats`, "/proc/<pid>/schedstat", the second number.
private func timesInLine(ofThreads name: String) -> [String: Duration] {
    func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
    var times: [String: Duration] = [:]
    for task in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
        let path = "/proc/self/task/\(task)"
        guard text("\(path)/comm").trimmingCharacters(in: .whitespacesAndNewlines) == name else { continue }
        let numbers = text("\(path)/schedstat").split(separator: " ")
        if numbers.count > 1, let waited = Int(numbers[1]) { times[task] = .nanoseconds(waited) }
    }
    return times
}
