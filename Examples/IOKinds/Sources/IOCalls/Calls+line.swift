// Calls that wait, or run, in the order they came.

extension Calls {
    /// A queue that a call may leave from any place, and that is gone round in pieces; each step costs the same, however many
    /// calls there are.
    ///
    /// The calls are linked to each other: a call is in one line at a time.
    struct Line {
        private(set) var count = 0
        private(set) var first: Item?
        private var last: Item?
        /// The next one to look at; nil for the first.
        private var cursor: Item?

        var isEmpty: Bool { count == 0 }

        mutating func append(_ call: Item) {
            call.previous = last
            if let last { last.next = call } else { first = call }
            last = call
            count += 1
        }

        /// Puts a call in front of all others; it is the next to look at.
        mutating func prepend(_ call: Item) {
            rewind()
            call.next = first
            if let first { first.previous = call } else { last = call }
            first = call
            count += 1
        }

        /// Takes out a call that is in this line.
        mutating func remove(_ call: Item) {
            if cursor === call { cursor = call.next }
            if let previous = call.previous { previous.next = call.next } else { first = call.next }
            if let next = call.next { next.previous = call.previous } else { last = call.previous }
            (call.previous, call.next) = (nil, nil)
            count -= 1
        }

        mutating func popFirst() -> Item? {
            guard let first else { return nil }
            remove(first)
            return first
        }

        /// The next call to look at, with the first again behind the last; nil if there is none.
        mutating func lookAtNext() -> Item? {
            let call = cursor ?? first
            cursor = call?.next
            return call
        }

        /// The first is the next to look at.
        mutating func rewind() { cursor = nil }
    }
}
