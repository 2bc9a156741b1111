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

    /// Makes a decoder.
    ///
    /// - Parameters:
    ///   - version: which version of the protocol is spoken.
    ///   - limits: what it accepts.
    public init(version: RESPVersion = .resp2, limits: RESPLimits = .default) {
        framer = RESPFramer(version: version, limits: limits)
    }

    /// Adds bytes from the stream.
    @inlinable
    public mutating func append(_ more: some Sequence<UInt8>) {
        // Bytes of replies already returned are dropped when they are the larger part: each byte moves once at most
        // for each time the buffer doubles.
        if start > bytes.count / 2 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: more)
    }

    /// The next complete reply.
    ///
    /// - Returns: the reply, or nil if more bytes are needed.
    /// - Throws: ``RESPProtocolError`` once the bytes are not the protocol, and from then on at every call.
    public mutating func next() throws(RESPProtocolError) -> RESPValue? {
        let bytes = bytes
        guard let length = try framer.next(bytes.span.extracting(droppingFirst: start)) else { return nil }
        let reply = start..<(start + length)
        start = reply.upperBound
        return Self.decode(bytes.span.extracting(reply))
    }

    private static func decode(_ reply: Span<UInt8>) -> RESPValue {
        var reader = RESPReader(reply)
        guard let value = try? RESPValue(from: &reader) else {
            preconditionFailure("a reply that was framed did not decode")
        }
        return value
    }

    /// How many bytes wait for their reply to become complete, or to be returned by ``next()``.
    public var bufferedBytes: Int { bytes.count - start }
}
