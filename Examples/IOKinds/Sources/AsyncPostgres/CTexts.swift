import Glibc

/// Texts as C wants them, with a NUL behind each, in memory of their own.
///
/// To make those of a large statement takes its time: that is done on its task's own side, not on the loop.
@safe final class CTexts: @unchecked Sendable {
    // Safe to share: nothing changes it once it is made; the memory is its own until `deinit`.
    /// How many texts there are.
    let count: Int
    /// How many bytes they have, without what ends them.
    let byteCount: Int
    private let bytes: UnsafeMutablePointer<UInt8>
    private let starts: UnsafeMutablePointer<UnsafePointer<CChar>?>

    /// Copies the texts; nil if there is a NUL in one of them, where C would end it.
    ///
    /// A text that is nil becomes the null pointer.
    init?(_ texts: [String?]) {
        count = texts.count
        byteCount = Self.byteCount(of: texts)
        unsafe bytes = .allocate(capacity: byteCount + texts.count)
        unsafe starts = .allocate(capacity: texts.count)
        var (end, hasNUL) = (unsafe bytes, false)
        for (index, text) in texts.enumerated() {
            unsafe (starts + index).initialize(to: nil)
            guard var text else { continue }
            // There is room for each text and the NUL behind it: they were counted.
            unsafe (starts + index).pointee = UnsafeRawPointer(end).assumingMemoryBound(to: CChar.self)
            text.withUTF8 { utf8 in
                if let start = utf8.baseAddress { unsafe end.initialize(from: start, count: utf8.count) }
                if unsafe memchr(end, 0, utf8.count) != nil { hasNUL = true }
                unsafe end += utf8.count
            }
            unsafe end.initialize(to: 0)
            unsafe end += 1
        }
        guard !hasNUL else { return nil }
    }

    deinit {
        unsafe bytes.deallocate()
        unsafe starts.deallocate()
    }

    /// How many bytes so many texts have.
    static func byteCount(of texts: [String?]) -> Int {
        texts.reduce(0) { $0 + ($1?.utf8.count ?? 0) }
    }

    /// Lends the texts to C: one pointer for each, good until `body` returns.
    func withPointers<Result>(_ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result) -> Result {
        // Kept alive while it is lent.
        withExtendedLifetime(self) { unsafe body(starts) }
    }
}
