/// One value, or the head of an aggregate whose elements are the nodes after it.
///
/// Both decoders' replies are brought into lists of these, to be compared.
enum Node: Equatable {
    case string(type: UInt8, [UInt8])
    case integer(Int64)
    /// All `nan` are one.
    case double(bits: UInt64)
    case boolean(Bool)
    case null
    case aggregate(type: UInt8, count: Int)

    private static func double(_ value: Double) -> Node {
        .double(bits: (value.isNaN ? .nan : value).bitPattern)
    }

    /// A value's nodes, each aggregate before its elements.
    static func list(_ value: RESPValue) -> [Node] {
        var nodes: [Node] = []
        var pending = [value]
        while let value = pending.popLast() {
            let type = value.typeByte
            switch value {
            case .simpleString(let bytes), .simpleError(let bytes), .bulkString(let bytes),
                .bigNumber(let bytes),
                .bulkError(let bytes):
                nodes.append(.string(type: type, bytes))
            case .verbatimString(let format, let bytes):
                nodes.append(.string(type: type, format + [UInt8(ascii: ":")] + bytes))
            case .integer(let integer): nodes.append(.integer(integer))
            case .null: nodes.append(.null)
            case .boolean(let boolean): nodes.append(.boolean(boolean))
            case .double(let value): nodes.append(.double(value))
            case .array(let elements), .set(let elements), .push(let elements):
                nodes.append(.aggregate(type: type, count: elements.count))
                pending.append(contentsOf: elements.reversed())
            case .map(let map):
                nodes.append(.aggregate(type: type, count: 2 * map.count))
                for (key, value) in map.reversed() { pending += [value, key] }
            case .attribute(let attributed):
                nodes.append(.aggregate(type: type, count: 2 * attributed.attributes.count))
                pending.append(attributed.value)
                for (key, value) in attributed.attributes.reversed() { pending += [value, key] }
            }
        }
        return nodes
    }

    /// A node of hiredis's.
    init(_ node: shim_node) {
        // The shim says that so many bytes are there, until its next call.
        let bytes = unsafe Array(UnsafeBufferPointer(start: node.bytes, count: node.length))
        let type = Self.types[Int(unsafe node.type)] ?? 0
        switch type {
        case RESPType.integer: self = unsafe .integer(node.integer)
        case RESPType.double: self = unsafe .double(node.number)
        case RESPType.boolean: self = unsafe .boolean(node.integer != 0)
        case RESPType.null: self = .null
        case RESPType.array, RESPType.map, RESPType.set, RESPType.push, RESPType.attribute:
            self = unsafe .aggregate(type: type, count: Int(node.integer))
        default: self = .string(type: type, bytes)
        }
    }

    /// The first byte of each of hiredis's types.
    ///
    /// Source: the numbers in its `read.h`.
    private static let types: [Int: UInt8] = [
        1: RESPType.bulkString, 2: RESPType.array, 3: RESPType.integer, 4: RESPType.null,
        5: RESPType.simpleString,
        6: RESPType.error, 7: RESPType.double, 8: RESPType.boolean, 9: RESPType.map, 10: RESPType.set,
        11: RESPType.attribute, 12: RESPType.push, 13: RESPType.bigNumber, 14: RESPType.verbatimString,
    ]
}
