/// Feeds a stream to this decoder and to hiredis's, and compares them after each piece; see README.md.
///
/// Fed byte by byte they part at one byte, if at all, and that difference must be one of the intended ones.
@_cdecl("LLVMFuzzerTestOneInput")
public func differentialFuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // libFuzzer's promise: `count` bytes at `data`, until this function returns.
    guard let input = FuzzInput(unsafe Array(UnsafeBufferPointer(start: data, count: count))) else {
        return 0
    }
    let parting = firstDifference(input, .everyByte)
    if let parting {
        expect(isIntendedDifference(parting, after: input.stream[parting.bytes.endIndex...]), "\(parting)")
    }
    for cuts in [FuzzInput.Cuts.none, .random] {
        guard let difference = firstDifference(input, cuts, until: parting?.bytes.endIndex) else { continue }
        expect(false, "\(cuts): \(difference)")
    }
    return 0
}

/// The place where the two decoders part, and how they stand there.
struct Difference: CustomStringConvertible {
    var version: RESPVersion
    /// Every byte fed so far.
    ///
    /// Fed byte by byte, the last one makes the difference.
    var bytes: ArraySlice<UInt8>
    /// Where the element begins that the last piece was part of.
    var element: Int
    /// How many aggregates were open around that element, of them attributes before the whole reply.
    var depth: Int
    var attributes: Int
    var limits: RESPLimits
    /// Whether this reply has an attribute inside an aggregate.
    var hasInnerAttribute: Bool
    var ours: State
    var theirs: State
    var ourError: RESPProtocolError?
    var theirError: String

    var description: String {
        """
        after \(bytes.count) bytes \(String(decoding: bytes.suffix(40), as: UTF8.self).debugDescription) the decoders differ
        ours: \(ours) \(ourError?.description ?? "")
        hiredis: \(theirs) \(theirError)
        """
    }
}

/// How a decoder stands after a piece.
struct State: Equatable {
    /// The replies the piece completed.
    var replies: [[Node]] = []
    /// Where the next reply begins in the stream.
    var consumed: Int
    var hasFailed: Bool
    /// How far it has gone in the incomplete reply: past its complete elements, and one type byte; nil once it has failed.
    var position: Int?
    /// How many aggregates are open; nil once it has failed.
    var depth: Int?
}

/// - Parameter end: where the byte that makes a difference ends; nothing from the piece with it on is compared, but for what
///   both had found before it.
private func firstDifference(_ input: FuzzInput, _ cuts: FuzzInput.Cuts, until end: Int? = nil) -> Difference?
{
    // hiredis has no other limits; the defaults of the others are out of an input's reach, but for a bulk string's length.
    let limits = RESPLimits(maxDepth: input.limits.maxDepth, maxElements: input.limits.maxElements)
    var ours = Ours(input.version, limits)
    let theirs = Theirs(limits)
    var hasInnerAttribute = false
    for whole in input.pieces(cuts) {
        // The piece with the parting byte is compared up to it: what comes before is the same for both.
        let piece = end.map { whole.prefix(max(0, $0 - 1 - whole.startIndex)) } ?? whole
        if piece.isEmpty { return nil }
        let element = ours.element
        let depth = ours.depth
        let attributes = theirs.attributeCount
        let left = ours.feed(piece)
        let right = theirs.feed(piece)
        let isAttribute = element == piece.startIndex && piece.first == RESPType.attribute
        if isAttribute, depth > attributes { hasInnerAttribute = true }
        if left != right {
            return Difference(
                version: input.version,
                bytes: input.stream[..<piece.endIndex],
                element: element,
                depth: depth,
                attributes: attributes,
                limits: limits,
                hasInnerAttribute: hasInnerAttribute,
                ours: left,
                theirs: right,
                ourError: ours.error,
                theirError: theirs.error
            )
        }
        if left.hasFailed { return nil }
    }
    return nil
}

// MARK: The two decoders

/// This project's decoder, and a framer beside it, which shows where it stands.
private struct Ours {
    private var decoder: RESPDecoder
    private var framer: RESPFramer
    private var stream: [UInt8] = []
    private var consumed = 0
    private(set) var error: RESPProtocolError?

    init(_ version: RESPVersion, _ limits: RESPLimits) {
        decoder = RESPDecoder(version: version, limits: limits)
        framer = RESPFramer(version: version, limits: limits)
    }

    /// Where the element begins that is being read.
    var element: Int { consumed + framer.lineStart }
    var depth: Int { framer.outer.count }

    mutating func feed(_ piece: ArraySlice<UInt8>) -> State {
        decoder.append(piece)
        stream += piece
        var replies: [[Node]] = []
        do throws(RESPProtocolError) {
            while let value = try decoder.next() { replies.append(Node.list(value)) }
        } catch {
            self.error = error
        }
        do throws(RESPProtocolError) {
            let stream = stream
            while let length = try framer.next(stream.span.extracting(droppingFirst: consumed)) {
                consumed += length
            }
        } catch {
            expect(
                error == self.error,
                "the framer fails with \(error), the decoder with \(self.error as Any)"
            )
        }
        expect(stream.count - decoder.bufferedBytes == consumed, "the framer has consumed \(consumed)")
        if error != nil { return State(replies: replies, consumed: consumed, hasFailed: true) }
        return State(
            replies: replies,
            consumed: consumed,
            hasFailed: false,
            position: min(element + 1, stream.count),
            depth: depth
        )
    }
}

/// hiredis's decoder.
///
/// A reply that is an attribute is put before the reply after it. Safe: nobody else has the pointer, and it is freed last.
@safe
private final class Theirs {
    private let reader: OpaquePointer
    private var fed = 0
    private var consumed = 0
    private var attributes: [Node] = []
    private(set) var attributeCount = 0

    init(_ limits: RESPLimits) {
        unsafe reader = shim_create(CInt(limits.maxDepth), Int64(limits.maxElements))
    }

    deinit { unsafe shim_free(reader) }

    var error: String { unsafe String(cString: shim_error(reader)) }

    func feed(_ piece: ArraySlice<UInt8>) -> State {
        // The shim copies the bytes before it returns.
        unsafe piece.withUnsafeBufferPointer { unsafe shim_feed(reader, $0.baseAddress, $0.count) }
        fed += piece.count
        var replies: [[Node]] = []
        while true {
            switch unsafe shim_next(reader) {
            case 1:
                let nodes = (0..<(unsafe shim_node_count(reader))).map {
                    unsafe Node(shim_node_at(reader, $0))
                }
                attributes += nodes
                if case .aggregate(RESPType.attribute, _) = nodes[0] {
                    attributeCount += 1
                    continue
                }
                replies.append(attributes)
                attributes = []
                attributeCount = 0
                consumed = fed - (unsafe shim_unread(reader))
            case 0:
                return State(
                    replies: replies,
                    consumed: consumed,
                    hasFailed: false,
                    position: fed - (unsafe shim_unread(reader)),
                    depth: Int(unsafe shim_depth(reader)) + attributeCount
                )
            default:
                return State(replies: replies, consumed: consumed, hasFailed: true)
            }
        }
    }
}
