/// One word of a command: its name, a key, a value.
///
/// Any bytes will do.
public struct RESPWord: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    enum Content: Sendable {
        case text(String)
        case bytes(ArraySlice<UInt8>)
        case signed(Int64)
        case unsigned(UInt64)
    }

    let content: Content

    /// A word of text, sent as UTF-8.
    public init(_ text: String) { content = .text(text) }
    /// A word of bytes.
    public init(_ bytes: [UInt8]) { content = .bytes(bytes[...]) }
    /// A word of bytes.
    public init(_ bytes: ArraySlice<UInt8>) { content = .bytes(bytes) }
    /// An integer in decimal.
    public init(_ integer: Int64) { content = .signed(integer) }
    /// An integer in decimal.
    public init(_ integer: UInt64) { content = .unsigned(integer) }
    /// A word of text.
    public init(stringLiteral text: String) { content = .text(text) }
    /// An integer in decimal.
    public init(integerLiteral integer: Int64) { content = .signed(integer) }

    /// The word, if it is text with fewer bytes than are worth keeping where they are.
    package var shortText: String? {
        if case .text(let text) = content, text.utf8.count < RESPLargeWord.minBytes { text } else { nil }
    }

    /// How many bytes the word has.
    var byteCount: Int {
        switch content {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .signed(let integer): decimalDigits(integer)
        case .unsigned(let integer): decimalDigits(integer)
        }
    }

    /// The word as it is, if it has so many bytes that copying them is worth avoiding.
    var large: RESPLargeWord? {
        switch content {
        case .bytes(let bytes) where bytes.count >= RESPLargeWord.minBytes: .bytes(bytes)
        case .text(let text) where text.utf8.count >= RESPLargeWord.minBytes: .text(text)
        case .bytes, .text, .signed, .unsigned: nil
        }
    }

    /// Writes the word as a bulk string.
    ///
    /// There must be room for it.
    func encode(into output: inout OutputSpan<UInt8>) {
        switch content {
        case .text(let text): output.append(bulkString: text)
        case .bytes(let bytes): output.append(bulkString: bytes.span)
        case .signed(let integer): output.appendWord(integer)
        case .unsigned(let integer): output.appendWord(integer)
        }
    }
}

/// A word with very many bytes, where its owner has them.
package enum RESPLargeWord: Sendable {
    case text(String)
    case bytes(ArraySlice<UInt8>)

    /// So many make a word large: as many as `OutputQueue` of the loop, which this module does not know.
    package static let minBytes = 16 * 1024

    var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        }
    }
}

/// What can be a word of a command: `String`, `Substring`, `[UInt8]`, the integer types, `Double`, and what you make so.
///
/// ```swift
/// extension UserID: RESPEncodable {
///     var respWord: RESPWord { RESPWord("user:\(number)") }
/// }
/// ```
public protocol RESPEncodable {
    /// The word. Asked for once for each command, before anything of the command is written.
    var respWord: RESPWord { get }
}

extension RESPWord: RESPEncodable {
    /// The word itself.
    public var respWord: RESPWord { self }
}

extension String: RESPEncodable {
    /// The text as UTF-8.
    public var respWord: RESPWord { RESPWord(self) }
}

extension Substring: RESPEncodable {
    /// The text as UTF-8.
    public var respWord: RESPWord { RESPWord(String(self)) }
}

extension Array: RESPEncodable where Element == UInt8 {
    /// The bytes.
    public var respWord: RESPWord { RESPWord(self) }
}

extension ArraySlice: RESPEncodable where Element == UInt8 {
    /// The bytes.
    public var respWord: RESPWord { RESPWord(self) }
}

extension Double: RESPEncodable {
    /// The shortest decimal that reads back as the same number; infinities as `inf` and `-inf`.
    public var respWord: RESPWord { RESPWord(description) }
}

extension RESPEncodable where Self: FixedWidthInteger & SignedInteger {
    /// The integer in decimal.
    public var respWord: RESPWord { Int64(exactly: self).map { RESPWord($0) } ?? RESPWord(String(self)) }
}

extension RESPEncodable where Self: FixedWidthInteger & UnsignedInteger {
    /// The integer in decimal.
    public var respWord: RESPWord { UInt64(exactly: self).map { RESPWord($0) } ?? RESPWord(String(self)) }
}

extension Int: RESPEncodable {}
extension Int64: RESPEncodable {}
extension Int32: RESPEncodable {}
extension Int16: RESPEncodable {}
extension Int8: RESPEncodable {}
extension UInt: RESPEncodable {}
extension UInt64: RESPEncodable {}
extension UInt32: RESPEncodable {}
extension UInt16: RESPEncodable {}
extension UInt8: RESPEncodable {}

/// How many characters an integer has in decimal, its minus sign included.
@inline(__always)
func decimalDigits<Number: FixedWidthInteger>(_ number: Number) -> Int {
    var digits = number < 0 ? 2 : 1
    var rest = number.magnitude
    // Most are lengths of words, and have one digit or two.
    if rest < 10 { return digits }
    if rest < 100 { return digits + 1 }
    while rest >= 10 {
        rest /= 10
        digits += 1
    }
    return digits
}
