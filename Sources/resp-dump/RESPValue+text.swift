import RESP

extension RESPValue {
    /// The value for a person, laid out as `redis-cli` does, without recursion.
    var textForPerson: String {
        enum Piece {
            /// A value, and the width of what stands before it on its first line.
            case value(RESPValue, indent: Int)
            case text(String)
        }
        var text = ""
        var pending = [Piece.value(self, indent: 0)]

        /// One numbered line for each element; a line after the first is indented as far as the first one begins.
        func push(_ mark: String, _ lines: [[RESPValue]], indent: Int) {
            let width = String(lines.count).count
            for (index, line) in lines.enumerated().reversed() {
                let number = String(index + 1)
                let label = String(repeating: " ", count: width - number.count) + number + mark
                if line.count == 2 {
                    // The value begins on the key's line, wherever that ends: its own lines are indented below.
                    pending.append(.value(line[1], indent: indent + label.count + 4))
                    pending.append(.text(" => "))
                }
                pending.append(.value(line[0], indent: indent + label.count))
                pending.append(.text((index > 0 ? "\n" + String(repeating: " ", count: indent) : "") + label))
            }
        }

        while let piece = pending.popLast() {
            switch piece {
            case .text(let literal): text += literal
            case .value(.array(let elements), _) where elements.isEmpty: text += "(empty array)"
            case .value(.set(let elements), _) where elements.isEmpty: text += "(empty set)"
            case .value(.map(let entries), _) where entries.isEmpty: text += "(empty hash)"
            case .value(.push(let elements), _) where elements.isEmpty: text += "(empty push)"
            case .value(.array(let elements), let indent): push(") ", elements.map { [$0] }, indent: indent)
            case .value(.set(let elements), let indent): push("~ ", elements.map { [$0] }, indent: indent)
            case .value(.push(let elements), let indent): push("> ", elements.map { [$0] }, indent: indent)
            case .value(.map(let entries), let indent):
                push("# ", entries.map { [$0.key, $0.value] }, indent: indent)
            case .value(.attribute(let attributed), let indent):
                pending.append(.value(attributed.value, indent: indent))
                pending.append(.text("\n" + String(repeating: " ", count: indent)))
                push("| ", attributed.attributes.map { [$0.key, $0.value] }, indent: indent)
            case .value(let scalar, _): text += scalar.description
            }
        }
        return text
    }
}
