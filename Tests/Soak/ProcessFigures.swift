import Glibc
import TestSupport

/// What the process holds at a quiet moment.
struct ProcessFigures: Sendable {
    /// Memory in use, in bytes, as the kernel counts it.
    let resident: Int
    /// Memory that `malloc` has given out and not got back, in bytes.
    let allocated: Int
    /// What each open descriptor leads to.
    let descriptors: [String]
    let threads: [String]

    /// Now.
    ///
    /// - Parameter trimming: whether `malloc` is to give back to the kernel first what it can, which holds everybody up.
    static func now(trimming: Bool) -> ProcessFigures {
        if trimming { Heap.trim() }
        return ProcessFigures(
            resident: residentBytes(),
            allocated: Heap.allocatedBytes(),
            descriptors: entries(of: "/proc/self/fd").map { target(ofDescriptor: $0) }.sorted(),
            threads: entries(of: "/proc/self/task").map { name(ofThread: $0) }.sorted()
        )
    }

    var description: String {
        "resident \(Self.mebibytes(resident)), allocated \(Self.mebibytes(allocated)), descriptors \(descriptors.count), "
            + "threads \(threads.count)"
    }

    static func mebibytes(_ bytes: Int) -> String {
        let tenths = bytes * 10 / (1 << 20)
        return "\(tenths / 10).\(abs(tenths % 10)) MiB"
    }

    private static func residentBytes() -> Int {
        let fields = text(of: "/proc/self/statm").split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
    }

    private static func target(ofDescriptor number: String) -> String {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 200) { memory, count in
            // At most as many bytes as there is room for; `CChar` is a byte.
            count = unsafe memory.withMemoryRebound(to: CChar.self) { memory in
                guard let start = memory.baseAddress else { return 0 }
                return max(0, unsafe readlink("/proc/self/fd/\(number)", start, 200))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func name(ofThread id: String) -> String {
        text(of: "/proc/self/task/\(id)/comm").split(separator: "\n").first.map { String($0) } ?? "(gone)"
    }

    /// The names in a directory, without the ones that begin with a dot; the directory's own descriptor is not among them.
    private static func entries(of path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        let own = String(unsafe dirfd(directory))
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            // The name ends with a zero, inside the entry, which stays until the next call.
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), name != own { names.append(name) }
        }
        return names
    }

    private static func text(of path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { memory, count in
            // At most as many bytes as there is room for.
            count = max(0, unsafe read(descriptor, memory.baseAddress, 4096))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Prints a line at once, also into a pipe.
func say(_ line: String) {
    print(line)
    // Nil stands for every stream.
    fflush(nil)
}
