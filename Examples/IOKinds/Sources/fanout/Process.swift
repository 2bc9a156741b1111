import Glibc

/// The value of an environment variable, or nil if it is not set.
func environment(_ name: String) -> String? {
    // Nothing here changes the environment while the value is copied.
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

/// How many threads this process has: Linux lists each as a directory.
func threadCount() -> Int {
    guard let tasks = unsafe opendir("/proc/self/task") else { return 0 }
    defer { unsafe closedir(tasks) }
    var count = 0
    while let entry = unsafe readdir(tasks) {
        // A name is a number; "." and ".." are not threads.
        if unsafe entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { count += 1 }
    }
    return count
}

/// Ends the program with a sentence.
func fail(_ sentence: String) -> Never {
    print(sentence)
    exit(1)
}
