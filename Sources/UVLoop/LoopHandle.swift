import CUV

/// The memory of one `uv_…_t` handle: allocated before libuv sees it, freed in its close callback and nowhere else.
@safe struct LoopHandle {
    private let memory: UnsafeMutableRawPointer

    init(size: Int) {
        unsafe memory = .allocate(byteCount: size, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    }

    /// The handle as one of libuv's types.
    ///
    /// The caller names the type whose size it gave, or a base type of that.
    func `as`<Handle>(_ type: Handle.Type) -> UnsafeMutablePointer<Handle> {
        unsafe memory.assumingMemoryBound(to: type)
    }

    /// The object that the handle's callbacks are for; kept alive until the handle has closed.
    func setOwner(_ owner: AnyObject) {
        unsafe self.as(uv_handle_t.self).pointee.data = unsafe Unmanaged.passRetained(owner).toOpaque()
    }

    /// Calls `body` with the owner, in a callback.
    @inline(__always)
    static func withOwner<Owner: AnyObject>(
        _ data: UnsafeMutableRawPointer?,
        as type: Owner.Type,
        _ body: (Owner) -> Void
    ) {
        guard let data = unsafe data else { return }
        // `setOwner` put an object of that class there, which is retained until the close callback, and libuv calls that from no
        // other callback: no reference needs to be counted at each.
        unsafe Unmanaged<Owner>.fromOpaque(data)._withUnsafeGuaranteedRef { body($0) }
    }

    /// Frees a handle that libuv refused to initialise.
    func discard() {
        unsafe memory.deallocate()
    }

    /// Closes the handle.
    ///
    /// Its owner hears `handleDidClose` in a later turn, then is let go, and the memory is freed.
    func close() {
        unsafe uv_close(self.as(uv_handle_t.self)) { handle in
            guard let handle = unsafe handle else { return }
            if let data = unsafe handle.pointee.data {
                // Balances the retain in `setOwner`.
                let owner = unsafe Unmanaged<AnyObject>.fromOpaque(data).takeRetainedValue()
                (owner as? any LoopHandleOwner)?.handleDidClose()
            }
            unsafe UnsafeMutableRawPointer(handle).deallocate()
        }
    }
}

/// What owns a handle and wants to know when libuv has let go of it.
protocol LoopHandleOwner: AnyObject {
    func handleDidClose()
}

/// A pointer that is handed to another thread; whoever makes one says why that is safe.
@safe struct SendablePointer<Pointee>: @unchecked Sendable {
    // Safe: the maker of each value proves that what it points to outlives and tolerates its uses.
    let pointer: UnsafeMutablePointer<Pointee>
    init(_ pointer: UnsafeMutablePointer<Pointee>) { unsafe self.pointer = unsafe pointer }
}
