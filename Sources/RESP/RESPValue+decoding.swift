extension RESPValue: RESPDecodable {
    /// An aggregate whose elements are not all there yet.
    private struct Open {
        let type: UInt8
        var elements: [RESPValue] = []
        /// How many elements are to come.
        var remaining: Int
    }

    /// Reads a value of any shape, aggregates on an explicit stack.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        /// Outermost first.
        var open: [Open] = []
        while true {
            var value: RESPValue
            switch try Self.head(&reader) {
            case .complete(let complete):
                value = complete
            case .aggregate(let type, let count):
                var aggregate = Open(type: type, remaining: count)
                // Every element is there, in three bytes at the least: the reply has been framed whole.
                aggregate.elements.reserveCapacity(count)
                open.append(aggregate)
                continue
            }
            while let last = open.indices.last {
                open[last].elements.append(value)
                open[last].remaining -= 1
                guard open[last].remaining == 0 else { break }
                let whole = open.removeLast()
                value = RESPValue(type: whole.type, elements: whole.elements)
            }
            if open.isEmpty {
                self = value
                return
            }
        }
    }

    fileprivate enum Head {
        case complete(RESPValue)
        /// At least one element follows.
        case aggregate(type: UInt8, count: Int)
    }

    private static func head(_ reader: inout RESPReader) throws(RESPDecodingError) -> Head {
        switch try reader.next() {
        case .simpleString(let range): .complete(.simpleString(Array(copying: reader.bytes(range))))
        case .error(let range): .complete(.error(Array(copying: reader.bytes(range))))
        case .integer(let integer): .complete(.integer(integer))
        case .bulkString(let range): .complete(.bulkString(Array(copying: reader.bytes(range))))
        case .null: .complete(.null)
        case .boolean(let boolean): .complete(.boolean(boolean))
        case .double(let range): .complete(.double(reader.double(range)))
        case .bigNumber(let range): .complete(.bigNumber(Array(copying: reader.bytes(range))))
        case .bulkError(let range): .complete(.bulkError(Array(copying: reader.bytes(range))))
        case .verbatimString(let range):
            .complete(
                .verbatimString(
                    format: Array(copying: reader.bytes(range.lowerBound..<(range.lowerBound + 3))),
                    Array(copying: reader.bytes((range.lowerBound + 4)..<range.upperBound))
                )
            )
        case .array(let count): .of(RESPType.array, count)
        case .set(let count): .of(RESPType.set, count)
        case .push(let count): .of(RESPType.push, count)
        case .map(let count): .of(RESPType.map, 2 * count)
        case .attribute(let count): .of(RESPType.attribute, 2 * count + 1)
        }
    }

    /// Makes an aggregate of a type from its elements.
    fileprivate init(type: UInt8, elements: [RESPValue]) {
        let elements = RESPElements(elements)
        switch type {
        case RESPType.set: self = .set(elements)
        case RESPType.push: self = .push(elements)
        case RESPType.map: self = .map(RESPMap(alternating: elements))
        case RESPType.attribute: self = .attribute(RESPAttributed(entriesAndValue: elements))
        default: self = .array(elements)
        }
    }

    /// Decodes the value as another type, by the rules of that type.
    ///
    /// - Parameter type: `String`, `[UInt8]`, an integer type, `Double`, `Bool`, an optional, array or dictionary of
    ///   these, a ``RESPTuple``, or a type of your own.
    /// - Returns: the decoded value.
    /// - Throws: ``RESPDecodingError`` if the value is of another type, or a `String` is asked for and it is not UTF-8.
    public func decode<Value: RESPDecodable>(as type: Value.Type = Value.self) throws(RESPDecodingError)
        -> Value
    {
        let bytes = encoded()
        // A value made by hand may hold what no reply can, such as a line end in a simple string.
        var framer = RESPFramer(version: .resp3, limits: .none)
        guard (try? framer.next(bytes.span)) == bytes.count else {
            throw RESPDecodingError("the value is none that a server can send")
        }
        var reader = RESPReader(bytes.span)
        return try Value(from: &reader)
    }
}

extension RESPValue.Head {
    fileprivate static func of(_ type: UInt8, _ count: Int) -> Self {
        count == 0 ? .complete(RESPValue(type: type, elements: [])) : .aggregate(type: type, count: count)
    }
}

extension RESPValue {
    /// The value's bytes on the wire.
    ///
    /// Null is sent as RESP2's `$-1`, which both versions know; doubles as the shortest decimal that reads back the same.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        var pending = [self]
        while let value = pending.popLast() {
            let type = value.typeByte
            switch value {
            case .simpleString(let text), .error(let text), .bigNumber(let text): bytes.appendLine(type, text)
            case .integer(let integer): bytes.appendLine(type, String(integer).utf8)
            case .bulkString(let content), .bulkError(let content): bytes.appendBulk(type, content)
            case .verbatimString(let format, let content):
                bytes.appendBulk(type, format + [UInt8(ascii: ":")] + content)
            case .null: bytes.appendLine(RESPType.bulkString, "-1".utf8)
            case .boolean(let boolean): bytes.appendLine(type, [boolean ? RESPByte.t : RESPByte.f])
            case .double(let double): bytes.appendLine(type, double.description.utf8)
            case .array(let elements), .set(let elements), .push(let elements):
                bytes.appendLine(type, String(elements.count).utf8)
                pending.append(contentsOf: elements.reversed())
            case .map(let map):
                bytes.appendLine(type, String(map.count).utf8)
                pending.append(contentsOf: map.elements.reversed())
            case .attribute(let attributed):
                bytes.appendLine(type, String(attributed.elements.count / 2).utf8)
                pending.append(contentsOf: attributed.elements.reversed())
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

    fileprivate mutating func appendBulk(_ type: UInt8, _ content: [UInt8]) {
        appendLine(type, String(content.count).utf8)
        append(contentsOf: content)
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}
