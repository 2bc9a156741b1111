#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What the operating system says of time and memory.
enum Clock {
    /// A monotonic instant, in nanoseconds.
    static var now: UInt64 { nanoseconds(of: CLOCK_MONOTONIC) }

    /// The process's CPU time, user and system, over all threads, in nanoseconds.
    static var processorTime: UInt64 { nanoseconds(of: CLOCK_PROCESS_CPUTIME_ID) }

    /// The most memory the process has had resident, in kilobytes.
    static var peakMemory: Int {
        var usage = rusage()
        // The structure is a local variable, and the call keeps no pointer.
        #if canImport(Darwin)
            _ = unsafe getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss / 1024
        #else
            _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss
        #endif
    }

    private static func nanoseconds(of clock: clockid_t) -> UInt64 {
        var time = timespec()
        // The structure is a local variable, and the call keeps no pointer.
        _ = unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
