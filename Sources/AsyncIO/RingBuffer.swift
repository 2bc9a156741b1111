/// A first-in first-out queue whose memory is used round and round: no element moves, no allocation once it is large enough.
package struct RingBuffer<Element> {
    private var slots: [Element?] = []
    private var head = 0
    package private(set) var count = 0

    package init() {}

    package var isEmpty: Bool { count == 0 }

    /// Adds an element at the end.
    @inline(__always)
    package mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = element
        count += 1
    }

    /// Takes the first element out.
    @inline(__always)
    package mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head].take()
        head = (head + 1) & (slots.count - 1)
        count -= 1
        return element
    }

    package var first: Element? { count > 0 ? slots[head] : nil }

    /// The element at a place counted from the first, which is 0.
    package subscript(_ index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            guard let element = slots[(head + index) & (slots.count - 1)] else {
                preconditionFailure("a hole in the ring")
            }
            return element
        }
        set {
            precondition(index >= 0 && index < count)
            slots[(head + index) & (slots.count - 1)] = newValue
        }
    }

    /// Takes an element out of the middle; the ones behind it move up.
    package mutating func remove(at index: Int) -> Element {
        let element = self[index]
        for later in index..<(count - 1) { self[later] = self[later + 1] }
        count -= 1
        slots[(head + count) & (slots.count - 1)] = nil
        return element
    }

    /// The number of slots is a power of two, so that places are found with a mask.
    private mutating func grow() {
        var grown: [Element?] = []
        grown.reserveCapacity(max(16, slots.count * 2))
        for index in 0..<count { grown.append(slots[(head + index) & (slots.count - 1)].take()) }
        while grown.count < max(16, slots.count * 2) { grown.append(nil) }
        slots = grown
        head = 0
    }
}
