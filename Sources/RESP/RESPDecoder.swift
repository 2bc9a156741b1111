/// Decodes a stream of replies, cut anywhere, into values.
///
/// ```swift
/// var decoder = RESPDecoder()
/// decoder.append(bytes)
/// while let reply = try decoder.next() { … }
/// ```
///
/// It knows nothing of sockets. Which version is spoken is given to it: RESP2 refuses RESP3's type bytes by name. Memory
/// follows the bytes given to it, never what they declare.
public struct RESPDecoder: Sendable {
    private var framer: RESPFramer
    @usableFromInline var bytes: [UInt8] = []
    /// Where the first reply that has not been returned begins in `bytes`.
    @usableFromInline var start = 0
    /// Whether the bytes turned out not to be the protocol.
    @usableFromInline var hasFailed = false
    /// Bytes that came in vain: none is kept once the decoder has failed.
    @usableFromInline var uselessBytes = 0

    /// The most room for bytes that is kept when they have been returned, so that one large reply does not hold its memory
    /// for ever.
    @usableFromInline static var keptCapacity: Int { 1 << 20 }

    #if DEBUG
        /// How many bytes the buffer has moved from one place to another; tests hold it against the bytes given.
        @usableFromInline package var bytesMoved = 0
        /// How many times a byte has been looked at in search of an end.
        package var bytesSearched: Int { framer.bytesSearched }
    #endif

    /// Makes a decoder.
    ///
    /// - Parameters:
    ///   - version: which version of the protocol is spoken.
    ///   - limits: what it accepts.
    public init(version: RESPVersion = .resp2, limits: RESPLimits = .default) {
        framer = RESPFramer(version: version, limits: limits)
    }

    /// Adds bytes from the stream.
    ///
    /// Copies them, and moves those before them once at most for each time the buffer doubles. A decoder that has failed
    /// counts them and keeps none.
    @inlinable
    public mutating func append(_ more: some Sequence<UInt8>) {
        if hasFailed {
            for _ in more { uselessBytes += 1 }
            return
        }
        // Bytes of replies already returned are dropped when they are the larger part.
        if start > bytes.count / 2 { dropReturned() }
        #if DEBUG
            let before = (place: placeOfBytes, count: bytes.count)
        #endif
        bytes.append(contentsOf: more)
        #if DEBUG
            if placeOfBytes != before.place { bytesMoved += before.count }
        #endif
    }

    /// The next complete reply.
    ///
    /// - Returns: the reply, or nil if more bytes are needed.
    /// - Throws: ``RESPProtocolError`` once the bytes are not the protocol, and from then on at every call.
    public mutating func next() throws(RESPProtocolError) -> RESPValue? {
        guard let reply = try nextReply() else { return nil }
        let value = Self.decode(bytes.span.extracting(reply))
        replyReturned()
        return value
    }

    /// The next complete reply as a type of yours, without a ``RESPValue`` in between.
    ///
    /// - Parameter type: what to decode it as: `String`, `[Int?]`, a ``RESPTuple``, a type of your own.
    /// - Returns: the value, or nil if more bytes are needed. Asked for an optional, a null is `.some(nil)`.
    /// - Throws: ``RESPDecodingError`` if the reply is of another type, an error reply among them: that reply is gone and
    ///   the next call returns the one after it. ``RESPProtocolError`` as ``next()`` does.
    public mutating func next<Value: RESPDecodable>(as type: Value.Type) throws -> Value? {
        guard let reply = try nextReply() else { return nil }
        defer { replyReturned() }
        return try Self.decode(bytes.span.extracting(reply), as: type)
    }

    /// How many bytes wait for their reply to become complete, or to be returned by ``next()``; of a decoder that has failed,
    /// every byte after the last complete reply.
    public var bufferedBytes: Int { bytes.count - start + uselessBytes }

    /// How much room the buffer has.
    package var bufferCapacity: Int { bytes.capacity }

    // MARK: Buffer

    /// Where in `bytes` the next complete reply is; it has been stepped over.
    private mutating func nextReply() throws(RESPProtocolError) -> Range<Int>? {
        let length: Int?
        // A second reference, as a span of a property would keep `self` from changing meanwhile.
        let held = bytes
        do throws(RESPProtocolError) {
            length = try framer.next(held.span.extracting(droppingFirst: start))
        } catch {
            if !hasFailed {
                hasFailed = true
                uselessBytes = bytes.count - start
                bytes = []
                start = 0
            }
            throw error
        }
        guard let length else { return nil }
        let reply = start..<(start + length)
        start = reply.upperBound
        return reply
    }

    /// Empties the buffer once nothing waits in it.
    private mutating func replyReturned() {
        guard start == bytes.count else { return }
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptCapacity)
        start = 0
    }

    @usableFromInline
    mutating func dropReturned() {
        let waiting = bytes.count - start
        #if DEBUG
            bytesMoved += waiting
        #endif
        if bytes.capacity > Self.keptCapacity, waiting <= Self.keptCapacity / 2 {
            bytes = Array(bytes[start...])
        } else {
            bytes.removeFirst(start)
        }
        start = 0
    }

    #if DEBUG
        /// The address of the bytes, only to be compared.
        @usableFromInline var placeOfBytes: Int { bytes.span.place }
    #endif

    // MARK: Values

    private static func decode(_ reply: Span<UInt8>) -> RESPValue {
        var reader = RESPReader(reply)
        guard let value = try? RESPValue(from: &reader) else {
            preconditionFailure("a reply that was framed did not decode")
        }
        return value
    }

    private static func decode<Value: RESPDecodable>(
        _ reply: Span<UInt8>,
        as type: Value.Type
    ) throws(RESPDecodingError) -> Value {
        var reader = RESPReader(reply)
        return try reader.decode(type)
    }
}
