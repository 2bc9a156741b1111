/// A first-in first-out queue whose memory is used round and round: no element moves, no allocation once it is large enough.
@_spi(Driver) @safe public struct RingBuffer<Element>: ~Copyable {
    /// From `head` on, and round the end, `used` places hold elements, the others nothing.
    ///
    /// An empty queue may have no memory.
    @usableFromInline var places = unsafe UnsafeMutableBufferPointer<Element>(start: nil, count: 0)
    @usableFromInline var head = 0
    @usableFromInline var used = 0

    /// An empty queue that grew beyond this lets its memory go.
    @usableFromInline static var maxIdlePlaces: Int { 65_536 }

    /// Makes an empty queue.
    @inlinable
    public init() {}

    @inlinable
    deinit {
        // Nobody else has the memory, and what it holds is let go of first.
        for index in 0..<used { unsafe place(index).deinitialize(count: 1) }
        unsafe places.deallocate()
    }

    /// How many elements there are.
    @inlinable public var count: Int { used }
    /// How many elements there is memory for.
    package var capacity: Int { unsafe places.count }
    /// Whether there is no element.
    @inlinable public var isEmpty: Bool { used == 0 }

    /// The place of the element that comes `index` behind the first.
    ///
    /// There must be memory. How many places it has is a power of two, so that every index has one.
    @inlinable
    @inline(__always)
    func place(_ index: Int) -> UnsafeMutablePointer<Element> {
        unsafe places.baseAddress.unsafelyUnwrapped + ((head &+ index) & (places.count &- 1))
    }

    /// Adds an element at the end.
    @inlinable
    @inline(__always)
    public mutating func append(_ element: consuming Element) {
        if unsafe used == places.count { grow() }
        // There is memory now, and this place holds nothing.
        unsafe place(used).initialize(to: element)
        used &+= 1
    }

    /// Takes the first element out.
    @inlinable
    @inline(__always)
    public mutating func popFirst() -> Element? {
        guard used > 0 else { return nil }
        // It is there, and `head` leaves its place at once.
        let element = unsafe place(0).move()
        head = unsafe (head &+ 1) & (places.count &- 1)
        used &-= 1
        letGoIfIdle()
        return element
    }

    /// The first element.
    @inlinable
    public var first: Element? { used > 0 ? self[0] : nil }

    /// The element at a place counted from the first, which is 0.
    @inlinable
    public subscript(_ index: Int) -> Element {
        get {
            precondition(index >= 0 && index < used)
            return unsafe place(index).pointee
        }
        set {
            precondition(index >= 0 && index < used)
            unsafe place(index).pointee = newValue
        }
    }

    /// Takes out what `isUnwanted` says, in one pass; the rest keeps its order, and may be changed on the way.
    ///
    /// - Parameter start: the first place to look at, at most the count.
    @inlinable
    public mutating func removeAll(from start: Int, where isUnwanted: (inout Element) -> Bool) {
        precondition(start >= 0 && start <= used)
        var kept = start
        for index in start..<used {
            // Each is moved out once, and back to a place that was moved out of before.
            var element = unsafe place(index).move()
            if isUnwanted(&element) { continue }
            unsafe place(kept).initialize(to: element)
            kept += 1
        }
        used = kept
        letGoIfIdle()
    }

    @inlinable
    @inline(__always)
    mutating func letGoIfIdle() {
        if used == 0, unsafe places.count > Self.maxIdlePlaces { letGo() }
    }

    /// Frees the memory, if the queue is empty.
    public mutating func giveMemoryBack() {
        if used == 0 { letGo() }
    }

    /// Frees the memory of an empty queue.
    @usableFromInline
    mutating func letGo() {
        unsafe places.deallocate()
        unsafe places = UnsafeMutableBufferPointer(start: nil, count: 0)
        head = 0
    }

    /// A queue that is hardly used, of one of many connections, begins with few places.
    @usableFromInline
    mutating func grow() {
        let grown = unsafe UnsafeMutableBufferPointer<Element>.allocate(capacity: max(4, places.count * 2))
        for index in 0..<used { unsafe grown.initializeElement(at: index, to: place(index).move()) }
        unsafe places.deallocate()
        unsafe places = grown
        head = 0
    }
}

// Safe to share: it is never copied, and nobody else has its memory.
extension RingBuffer: @unchecked Sendable where Element: Sendable {}
