import RESP

/// A reply for a person, laid out as `redis-cli` does.
///
/// Where the two differ: control characters and marks that turn text around are escaped in simple strings, errors and
/// verbatim strings too; attributes stand before their value, as `1| key => value`; a big number is shown, `(big number) 12`.
struct TextReply: RESPDecodable {
    private let value: RESPValue
    /// The doubles in it, in order, as they were sent.
    private var doubles: [String] = []
    /// The aggregates in it, in order: whether each takes more than one line.
    private var areOnSeveralLines: [Bool] = []

    init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let before = copy reader
        value = try RESPValue(from: &reader)
        try look(through: before)
    }

    /// Finds out what the value does not tell, in one pass.
    private mutating func look(through before: borrowing RESPReader) throws(RESPDecodingError) {
        var reader = copy before
        /// The aggregates around, by their place in the list, with how many elements are to come.
        var open: [(place: Int, remaining: Int, isMap: Bool)] = []
        while !reader.isAtEnd {
            let (lines, elements): (Int, Int)
            var isMap = false
            switch try reader.next() {
            case .array(let count), .set(let count), .push(let count): (lines, elements) = (count, count)
            case .map(let count):
                (lines, elements) = (count, 2 * count)
                isMap = true
            // Attributes have lines of their own.
            case .attribute(let count): (lines, elements) = (count == 0 ? 1 : 2, 2 * count + 1)
            case .double(let range):
                doubles.append(String(escaping: Array(copying: reader.bytes(range))))
                (lines, elements) = (0, -1)
            default: (lines, elements) = (0, -1)
            }
            if elements >= 0 {
                open.append((areOnSeveralLines.count, elements, isMap))
                areOnSeveralLines.append(lines > 1)
                if elements > 0 { continue }
                open.removeLast()
            }
            while let last = open.indices.last {
                open[last].remaining -= 1
                guard open[last].remaining == 0 else { break }
                let inner = open.removeLast().place
                guard let outer = open.last, areOnSeveralLines[inner] else { continue }
                // Of a map `redis-cli` looks at the values alone: a key of several lines makes it none of several lines.
                let isKey = outer.isMap && outer.remaining.isMultiple(of: 2)
                if !isKey { areOnSeveralLines[outer.place] = true }
            }
        }
    }

    /// What stands before the elements of an aggregate.
    fileprivate struct Layout {
        enum Kind { case list, entries, attributes, attributed }

        let kind: Kind
        /// Behind the number of a line.
        var mark = ""
        /// How far lines are indented, the first aside.
        let indent: Int
        /// How wide the numbers are.
        var width = 0

        /// How far the lines of an element are indented.
        var inner: Int { kind == .attributed ? indent : indent + width + 2 }
    }

    /// Writes the reply, without recursion.
    func write(to output: inout some TextOutputStream) {
        var levels = Aggregates<Layout>()
        var double = 0
        var aggregate = 0
        var indent = 0
        var next: RESPValue? = value

        func layout(_ kind: Layout.Kind, _ mark: String, _ lines: Int) -> Layout {
            Layout(kind: kind, mark: mark, indent: indent, width: String(lines).utf8.count)
        }

        while true {
            if next?.isAggregate == true { aggregate += 1 }
            switch next {
            case .array(let elements) where !elements.isEmpty, .push(let elements) where !elements.isEmpty:
                levels.open(.list(elements), layout(.list, ") ", elements.count))
            case .set(let elements) where !elements.isEmpty:
                levels.open(.list(elements), layout(.list, "~ ", elements.count))
            case .map(let map) where !map.isEmpty:
                levels.open(.entries(map), layout(.entries, "# ", map.count))
            case .attribute(let attributed):
                let attributes = attributed.attributes
                levels.open(.value(attributed.value), Layout(kind: .attributed, indent: indent))
                if attributes.isEmpty { break }
                levels.open(.entries(attributes), layout(.attributes, "| ", attributes.count))
            case .double:
                output.write("(double) " + doubles[double])
                double += 1
            case .some(let other): output.write(other.line)
            case nil: break
            }
            if levels.isEmpty { return }
            next = levels.next { layout, index, element in
                indent = layout.inner
                let isAtEnd = if case nil = element { true } else { false }
                let isOnSeveralLines = element?.isAggregate == true && areOnSeveralLines[aggregate]
                output.write(layout.before(index, isAtEnd, isOnSeveralLines))
            }
        }
    }
}

extension TextReply.Layout {
    /// What stands before an element, or behind the last one.
    fileprivate func before(_ index: Int, _ isAtEnd: Bool, _ isOnSeveralLines: Bool) -> String {
        if isAtEnd { return kind == .attributes ? Self.newLine(indent) : "" }
        let hasKeys = kind == .entries || kind == .attributes
        if kind == .attributed { return "" }
        if hasKeys, !index.isMultiple(of: 2) {
            return isOnSeveralLines ? " => " + Self.newLine(inner) : " => "
        }
        let number = String((hasKeys ? index / 2 : index) + 1)
        let padding = String(repeating: " ", count: width - number.utf8.count)
        return (index > 0 ? Self.newLine(indent) : "") + padding + number + mark
    }

    private static func newLine(_ indent: Int) -> String { "\n" + String(repeating: " ", count: indent) }
}

extension RESPDecoder {
    /// The next reply, which is a `TextReply` whatever it is.
    mutating func nextText() throws(RESPProtocolError) -> TextReply? {
        do { return try next(as: TextReply.self) } catch let error as RESPProtocolError { throw error } catch
        {
            preconditionFailure("a reply of any shape did not decode: \(error)")
        }
    }
}

extension RESPValue {
    fileprivate var isAggregate: Bool {
        switch self {
        case .array, .set, .push, .map, .attribute: true
        default: false
        }
    }

    /// A value without elements, on one line but for a verbatim string's own.
    fileprivate var line: String {
        switch self {
        case .simpleString(let bytes): String(escaping: bytes, except: "\"\\")
        case .simpleError(let bytes), .bulkError(let bytes):
            "(error) " + String(escaping: bytes, except: "\"\\")
        case .verbatimString(_, let bytes): String(escaping: bytes, except: "\"\\\n\t")
        case .bulkString(let bytes): Self.quoted(bytes)
        case .array: "(empty array)"
        case .set: "(empty set)"
        case .map: "(empty hash)"
        case .push: "(empty push)"
        case .integer, .null, .boolean, .double, .bigNumber, .attribute: description
        }
    }

    /// Bytes in quotes, in ASCII alone.
    private static func quoted(_ bytes: [UInt8]) -> String {
        var text = "\""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
            case UInt8(ascii: "\n"): text += "\\n"
            case UInt8(ascii: "\r"): text += "\\r"
            case UInt8(ascii: "\t"): text += "\\t"
            case 0x07: text += "\\a"
            case 0x08: text += "\\b"
            case 0x20..<0x7f: text.unicodeScalars.append(UnicodeScalar(byte))
            default: text += "\\x" + String(hex: byte, digits: 2)
            }
        }
        return text + "\""
    }
}
