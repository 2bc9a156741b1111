/// What the bytes of one fuzzer input ask for.
///
/// | Byte | Meaning |
/// |---|---|
/// | 0 | bit 0: RESP3 is spoken; bits 1 to 3: which limits; bit 7: the rest is words to encode, not a stream to decode |
/// | 1, 2 | the seed of the random cuts |
/// | 3… | the stream |
struct FuzzInput {
    let version: RESPVersion
    let limits: RESPLimits
    let isCommand: Bool
    let stream: [UInt8]
    private let seed: UInt64

    init?(_ data: [UInt8]) {
        guard data.count >= 3 else { return nil }
        version = data[0] & 1 == 0 ? .resp2 : .resp3
        limits = Self.limits[Int(data[0] >> 1 & 7)]
        isCommand = data[0] & 0x80 != 0
        seed = UInt64(data[1]) << 8 | UInt64(data[2])
        stream = Array(data.dropFirst(3))
    }

    /// The defaults, and some that short inputs reach.
    private static let limits = [
        RESPLimits.default,
        RESPLimits(maxDepth: 3, maxElements: 7),
        RESPLimits(maxBulkBytes: 9, maxLineBytes: 5),
        RESPLimits(maxReplyBytes: 24),
        RESPLimits(maxDepth: 2, maxBulkBytes: 30, maxLineBytes: 24, maxReplyBytes: 40, maxWords: 3),
        RESPLimits(maxDepth: 16, maxElements: 100, maxWords: 100),
        RESPLimits(maxLineBytes: 6, maxReplyBytes: 8),
        RESPLimits(
            maxDepth: 1,
            maxBulkBytes: 1,
            maxLineBytes: 1,
            maxElements: 1,
            maxReplyBytes: 5,
            maxWords: 1
        ),
    ]

    enum Cuts: CaseIterable { case none, everyByte, random }

    /// The stream in pieces.
    func pieces(_ cuts: Cuts) -> [ArraySlice<UInt8>] {
        switch cuts {
        case .none: return stream.isEmpty ? [] : [stream[...]]
        case .everyByte: return stream.indices.map { stream[$0...$0] }
        case .random:
            var random = SplitMix64(state: seed)
            var pieces: [ArraySlice<UInt8>] = []
            var rest = stream[...]
            while !rest.isEmpty {
                // Short pieces and long ones, whatever the length of the stream.
                let longest = 1 << (random.next() % 9)
                let piece = rest.prefix(Int(random.next() % UInt64(longest)) + 1)
                pieces.append(piece)
                rest = rest.dropFirst(piece.count)
            }
            return pieces
        }
    }
}

/// Ends the fuzzer, which then keeps its input as a file.
func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) {
    if !condition { fatalError(otherwise()) }
}
