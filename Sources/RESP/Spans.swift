// The few places of this module that move bytes without a bounds check for each of them.

extension Array {
    /// A copy of the bytes.
    @inline(__always)
    package init(copying bytes: Span<UInt8>) where Element == UInt8 {
        // The initializer copies before it returns; the span keeps the bytes until then.
        self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

extension String {
    /// The text of a few bytes that are all ASCII; nil of any others.
    ///
    /// It takes a fraction of what a check of any UTF-8 does, and no memory.
    @inline(__always)
    init?(shortASCII bytes: Span<UInt8>) {
        // What a `String` holds in itself. Source: `_SmallString.capacity` in the standard library, for 64-bit systems.
        guard bytes.count <= 15, bytes.areASCII else { return nil }
        // The initializer hands out room for so many bytes, and `copy` writes just them.
        self = unsafe bytes.withUnsafeBufferPointer { source in
            unsafe String(unsafeUninitializedCapacity: source.count) { target in
                if let from = source.baseAddress, let to = target.baseAddress {
                    unsafe copy(from, to, source.count)
                }
                return source.count
            }
        }
    }
}

extension Span<UInt8> {
    /// Whether none of these few bytes has its highest bit set.
    @inline(__always)
    fileprivate var areASCII: Bool {
        // Each load is of bytes of the span, which keeps them until the closure returns.
        unsafe withUnsafeBytes { bytes in
            // Two pieces, as in `copy`.
            switch bytes.count {
            case 8...16:
                let pair =
                    unsafe bytes.loadUnaligned(as: UInt64.self)
                    | bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self)
                return pair & 0x8080_8080_8080_8080 == 0
            case 4...7:
                let pair =
                    unsafe bytes.loadUnaligned(as: UInt32.self)
                    | bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self)
                return pair & 0x8080_8080 == 0
            default:
                return unsafe bytes.allSatisfy { $0 < 0x80 }
            }
        }
    }

    /// The first byte's address, as a number to be compared with another.
    var place: Int {
        // The address leaves the closure, but as a number: nothing is read there.
        unsafe withUnsafeBufferPointer { Int(bitPattern: $0.baseAddress) }
    }
}

extension OutputSpan<UInt8> {
    /// Appends a bulk string of a text's UTF-8.
    ///
    /// There must be room for it.
    @inline(__always)
    mutating func append(bulkString text: String) {
        // The bytes are read inside the closure only. It is inlined, unlike the string's span; only strings that another
        // language lent have no such storage.
        let isDone: Void? = unsafe text.utf8.withContiguousStorageIfAvailable { bytes in
            unsafe append(bulkString: bytes.span)
        }
        if isDone == nil { append(bulkString: text.utf8Span.span) }
    }

    /// Appends a bulk string of these bytes: `$`, their number, CR LF, the bytes, CR LF.
    ///
    /// There must be room for it.
    @inline(__always)
    mutating func append(bulkString bytes: Span<UInt8>) {
        let digits = decimalDigits(bytes.count)
        let size = 5 + digits + bytes.count
        precondition(size <= freeCapacity)
        // Checked above: `size` bytes are written, one behind the other, and neither memory leaves the closures.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe withUnsafeMutableBufferPointer { target, initialized in
                guard let base = target.baseAddress else { return }
                let start = unsafe base + initialized
                unsafe (start[0] = RESPType.bulkString)
                var rest = source.count
                for place in stride(from: digits, through: 1, by: -1) {
                    unsafe (start[place] = RESPByte.zero + UInt8(truncatingIfNeeded: rest % 10))
                    rest /= 10
                }
                unsafe (start[digits + 1], start[digits + 2]) = (RESPByte.cr, RESPByte.lf)
                if let from = source.baseAddress { unsafe copy(from, start + digits + 3, source.count) }
                unsafe (start[size - 2], start[size - 1]) = (RESPByte.cr, RESPByte.lf)
                initialized += size
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

/// Copies bytes; the few that most words have, without a call.
@inline(__always)
@unsafe
private func copy(_ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ count: Int) {
    let (from, to) = unsafe (UnsafeRawPointer(source), UnsafeMutableRawPointer(target))
    // Two pieces, the second of which ends where the bytes end, and may begin within the first.
    switch count {
    case 8...16:
        let last = count - 8
        unsafe to.storeBytes(of: from.loadUnaligned(as: UInt64.self), as: UInt64.self)
        unsafe (to + last).storeBytes(of: (from + last).loadUnaligned(as: UInt64.self), as: UInt64.self)
    case 4...7:
        let last = count - 4
        unsafe to.storeBytes(of: from.loadUnaligned(as: UInt32.self), as: UInt32.self)
        unsafe (to + last).storeBytes(of: (from + last).loadUnaligned(as: UInt32.self), as: UInt32.self)
    default: unsafe to.copyMemory(from: from, byteCount: count)
    }
}
