/// The elements of an array, set, push, map or attribute.
///
/// However deep values are nested, freeing them takes no deep stack: a storage that is let go takes its elements apart
/// itself, one level after the other.
final class RESPStorage: Sendable {
    // Safe to share: it is changed in `deinit` only, in this object's own and in that of the last one to hold this one, and
    // there nobody else has it. Each `unsafe` below reads it, or writes it there.
    private nonisolated(unsafe) var contents: [RESPValue]
    /// Whether any element has elements of its own.
    private let isNested: Bool

    init(_ elements: [RESPValue]) {
        unsafe contents = elements
        isNested = elements.contains { $0.storage != nil }
    }

    var elements: [RESPValue] { unsafe contents }

    /// The storage of every aggregate without elements: an empty one costs no allocation.
    static let empty = RESPStorage([])

    /// A storage of these elements.
    static func of(_ elements: [RESPValue]) -> RESPStorage {
        elements.isEmpty ? empty : RESPStorage(elements)
    }

    deinit {
        guard isNested else { return }
        var pending = unsafe contents
        unsafe contents = []
        while var value = pending.popLast() {
            guard var storage = value.storage else { continue }
            value = .null
            // Shared with somebody else: not ours to take apart.
            guard isKnownUniquelyReferenced(&storage) else { continue }
            unsafe pending.append(contentsOf: storage.contents)
            unsafe storage.contents = []
        }
    }
}

extension RESPValue {
    /// The elements, of a value that has some.
    var storage: RESPStorage? {
        switch self {
        case .array(let elements), .set(let elements), .push(let elements): elements.storage
        case .map(let entries): entries.elements.storage
        case .attribute(let attributed): attributed.elements.storage
        case .simpleString, .simpleError, .integer, .bulkString, .null, .boolean, .double, .bigNumber,
            .bulkError,
            .verbatimString:
            nil
        }
    }
}

/// The values in an array, a set or a push, in the order they came.
public struct RESPElements: RandomAccessCollection, Hashable, Sendable, ExpressibleByArrayLiteral {
    let storage: RESPStorage

    /// Makes elements from values.
    public init(_ values: some Sequence<RESPValue>) { storage = RESPStorage.of(Array(values)) }
    /// Makes elements from values.
    public init(arrayLiteral values: RESPValue...) { storage = RESPStorage.of(values) }

    /// The first place, 0.
    public var startIndex: Int { 0 }
    /// The place behind the last element.
    public var endIndex: Int { storage.elements.count }
    /// The value at a place.
    public subscript(position: Int) -> RESPValue { storage.elements[position] }

    /// Whether both hold equal values in the same order.
    public static func == (left: RESPElements, right: RESPElements) -> Bool {
        RESPValue.array(left) == RESPValue.array(right)
    }
    /// Feeds the values into a hasher.
    public func hash(into hasher: inout Hasher) { RESPValue.array(self).hash(into: &hasher) }
}

/// The entries of a map, in the order they came; a key may come twice.
public struct RESPMap: RandomAccessCollection, Hashable, Sendable, ExpressibleByDictionaryLiteral {
    /// Keys and values in turn.
    let elements: RESPElements

    init(alternating elements: RESPElements) { self.elements = elements }

    /// Makes a map from its entries.
    public init(_ entries: some Sequence<(key: RESPValue, value: RESPValue)>) {
        elements = RESPElements(entries.flatMap { [$0.key, $0.value] })
    }
    /// Makes a map from its entries.
    public init(dictionaryLiteral entries: (RESPValue, RESPValue)...) {
        elements = RESPElements(entries.flatMap { [$0.0, $0.1] })
    }

    /// The first place, 0.
    public var startIndex: Int { 0 }
    /// The place behind the last entry.
    public var endIndex: Int { elements.count / 2 }
    /// The entry at a place.
    public subscript(position: Int) -> (key: RESPValue, value: RESPValue) {
        (elements[2 * position], elements[2 * position + 1])
    }
    /// The value of the first entry with a key, attributes of either aside, or nil; looks at one entry after the other.
    ///
    /// Decoded as a dictionary, a map with a key that comes twice is an error instead.
    public subscript(key: RESPValue) -> RESPValue? {
        let key = key.withoutAttributes
        return first { $0.key.withoutAttributes == key }?.value
    }
}

/// A value and the attributes that came before it.
public struct RESPAttributed: Hashable, Sendable {
    /// The attributes as a map, and the value they belong to.
    let elements: RESPElements

    /// Makes a value with attributes.
    public init(attributes: RESPMap, value: RESPValue) {
        elements = RESPElements([.map(attributes), value])
    }

    /// The attributes.
    public var attributes: RESPMap {
        guard case .map(let attributes) = elements[0] else { return [:] }
        return attributes
    }
    /// The value they belong to.
    public var value: RESPValue { elements[1] }
}

extension RESPValue {
    /// The value itself, without the attributes before it; those inside it stay.
    public var withoutAttributes: RESPValue {
        var value = self
        while case .attribute(let attributed) = value { value = attributed.value }
        return value
    }
}
