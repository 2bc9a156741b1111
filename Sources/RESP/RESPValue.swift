/// A reply of any shape.
///
/// Values are built, compared, hashed, printed and freed without recursion, however deep they are nested.
public enum RESPValue: Sendable {
    /// A status line, `+OK`.
    case simpleString([UInt8])
    /// An error, `-ERR …`, without the minus sign.
    ///
    /// As a whole reply the client throws it; inside an array it stands here.
    case simpleError([UInt8])
    /// A 64-bit integer, `:42`.
    case integer(Int64)
    /// A binary-safe string, `$5…`.
    case bulkString([UInt8])
    /// A list of values, `*3…`.
    case array(RESPElements)
    /// No value: `_`, and `$-1` and `*-1` of RESP2.
    case null

    /// True or false, `#t`.
    ///
    /// RESP3.
    case boolean(Bool)
    /// A floating-point number, `,1.5`.
    ///
    /// RESP3.
    case double(Double)
    /// An integer of any size in decimal, `(3492890328409238509324850943850943825024385`.
    ///
    /// RESP3.
    case bigNumber([UInt8])
    /// A binary-safe error, `!21…`.
    ///
    /// RESP3.
    case bulkError([UInt8])
    /// Text of a format of three bytes, such as `txt` or `mkd`, `=15…`.
    ///
    /// RESP3.
    case verbatimString(format: [UInt8], [UInt8])
    /// Keys with their values, `%2…`.
    ///
    /// RESP3.
    case map(RESPMap)
    /// A list of values without order, `~5…`.
    ///
    /// RESP3.
    case set(RESPElements)
    /// A message that answers no command, `>4…`.
    ///
    /// RESP3.
    case push(RESPElements)
    /// A value with attributes before it, `|1…`.
    ///
    /// RESP3.
    case attribute(RESPAttributed)

    /// A simple string from text.
    public static func simpleString(_ text: String) -> RESPValue { .simpleString(Array(text.utf8)) }
    /// An error from text.
    public static func simpleError(_ text: String) -> RESPValue { .simpleError(Array(text.utf8)) }
    /// A bulk string from text.
    public static func bulkString(_ text: String) -> RESPValue { .bulkString(Array(text.utf8)) }
    /// An array from values.
    public static func array(_ values: some Sequence<RESPValue>) -> RESPValue { .array(RESPElements(values)) }
}

extension RESPValue: Hashable {
    /// Whether both are of the same type and content.
    ///
    /// Doubles are compared by their bits, so that a value equals itself: all `nan` are equal, and 0 is not −0. Maps and
    /// sets are compared in the order they came.
    public static func == (left: RESPValue, right: RESPValue) -> Bool {
        var pending = [(left, right)]
        while let (left, right) = pending.popLast() {
            guard left.hasSameHead(as: right) else { return false }
            guard let leftStorage = left.storage, let rightStorage = right.storage,
                leftStorage !== rightStorage
            else {
                continue
            }
            guard leftStorage.elements.count == rightStorage.elements.count else { return false }
            pending.append(contentsOf: zip(leftStorage.elements, rightStorage.elements))
        }
        return true
    }

    /// Whether both are of the same type, and equal but for their elements.
    private func hasSameHead(as other: RESPValue) -> Bool {
        switch (self, other) {
        case (.simpleString(let left), .simpleString(let right)): left == right
        case (.simpleError(let left), .simpleError(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.bulkString(let left), .bulkString(let right)): left == right
        case (.null, .null): true
        case (.boolean(let left), .boolean(let right)): left == right
        case (.double(let left), .double(let right)):
            left.bitPattern == right.bitPattern || left.isNaN && right.isNaN
        case (.bigNumber(let left), .bigNumber(let right)): left == right
        case (.bulkError(let left), .bulkError(let right)): left == right
        case (.verbatimString(let leftFormat, let left), .verbatimString(let rightFormat, let right)):
            leftFormat == rightFormat && left == right
        case (.array, .array), (.map, .map), (.set, .set), (.push, .push), (.attribute, .attribute): true
        default: false
        }
    }

    /// Feeds type and content into a hasher.
    public func hash(into hasher: inout Hasher) {
        var pending = [self]
        while let value = pending.popLast() {
            hasher.combine(value.typeByte)
            switch value {
            case .simpleString(let bytes), .simpleError(let bytes), .bulkString(let bytes),
                .bigNumber(let bytes),
                .bulkError(let bytes):
                hasher.combine(bytes)
            case .verbatimString(let format, let bytes):
                hasher.combine(format)
                hasher.combine(bytes)
            case .integer(let integer): hasher.combine(integer)
            case .boolean(let boolean): hasher.combine(boolean)
            case .double(let double): hasher.combine(double.isNaN ? Double.nan.bitPattern : double.bitPattern)
            case .null: break
            case .array, .map, .set, .push, .attribute:
                let elements = value.storage?.elements ?? []
                hasher.combine(elements.count)
                pending.append(contentsOf: elements)
            }
        }
    }

    /// The byte the value begins with on the wire.
    var typeByte: UInt8 {
        switch self {
        case .simpleString: RESPType.simpleString
        case .simpleError: RESPType.error
        case .integer: RESPType.integer
        case .bulkString: RESPType.bulkString
        case .array: RESPType.array
        case .null: RESPType.null
        case .boolean: RESPType.boolean
        case .double: RESPType.double
        case .bigNumber: RESPType.bigNumber
        case .bulkError: RESPType.bulkError
        case .verbatimString: RESPType.verbatimString
        case .map: RESPType.map
        case .set: RESPType.set
        case .push: RESPType.push
        case .attribute: RESPType.attribute
        }
    }
}
