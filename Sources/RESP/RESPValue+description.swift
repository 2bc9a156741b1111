extension RESPValue: CustomStringConvertible {
    /// The value on one line, for a person; strings the way `redis-cli` quotes them.
    public var description: String {
        enum Piece { case value(RESPValue), text(String) }
        var text = ""
        var pending = [Piece.value(self)]
        while let piece = pending.popLast() {
            switch piece {
            case .text(let literal): text += literal
            case .value(let value):
                guard let storage = value.storage else {
                    text += value.scalarDescription
                    continue
                }
                let (opening, separators, closing) = value.brackets
                text += opening
                pending.append(.text(closing))
                let elements = storage.elements
                for index in elements.indices.reversed() {
                    pending.append(.value(elements[index]))
                    if index > 0 { pending.append(.text(value.separator(before: index, separators))) }
                }
            }
        }
        return text
    }

    /// How an aggregate is written: what opens it, what stands before each value and each key, what closes it.
    private var brackets: (opening: String, separators: (value: String, key: String), closing: String) {
        switch self {
        case .set: ("set[", (", ", ", "), "]")
        case .push: ("push[", (", ", ", "), "]")
        case .map: ("{", (": ", ", "), "}")
        case .attribute: ("|", (": ", ", "), "")
        default: ("[", (", ", ", "), "]")
        }
    }

    private func separator(before index: Int, _ separators: (value: String, key: String)) -> String {
        if case .attribute(let attributed) = self, index == attributed.elements.count - 1 { return "| " }
        return index.isMultiple(of: 2) ? separators.key : separators.value
    }

    private var scalarDescription: String {
        switch self {
        case .simpleString(let bytes): String(decoding: bytes, as: UTF8.self)
        case .error(let bytes), .bulkError(let bytes): "(error) " + String(decoding: bytes, as: UTF8.self)
        case .integer(let integer): "(integer) \(integer)"
        case .bulkString(let bytes): Self.quoted(bytes)
        case .null: "(nil)"
        case .boolean(let boolean): "(\(boolean))"
        case .double(let double): "(double) \(double)"
        case .bigNumber(let bytes): "(big number) " + String(decoding: bytes, as: UTF8.self)
        case .verbatimString(let format, let bytes):
            "(\(String(decoding: format, as: UTF8.self))) \(Self.quoted(bytes))"
        case .array, .map, .set, .push, .attribute: ""
        }
    }

    /// Text in quotes; bytes that a terminal should not see as `\xff`.
    package static func quoted(_ bytes: [UInt8]) -> String {
        var text = "\""
        let isText = String(validating: bytes, as: UTF8.self) != nil
        if isText {
            for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars { text += escaped(scalar) }
        } else {
            for byte in bytes {
                text += byte < 0x7f ? escaped(UnicodeScalar(byte)) : "\\x\(String(byte, radix: 16))"
            }
        }
        return text + "\""
    }

    private static func escaped(_ scalar: UnicodeScalar) -> String {
        switch scalar {
        case "\"", "\\": return "\\" + String(scalar)
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        default:
            if scalar.value >= 0x20, scalar.value != 0x7f { return String(scalar) }
            return scalar.value < 0x10
                ? "\\x0\(String(scalar.value, radix: 16))" : "\\x\(String(scalar.value, radix: 16))"
        }
    }
}
