import Foundation

/// The names of this process's threads.
public func threadNames() -> [String] {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return tasks.compactMap { task in
        (try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8))?
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Whether a sanitizer watches this process: its code is many times slower then, and its memory is not its own.
public let isSanitized: Bool = {
    let names: [String] = ["__tsan_init", "__asan_init"]
    // Each name outlives its call; the null handle stands for all that is loaded.
    return names.contains { name in unsafe dlsym(nil, name) != nil }
}()

/// How many descriptors this process has open.
public func openDescriptors() -> Int {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []).count
}

/// Waits until a condition that other threads bring about holds, for ten seconds at most.
///
/// For what cannot be waited for directly, such as the kernel taking a thread off its list.
public func eventually(_ condition: () async -> Bool) async -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(10)
    var looks = 0
    while !(await condition()) {
        looks += 1
        // Tests that compute for long may have had every thread for all that time: it was then looked at once.
        if clock.now > deadline, looks > 1000 { return false }
        await Task.yield()
    }
    return true
}
