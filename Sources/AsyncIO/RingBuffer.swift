/// A first-in first-out queue whose memory is used round and round: no element moves, no allocation once it is large enough.
@_spi(Driver) public struct RingBuffer<Element> {
    @usableFromInline var slots: [Element?] = []
    @usableFromInline var head = 0
    @usableFromInline var used = 0

    /// An empty queue that grew beyond this lets its memory go.
    @usableFromInline static var maxIdleSlots: Int { 65_536 }

    /// How many elements there are.
    @inlinable public var count: Int { used }

    /// Makes an empty queue.
    @inlinable
    public init() {}

    /// Whether there is no element.
    @inlinable
    public var isEmpty: Bool { count == 0 }

    /// Adds an element at the end.
    @inlinable
    public mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = element
        used += 1
    }

    /// Takes the first element out.
    @inlinable
    public mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head].take()
        head = (head + 1) & (slots.count - 1)
        used -= 1
        if used == 0, slots.count > Self.maxIdleSlots {
            slots = []
            head = 0
        }
        return element
    }

    /// The first element.
    @inlinable
    public var first: Element? { count > 0 ? slots[head] : nil }

    /// The element at a place counted from the first, which is 0.
    @inlinable
    public subscript(_ index: Int) -> Element {
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

    /// Takes out what `isUnwanted` says, in one pass; the rest keeps its order, and may be changed on the way.
    ///
    /// - Parameter start: the first place to look at.
    @inlinable
    public mutating func removeAll(from start: Int, where isUnwanted: (inout Element) -> Bool) {
        var kept = start
        for index in start..<count {
            var element = self[index]
            if isUnwanted(&element) { continue }
            self[kept] = element
            kept += 1
        }
        for index in kept..<count { slots[(head + index) & (slots.count - 1)] = nil }
        used = kept
    }

    /// The number of slots is a power of two, so that places are found with a mask.
    @usableFromInline
    mutating func grow() {
        var grown: [Element?] = []
        grown.reserveCapacity(max(16, slots.count * 2))
        for index in 0..<count { grown.append(slots[(head + index) & (slots.count - 1)].take()) }
        while grown.count < max(16, slots.count * 2) { grown.append(nil) }
        slots = grown
        head = 0
    }
}
