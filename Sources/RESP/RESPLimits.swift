/// What a decoder accepts and an encoder sends.
///
/// Nothing is ever reserved because a header declared it.
public struct RESPLimits: Sendable, Hashable {
    /// How deep arrays may be nested: an array of integers is 1 deep.
    ///
    /// Default 1024.
    public var maxDepth: Int
    /// The longest bulk string, in bytes.
    ///
    /// Default 512 MiB, which is Redis's `proto-max-bulk-len`.
    public var maxBulkBytes: Int
    /// The longest simple string, error or header line, in bytes without type byte and line end.
    ///
    /// Default 64 KiB.
    public var maxLineBytes: Int
    /// The most elements of one aggregate.
    ///
    /// Default 2³²−1.
    public var maxElements: Int
    /// The most bytes of one whole reply, and of one whole command.
    ///
    /// Default 1 GiB.
    public var maxReplyBytes: Int
    /// The most words of one command.
    ///
    /// Default 1,048,576, which is Redis's own limit.
    public var maxWords: Int

    /// No limit may be larger than this; sums of two stay far from overflowing.
    private static let ceiling = 1 << 60

    /// Makes limits; each is brought into the range from 0 to 2⁶⁰.
    public init(
        maxDepth: Int = 1024,
        maxBulkBytes: Int = 512 << 20,
        maxLineBytes: Int = 64 << 10,
        maxElements: Int = 4_294_967_295,
        maxReplyBytes: Int = 1 << 30,
        maxWords: Int = 1 << 20
    ) {
        func bounded(_ value: Int) -> Int { min(max(value, 0), Self.ceiling) }
        self.maxDepth = bounded(maxDepth)
        self.maxBulkBytes = bounded(maxBulkBytes)
        self.maxLineBytes = bounded(maxLineBytes)
        self.maxElements = bounded(maxElements)
        self.maxReplyBytes = bounded(maxReplyBytes)
        self.maxWords = bounded(maxWords)
    }

    /// The defaults.
    public static let `default` = RESPLimits()
}
