import TestSupport

/// Bytes that say what they are: a tag, their own size, and a tail that follows from the two.
///
/// Whoever gets them can tell, from them alone, whose they are, and that none is missing, foreign or out of place.
enum Content {
    private static let separator = UInt8(ascii: "|")

    /// `tag|size|…`, cut to nothing that would lose the head.
    static func bytes(_ tag: String, size: Int) -> [UInt8] {
        let head = Array("\(tag)|\(size)|".utf8)
        var bytes = head
        bytes.reserveCapacity(max(size, head.count) + 8)
        var random = SplitMix64(seed: hash(head))
        while bytes.count < size {
            var word = random.next()
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        if bytes.count > max(size, head.count) { bytes.removeLast(bytes.count - max(size, head.count)) }
        return bytes
    }

    /// The tag that the bytes carry, if the rest of them is what belongs to it.
    static func tag(of bytes: [UInt8]) -> String? {
        guard let (tag, size) = head(of: bytes), Content.bytes(tag, size: size) == bytes else { return nil }
        return tag
    }

    private static func head(of bytes: [UInt8]) -> (tag: String, size: Int)? {
        // A tag has words of its own between bars: the size stands before the last bar of the head, which is the
        // fourth.
        var bars: [Int] = []
        for (index, byte) in bytes.prefix(200).enumerated() where byte == separator {
            bars.append(index)
            if bars.count == 4 { break }
        }
        guard bars.count == 4, let size = Int(String(decoding: bytes[(bars[2] + 1)..<bars[3]], as: UTF8.self))
        else { return nil }
        return (String(decoding: bytes[..<bars[2]], as: UTF8.self), size)
    }

    /// A tag of three words, so that a head always has four bars.
    static func tag(_ owner: String, _ detail: String, _ sequence: Int) -> String {
        "\(owner)|\(detail)|\(sequence)"
    }

    /// Bytes as a person can read them, cut short.
    static func excerpt(_ bytes: [UInt8]) -> String {
        let text = bytes.prefix(90).map { byte in
            (0x20..<0x7f).contains(byte) ? String(UnicodeScalar(byte)) : "."
        }
        return "\(bytes.count) bytes \"\(text.joined())\""
    }

    /// FNV-1a.
    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
