import RESP

/// The aggregates around a value that is being printed, outermost first: what is left of each, on no stack but this one.
///
/// It grows with the depth, not with the number of elements.
struct Aggregates<Layout> {
    /// An aggregate whose elements are being printed.
    struct Level {
        /// Keys and values in turn, or plain elements.
        let elements: Elements
        /// Which element comes next.
        var next = 0
        /// What the printer needs to know of it.
        let layout: Layout
    }

    /// A list of elements, or the entries of a map one key and one value at a time.
    enum Elements {
        case list(RESPElements)
        case entries(RESPMap)
        case value(RESPValue)

        var count: Int {
            switch self {
            case .list(let elements): elements.count
            case .entries(let map): 2 * map.count
            case .value: 1
            }
        }

        subscript(index: Int) -> RESPValue {
            switch self {
            case .list(let elements): elements[index]
            case .entries(let map): index.isMultiple(of: 2) ? map[index / 2].key : map[index / 2].value
            case .value(let value): value
            }
        }
    }

    private var levels: [Level] = []

    /// Goes a level down.
    mutating func open(_ elements: Elements, _ layout: Layout) {
        levels.append(Level(elements: elements, layout: layout))
    }

    /// The innermost level's next element, or nil if that level is at its end and has been left.
    ///
    /// - Parameter body: called with the level, and with the element and its index, or nil and how many there were.
    mutating func next(_ body: (_ layout: Layout, _ index: Int, _ element: RESPValue?) -> Void) -> RESPValue?
    {
        guard let last = levels.indices.last else { return nil }
        let index = levels[last].next
        let elements = levels[last].elements
        let layout = levels[last].layout
        let element = index < elements.count ? elements[index] : nil
        if case nil = element { levels.removeLast() } else { levels[last].next += 1 }
        body(layout, index, element)
        return element
    }

    /// Whether every level has been left.
    var isEmpty: Bool { levels.isEmpty }
}
