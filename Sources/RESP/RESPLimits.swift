/// What a decoder accepts and an encoder sends.
///
/// Nothing is ever reserved because a header declared it.
public struct RESPLimits: Sendable, Hashable {
    /// How deep aggregates may be nested: an array of integers is 1 deep, and so is an empty one.
    ///
    /// Arrays, sets, pushes, maps and attributes count; what an attribute belongs to is a level below it. Default 1024.
    public var maxDepth: Int { didSet { maxDepth = Self.bounded(maxDepth) } }
    /// The longest bulk string, bulk error or verbatim string, its format included, and the longest word of a command, in bytes.
    ///
    /// Default 512 MiB, which is Redis's `proto-max-bulk-len`.
    public var maxBulkBytes: Int { didSet { maxBulkBytes = Self.bounded(maxBulkBytes) } }
    /// The longest line, in bytes without type byte and line end: a simple string or error, a number, a header.
    ///
    /// Default 64 KiB.
    public var maxLineBytes: Int { didSet { maxLineBytes = Self.bounded(maxLineBytes) } }
    /// The most elements of one aggregate; of a map or an attribute, the most entries.
    ///
    /// Default 2³²−1.
    public var maxElements: Int { didSet { maxElements = Self.bounded(maxElements) } }
    /// The most bytes of one whole reply, and of one whole command.
    ///
    /// Default 1 GiB. As a ``RESPValue`` a reply of the worst shape, arrays in arrays of one element, takes some fifty bytes of
    /// memory for each of its own; strings of any length take little more than they are long.
    public var maxReplyBytes: Int { didSet { maxReplyBytes = Self.bounded(maxReplyBytes) } }
    /// The most words of one command.
    ///
    /// Default 1,048,576, which is Redis's own limit.
    public var maxWords: Int { didSet { maxWords = Self.bounded(maxWords) } }

    /// No limit may be larger than this; sums of two stay far from overflowing.
    private static let ceiling = 1 << 60
    private static func bounded(_ value: Int) -> Int { min(max(value, 0), ceiling) }

    /// Makes limits; each is brought into the range from 0 to 2⁶⁰.
    public init(
        maxDepth: Int = 1024,
        maxBulkBytes: Int = 512 << 20,
        maxLineBytes: Int = 64 << 10,
        maxElements: Int = 4_294_967_295,
        maxReplyBytes: Int = 1 << 30,
        maxWords: Int = 1 << 20
    ) {
        self.maxDepth = Self.bounded(maxDepth)
        self.maxBulkBytes = Self.bounded(maxBulkBytes)
        self.maxLineBytes = Self.bounded(maxLineBytes)
        self.maxElements = Self.bounded(maxElements)
        self.maxReplyBytes = Self.bounded(maxReplyBytes)
        self.maxWords = Self.bounded(maxWords)
    }

    /// As good as none.
    static let none = RESPLimits(
        maxDepth: .max,
        maxBulkBytes: .max,
        maxLineBytes: .max,
        maxElements: .max,
        maxReplyBytes: .max,
        maxWords: .max
    )

    /// The defaults.
    public static let `default` = RESPLimits()
}
