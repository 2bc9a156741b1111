// The few places of this module that move bytes without a bounds check for each of them.

extension Array {
    /// A copy of the bytes.
    @inline(__always)
    package init(copying bytes: Span<UInt8>) where Element == UInt8 {
        // The initializer copies before it returns; the span keeps the bytes until then.
        self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

extension OutputSpan<UInt8> {
    /// Appends a copy of the bytes.
    ///
    /// There must be room for them.
    @inline(__always)
    mutating func append(copying bytes: Span<UInt8>) {
        precondition(bytes.count <= freeCapacity)
        // Checked above: source and target both have `bytes.count` bytes, and neither leaves the closures.
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let from = source.baseAddress else { return }
            unsafe withUnsafeMutableBufferPointer { target, initialized in
                guard let base = target.baseAddress else { return }
                unsafe (base + initialized).update(from: from, count: source.count)
                initialized += source.count
            }
        }
    }

    /// Appends an integer in decimal.
    ///
    /// There must be room for it.
    @inline(__always)
    mutating func append<Number: FixedWidthInteger>(decimal number: Number) {
        var rest = number.magnitude
        if number < 0 { append(RESPByte.minus) }
        if rest < 10 {
            append(RESPByte.zero + UInt8(rest))
            return
        }
        // 20 digits hold any integer of 64 bits; wider ones have no conformance here.
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var first = 20
        while rest > 0 {
            first -= 1
            digits[first] = RESPByte.zero + UInt8(rest % 10)
            rest /= 10
        }
        for index in first..<20 { append(digits[index]) }
    }
}
