/// A value that belongs to its loop's thread, in a class that other threads may hold.
///
/// A stored property of a class costs a run-time check of exclusive access at each use; here the loop's thread vouches
/// for it instead, and a debug build checks that no change comes inside another.
@_spi(Driver) @safe @frozen public struct LoopBound<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // Safe to share: the value is touched on one thread at a time, its loop's, or that of whoever owns what holds it, such as a
    // batch behind a lock; and never again from inside a change of it.
    @usableFromInline let memory: UnsafeMutablePointer<Value>
    #if DEBUG
        @usableFromInline let isBeingChanged: UnsafeMutablePointer<Bool>
    #endif

    /// Puts the value where only the loop's thread may reach it.
    @inlinable
    public init(_ value: consuming Value) {
        unsafe memory = .allocate(capacity: 1)
        unsafe memory.initialize(to: value)
        #if DEBUG
            unsafe isBeingChanged = .allocate(capacity: 1)
            unsafe isBeingChanged.initialize(to: false)
        #endif
    }

    @inlinable
    deinit {
        // Whoever touched the value held this.
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
        #if DEBUG
            unsafe isBeingChanged.deallocate()
        #endif
    }

    /// The value, for the loop's thread.
    @inlinable
    public var value: Value {
        @inline(__always)
        _read {
            #if DEBUG
                unsafe precondition(!isBeingChanged.pointee, "read from inside a change of it")
            #endif
            // The pointer is valid for as long as `self` is.
            yield unsafe memory.pointee
        }
        @inline(__always)
        nonmutating _modify {
            #if DEBUG
                unsafe precondition(!isBeingChanged.pointee, "changed from inside a change of it")
                unsafe isBeingChanged.pointee = true
                defer { unsafe isBeingChanged.pointee = false }
            #endif
            yield unsafe &memory.pointee
        }
    }
}
