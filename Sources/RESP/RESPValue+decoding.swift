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
        case .simpleError(let range): .complete(.simpleError(Array(copying: reader.bytes(range))))
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
        switch type {
        case RESPType.set: self = .set(RESPElements(elements))
        case RESPType.push: self = .push(RESPElements(elements))
        case RESPType.map: self = .map(RESPMap(alternating: RESPElements(elements)))
        case RESPType.attribute:
            let attributes = RESPMap(alternating: RESPElements(elements.dropLast()))
            self = .attribute(RESPAttributed(attributes: attributes, value: elements.last ?? .null))
        default: self = .array(RESPElements(elements))
        }
    }

    /// Decodes the value as another type, by the rules of that type.
    ///
    /// - Parameter type: `String`, `[UInt8]`, an integer type, `Double`, `Bool`, an optional, array or dictionary of
    ///   these, a ``RESPTuple``, or a type of your own.
    /// - Returns: the decoded value.
    /// - Throws: ``RESPDecodingError`` if the value is of another type, a `String` is asked for and it is not UTF-8, or the
    ///   value is none that a server can send.
    public func decode<Value: RESPDecodable>(as type: Value.Type = Value.self) throws(RESPDecodingError)
        -> Value
    {
        let bytes: [UInt8]
        do throws(RESPEncodingError) { bytes = try encoded() } catch { throw RESPDecodingError(error.reason) }
        var reader = RESPReader(bytes.span)
        return try reader.decode(type)
    }
}

extension RESPValue.Head {
    fileprivate static func of(_ type: UInt8, _ count: Int) -> Self {
        count == 0 ? .complete(RESPValue(type: type, elements: [])) : .aggregate(type: type, count: count)
    }
}
