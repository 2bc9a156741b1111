/// A reply of any shape.
public enum RESPValue: Hashable, Sendable {
    /// A status line, `+OK`.
    case simpleString([UInt8])
    /// An error, `-ERR …`, without the minus sign. As a whole reply the client throws it; inside an array it stands here.
    case error([UInt8])
    /// A 64-bit integer, `:42`.
    case integer(Int64)
    /// A binary-safe string, `$5…`.
    case bulkString([UInt8])
    /// A list of values, `*3…`.
    case array([RESPValue])
    /// No value, `$-1` or `*-1`.
    case null

    /// A simple string from text.
    public static func simpleString(_ text: String) -> RESPValue { .simpleString(Array(text.utf8)) }
    /// An error from text.
    public static func error(_ text: String) -> RESPValue { .error(Array(text.utf8)) }
    /// A bulk string from text.
    public static func bulkString(_ text: String) -> RESPValue { .bulkString(Array(text.utf8)) }
}

extension RESPValue: RESPDecodable {
    /// Reads a value of any shape, arrays on an explicit stack.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        /// Arrays that are not complete, outermost first.
        var open: [(elements: [RESPValue], remaining: Int)] = []
        while true {
            var value: RESPValue
            switch try reader.next() {
            case .simpleString(let range): value = .simpleString(Array(copying: reader.bytes(range)))
            case .error(let range): value = .error(Array(copying: reader.bytes(range)))
            case .integer(let integer): value = .integer(integer)
            case .bulkString(let range): value = .bulkString(Array(copying: reader.bytes(range)))
            case .null: value = .null
            case .array(count: 0): value = .array([])
            case .array(let count):
                var elements: [RESPValue] = []
                // Every element is there, in three bytes at the least: the reply has been framed whole.
                elements.reserveCapacity(count)
                open.append((elements, count))
                continue
            }
            while let last = open.indices.last {
                open[last].elements.append(value)
                open[last].remaining -= 1
                guard open[last].remaining == 0 else { break }
                value = .array(open.removeLast().elements)
            }
            if open.isEmpty {
                self = value
                return
            }
        }
    }

    /// Decodes the value as another type, by the rules of that type.
    ///
    /// - Parameter type: `String`, `[UInt8]`, an integer type, `Double`, `Bool`, an optional or array of these, or a
    ///   type of your own.
    /// - Returns: the decoded value.
    /// - Throws: ``RESPDecodingError`` if the value is of another type, or a `String` is asked for and it is not UTF-8.
    public func decode<Value: RESPDecodable>(as type: Value.Type = Value.self) throws(RESPDecodingError)
        -> Value
    {
        let bytes = encoded()
        // A value made by hand may hold what no reply can, such as a line end in a simple string.
        var framer = RESPFramer(limits: .none)
        guard (try? framer.next(bytes.span)) == bytes.count else {
            throw RESPDecodingError("the value is none that a server can send")
        }
        var reader = RESPReader(bytes.span)
        return try Value(from: &reader)
    }
}

extension RESPValue {
    /// The value's bytes on the wire.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        var pending = [self]
        while let value = pending.popLast() {
            switch value {
            case .simpleString(let text): bytes.appendLine(RESPType.simpleString, text)
            case .error(let text): bytes.appendLine(RESPType.error, text)
            case .integer(let integer): bytes.appendLine(RESPType.integer, String(integer).utf8)
            case .bulkString(let content):
                bytes.appendLine(RESPType.bulkString, String(content.count).utf8)
                bytes.append(contentsOf: content)
                bytes.append(RESPByte.cr)
                bytes.append(RESPByte.lf)
            case .array(let elements):
                bytes.appendLine(RESPType.array, String(elements.count).utf8)
                pending.append(contentsOf: elements.reversed())
            case .null: bytes.appendLine(RESPType.bulkString, "-1".utf8)
            }
        }
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func appendLine(_ type: UInt8, _ body: some Collection<UInt8>) {
        append(type)
        append(contentsOf: body)
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}

extension RESPValue: CustomStringConvertible {
    /// The value as `redis-cli` would show it, on one line.
    public var description: String {
        enum Piece { case value(RESPValue), text(String) }
        var text = ""
        var pending = [Piece.value(self)]
        while let piece = pending.popLast() {
            switch piece {
            case .text(let literal): text += literal
            case .value(.simpleString(let bytes)): text += String(decoding: bytes, as: UTF8.self)
            case .value(.error(let bytes)): text += "(error) " + String(decoding: bytes, as: UTF8.self)
            case .value(.integer(let integer)): text += "(integer) \(integer)"
            case .value(.bulkString(let bytes)): text += Self.quoted(bytes)
            case .value(.null): text += "(nil)"
            case .value(.array(let elements)):
                text += "["
                pending.append(.text("]"))
                for (index, element) in elements.enumerated().reversed() {
                    pending.append(.value(element))
                    if index > 0 { pending.append(.text(", ")) }
                }
            }
        }
        return text
    }

    /// Text in quotes; bytes that a terminal should not see as `\xff`.
    private static func quoted(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self),
            text.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
        {
            return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }
        var text = "\""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7f: text.unicodeScalars.append(UnicodeScalar(byte))
            default: text += byte < 0x10 ? "\\x0\(String(byte, radix: 16))" : "\\x\(String(byte, radix: 16))"
            }
        }
        return text + "\""
    }
}
