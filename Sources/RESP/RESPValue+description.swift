extension RESPValue: CustomStringConvertible {
    /// The value on one line, for a person; strings in quotes, and nothing that a terminal would obey.
    public var description: String {
        enum Piece { case value(RESPValue), text(String) }
        var text = ""
        var pending = [Piece.value(self)]

        func push(_ elements: RESPElements, _ separators: (value: String, key: String)) {
            for index in elements.indices.reversed() {
                pending.append(.value(elements[index]))
                if index == 0 { continue }
                pending.append(.text(index.isMultiple(of: 2) ? separators.key : separators.value))
            }
        }

        while let piece = pending.popLast() {
            switch piece {
            case .text(let literal): text += literal
            case .value(.array(let elements)):
                text += "["
                pending.append(.text("]"))
                push(elements, (", ", ", "))
            case .value(.set(let elements)):
                text += "set["
                pending.append(.text("]"))
                push(elements, (", ", ", "))
            case .value(.push(let elements)):
                text += "push["
                pending.append(.text("]"))
                push(elements, (", ", ", "))
            case .value(.map(let map)):
                text += "{"
                pending.append(.text("}"))
                push(map.elements, (": ", ", "))
            case .value(.attribute(let attributed)):
                text += "|"
                pending.append(.value(attributed.value))
                pending.append(.text("| "))
                push(attributed.attributes.elements, (": ", ", "))
            case .value(let scalar): text += scalar.scalarDescription
            }
        }
        return text
    }

    private var scalarDescription: String {
        switch self {
        case .simpleString(let bytes): String(escaping: bytes)
        case .simpleError(let bytes), .bulkError(let bytes): "(error) " + String(escaping: bytes)
        case .integer(let integer): "(integer) \(integer)"
        case .bulkString(let bytes): Self.quoted(bytes)
        case .null: "(nil)"
        case .boolean(let boolean): "(\(boolean))"
        case .double(let double): "(double) \(double)"
        case .bigNumber(let bytes): "(big number) " + String(escaping: bytes)
        case .verbatimString(let format, let bytes): "(\(String(escaping: format))) \(Self.quoted(bytes))"
        case .array, .map, .set, .push, .attribute: ""
        }
    }

    private static func quoted(_ bytes: [UInt8]) -> String { "\"" + String(escaping: bytes) + "\"" }
}

extension RESPElements: CustomStringConvertible {
    /// The values as those of an array, on one line.
    public var description: String { RESPValue.array(self).description }
}

extension RESPMap: CustomStringConvertible {
    /// The entries on one line.
    public var description: String { RESPValue.map(self).description }
}

extension RESPAttributed: CustomStringConvertible {
    /// The attributes and the value on one line.
    public var description: String { RESPValue.attribute(self).description }
}

// Whoever reflects upon a value, as `dump` and test libraries do, would go as deep as it is nested.

extension RESPValue: CustomReflectable {
    /// A mirror without children: the description shows all there is.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension RESPElements: CustomReflectable {
    /// A mirror without children: the description shows all there is.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension RESPMap: CustomReflectable {
    /// A mirror without children: the description shows all there is.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension RESPAttributed: CustomReflectable {
    /// A mirror without children: the description shows all there is.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
