import Glibc

/// What glibc's `malloc` says of itself.
///
/// Swift's `Glibc` does not import `malloc.h`, so the functions are looked up by name; a C library without them counts
/// nothing here, and resident memory alone is looked at.
public enum Heap {
    private typealias Trim = @convention(c) (Int) -> Int32
    private typealias Info = @convention(c) (Int32, UnsafeMutablePointer<FILE>) -> Int32

    /// Gives free memory back to the kernel.
    public static func trim() {
        guard let symbol = unsafe dlsym(nil, "malloc_trim") else { return }
        // Source: malloc_trim(3).
        let trim = unsafe unsafeBitCast(symbol, to: Trim.self)
        _ = trim(0)
    }

    /// The bytes that were given out and have not come back, of all arenas.
    public static func allocatedBytes() -> Int {
        let totals = info()
        let free = number(totals, "<total type=\"fast\"") + number(totals, "<total type=\"rest\"")
        return number(totals, "<system type=\"current\"") - free + number(totals, "<total type=\"mmap\"")
    }

    /// The XML that `malloc_info` writes, from the totals on, which follow the arenas.
    private static func info() -> Substring {
        guard let symbol = unsafe dlsym(nil, "malloc_info") else { return "" }
        // Source: malloc_info(3).
        let info = unsafe unsafeBitCast(symbol, to: Info.self)
        var text: UnsafeMutablePointer<CChar>?
        var size = 0
        // Both outlive the stream, which is closed here; the text is then ours to free.
        let xml = unsafe withUnsafeMutablePointer(to: &text) { text in
            unsafe withUnsafeMutablePointer(to: &size) { size in
                guard let stream = unsafe open_memstream(text, size) else { return "" }
                _ = unsafe info(0, stream)
                unsafe fclose(stream)
                return unsafe text.pointee.map { unsafe String(cString: $0) } ?? ""
            }
        }
        unsafe free(text)
        guard let end = xml.ranges(of: "</heap>").last?.upperBound else { return "" }
        return xml[end...]
    }

    /// The size in the element that begins so.
    private static func number(_ xml: Substring, _ head: String) -> Int {
        guard let head = xml.firstRange(of: head),
            let size = xml[head.upperBound...].firstRange(of: "size=\"")
        else { return 0 }
        return Int(xml[size.upperBound...].prefix { $0.isNumber }) ?? 0
    }
}
