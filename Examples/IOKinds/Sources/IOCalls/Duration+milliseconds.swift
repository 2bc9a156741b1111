@_spi(Driver) import UVLoop

extension Duration {
    /// Whole milliseconds for a C library: rounded up, so that nothing becomes none, and no more than an `Int32` holds.
    package var clampedMilliseconds: Int { Int(min(roundedUpToMilliseconds, UInt64(Int32.max))) }
}
