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
    /// It takes a fraction of what a check of any UTF-8 does, and on a 64-bit system no memory.
    @inline(__always)
    init?(shortASCII bytes: Span<UInt8>) {
        // What a `String` holds in itself. Source: `_SmallString.capacity` in the standard library, for 64-bit systems.
        let most = 15
        guard bytes.count <= most else { return nil }
        let (low, high) = bytes.upTo16
        guard (low | high) & 0x8080_8080_8080_8080 == 0 else { return nil }
        // The initializer hands out room for `most` bytes, of which so many are kept, all of them written.
        self = unsafe String(unsafeUninitializedCapacity: most) { target in
            guard let first = target.baseAddress else { return 0 }
            let base = UnsafeMutableRawPointer(first)
            // In few stores, and as wide as what the string is read with: a processor waits for those that are not.
            if bytes.count > 8 {
                unsafe (base + 7).storeBytes(of: (low >> 56 | high << 8).littleEndian, as: UInt64.self)
            }
            unsafe base.storeBytes(of: low.littleEndian, as: UInt64.self)
            return bytes.count
        }
    }
}

extension Span<UInt8> {
    /// These bytes, of which there are 16 at the most, as two numbers: the first byte is the lowest of the first, and those that
    /// are not there are zero.
    @inline(__always)
    fileprivate var upTo16: (UInt64, UInt64) {
        // Each load is of bytes of the span, which keeps them until the closure returns.
        unsafe withUnsafeBytes { bytes in
            // Two pieces, the second of which ends where the bytes end, and may begin within the first.
            switch bytes.count {
            case 8...16:
                let last = unsafe UInt64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self)
                )
                let first = unsafe UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
                return (first, last >> UInt64(8 * (16 - bytes.count)))
            case 4...7:
                let last = unsafe UInt32(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self)
                )
                let first = unsafe UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
                return (UInt64(first) | UInt64(last) << UInt64(8 * (bytes.count - 4)), 0)
            case 1...3:
                // The first, the middle and the last, of which some may be the same.
                let (middle, last) = (bytes.count / 2, bytes.count - 1)
                return unsafe (
                    UInt64(bytes[0]) | UInt64(bytes[middle]) << UInt64(8 * middle) | UInt64(bytes[last])
                        << UInt64(8 * last), 0
                )
            default: return (0, 0)
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
            if bytes.count < 100 {
                unsafe append(shortBulkString: bytes)
            } else {
                unsafe append(bulkString: bytes.span)
            }
        }
        if isDone == nil { append(bulkString: text.utf8Span.span) }
    }

    /// Appends a bulk string of less than a hundred bytes, as most words are.
    ///
    /// There must be room for it.
    @inline(__always)
    @unsafe
    private mutating func append(shortBulkString bytes: UnsafeBufferPointer<UInt8>) {
        let hasTwoDigits = bytes.count > 9
        let headSize = hasTwoDigits ? 5 : 4
        // A bug of ours only, here and below: room is made for as many bytes as a command says that it has.
        precondition(headSize + bytes.count + 2 <= freeCapacity)
        // Checked above: so many bytes are written, one behind the other, and the memory does not leave the closure.
        unsafe withUnsafeMutableBufferPointer { target, initialized in
            guard let base = target.baseAddress else { return }
            let start = unsafe base + initialized
            if hasTwoDigits {
                let tens = bytes.count / 10
                unsafe store(UInt32(head: RESPType.bulkString, tens, bytes.count - 10 * tens), start)
                unsafe (start[4] = RESPByte.lf)
            } else {
                unsafe store(UInt32(head: RESPType.bulkString, bytes.count), start)
            }
            if let from = bytes.baseAddress { unsafe copy(from, start + headSize, bytes.count) }
            unsafe store(UInt16.lineEnd, start + headSize + bytes.count)
            initialized += headSize + bytes.count + 2
        }
    }

    /// Appends a bulk string of these bytes: `$`, their number, CR LF, the bytes, CR LF.
    ///
    /// There must be room for it.
    mutating func append(bulkString bytes: Span<UInt8>) {
        append(head: RESPType.bulkString, bytes.count)
        precondition(bytes.count + 2 <= freeCapacity)
        // Checked above; neither memory leaves the closures.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe withUnsafeMutableBufferPointer { target, initialized in
                guard let base = target.baseAddress else { return }
                let start = unsafe base + initialized
                if let from = source.baseAddress { unsafe copy(from, start, source.count) }
                unsafe store(UInt16.lineEnd, start + source.count)
                initialized += source.count + 2
            }
        }
    }

    /// Appends bytes that are known to the compiler.
    ///
    /// There must be room for them.
    @inline(__always)
    mutating func append(text: StaticString) {
        let count = text.utf8CodeUnitCount
        precondition(count <= freeCapacity)
        // Checked above; a literal's bytes are there for ever.
        unsafe withUnsafeMutableBufferPointer { target, initialized in
            guard let base = target.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(base + initialized).copyMemory(
                from: text.utf8Start,
                byteCount: count
            )
            initialized += count
        }
    }

    /// Appends a head: a type byte, a number, CR LF.
    ///
    /// There must be room for it.
    @inline(__always)
    mutating func append(head type: UInt8, _ number: Int) {
        guard number >= 0, number < 10, freeCapacity >= 4 else {
            append(type)
            append(decimal: number)
            return appendLineEnd()
        }
        // There is room for the four bytes, as was just asked.
        unsafe withUnsafeMutableBufferPointer { target, initialized in
            guard let base = target.baseAddress else { return }
            unsafe store(UInt32(head: type, number), base + initialized)
            initialized += 4
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

extension UInt16 {
    /// CR LF, the lowest byte first.
    fileprivate static var lineEnd: UInt16 {
        @inline(__always) get { UInt16(RESPByte.lf) << 8 | UInt16(RESPByte.cr) }
    }
}

extension UInt32 {
    /// A type byte, one digit, CR LF, the lowest byte first.
    @inline(__always)
    fileprivate init(head type: UInt8, _ digit: Int) {
        self =
            UInt32(UInt16.lineEnd) << 16 | UInt32(RESPByte.zero + UInt8(truncatingIfNeeded: digit)) << 8
            | UInt32(type)
    }

    /// A type byte, two digits and CR, the lowest byte first.
    @inline(__always)
    fileprivate init(head type: UInt8, _ tens: Int, _ ones: Int) {
        let digits =
            UInt32(RESPByte.zero + UInt8(truncatingIfNeeded: ones)) << 8
            | UInt32(RESPByte.zero + UInt8(truncatingIfNeeded: tens))
        self = UInt32(RESPByte.cr) << 24 | digits << 8 | UInt32(type)
    }
}

/// Writes the bytes of a number, the lowest first; there must be room for them.
@inline(__always)
@unsafe
private func store<Bytes: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: Bytes,
    _ target: UnsafeMutablePointer<UInt8>
) {
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: bytes.littleEndian, as: Bytes.self)
}

/// Copies bytes; the few that most words have, without a call.
///
/// There must be so many at both places, which do not overlap.
@inline(__always)
@unsafe
private func copy(_ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, _ count: Int) {
    let (from, to) = unsafe (UnsafeRawPointer(source), UnsafeMutableRawPointer(target))
    switch count {
    case 0...7: unsafe copyFew(from, to, count)
    case 8...15:
        // A short string is in two registers, and has just been stored in two halves: a load across both would wait for them.
        unsafe to.storeBytes(of: from.loadUnaligned(as: UInt64.self), as: UInt64.self)
        unsafe copyFew(from + 8, to + 8, count - 8)
    default: unsafe to.copyMemory(from: from, byteCount: count)
    }
}

/// Does so with less than eight bytes, in two pieces of which the second ends where the bytes end, and may begin within the first.
@inline(__always)
@unsafe
private func copyFew(_ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int) {
    switch count {
    case 4...7:
        let last = count - 4
        unsafe to.storeBytes(of: from.loadUnaligned(as: UInt32.self), as: UInt32.self)
        unsafe (to + last).storeBytes(of: (from + last).loadUnaligned(as: UInt32.self), as: UInt32.self)
    case 2...3:
        let last = count - 2
        unsafe to.storeBytes(of: from.loadUnaligned(as: UInt16.self), as: UInt16.self)
        unsafe (to + last).storeBytes(of: (from + last).loadUnaligned(as: UInt16.self), as: UInt16.self)
    case 1: unsafe to.storeBytes(of: from.load(as: UInt8.self), as: UInt8.self)
    default: break
    }
}
