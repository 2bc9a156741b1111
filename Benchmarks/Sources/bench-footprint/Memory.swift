import Glibc

/// What the system says of this process.
enum Memory {
    /// The bytes resident in memory now.
    static var resident: Int { get throws { try status("VmRSS:") } }

    /// The most bytes that ever were.
    static var peak: Int { get throws { try status("VmHWM:") } }

    /// Has the C library give back what is free, so that the next measurement does not see it.
    static func trim() {
        typealias Trim = @convention(c) (_ kept: Int) -> Int32
        // Swift does not import it. It has this type where there is one; elsewhere what is free is measured along.
        guard let symbol = unsafe dlsym(nil, "malloc_trim") else { return }
        _ = unsafe unsafeBitCast(symbol, to: Trim.self)(0)
    }

    /// A monotonic instant in nanoseconds.
    static var now: UInt64 {
        var time = timespec()
        // The structure is a local variable, and the call keeps no pointer.
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// A line of `/proc/self/status`, which counts in kilobytes.
    private static func status(_ name: String) throws -> Int {
        guard let file = unsafe fopen("/proc/self/status", "r") else { throw Problem("no /proc/self/status") }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        // The array keeps the line for the length of the loop's body, and ends in a zero.
        while unsafe fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                .split { $0 == " " || $0 == "\t" }
            if words.first == name[...], words.count > 1, let kilobytes = Int(words[1]) {
                return kilobytes * 1024
            }
        }
        throw Problem("no \(name) in /proc/self/status")
    }
}
