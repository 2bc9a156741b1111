public import Glibc

/// A value behind a lock.
///
/// The standard library's `Mutex` would do, but for one thing: ThreadSanitizer cannot see it on Linux, and reports every
/// access under it as a race. It knows a POSIX mutex.
@_spi(Driver) @safe public struct Locked<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // Safe to share: `value` is touched with the mutex held, and nowhere else; what goes in or comes out is `sending`, so nobody keeps a
    // part of it.
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline let value: UnsafeMutablePointer<Value>

    /// Puts the value behind a lock of its own.
    public init(_ value: consuming sending Value) {
        unsafe self.value = .allocate(capacity: 1)
        unsafe self.value.initialize(to: value)
        unsafe mutex = .allocate(capacity: 1)
        // The default attributes of an ordinary mutex; this cannot fail on Linux.
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        // Whoever holds the lock has borrowed it.
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
        unsafe value.deinitialize(count: 1)
        unsafe value.deallocate()
    }

    /// Runs `body` with the lock held.
    ///
    /// It must be short, and must not come back here.
    @inlinable
    public func withLock<Result, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try unsafe body(&value.pointee)
    }
}
