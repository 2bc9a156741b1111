import RESP
import Testing

/// The decoder and the encoder on bytes recorded from a real server.
struct FixtureTests {
    @Test func everyShapeOfReplyIsAmongTheFixtures() throws {
        let fixtures = try RecordedFixture.all()
        #expect(fixtures.count >= 50)
        var shapes: Set<String> = []
        var pending = fixtures.flatMap(\.replies)
        while let value = pending.popLast() {
            switch value {
            case .simpleString: shapes.insert("simple string")
            case .simpleError: shapes.insert("error")
            case .integer: shapes.insert("integer")
            case .bulkString: shapes.insert("bulk string")
            case .null: shapes.insert("null")
            case .array(let elements):
                shapes.insert(elements.isEmpty ? "empty array" : "array")
                pending += elements
            default: shapes.insert("RESP3")
            }
        }
        #expect(
            shapes == ["simple string", "error", "integer", "bulk string", "null", "empty array", "array"]
        )
    }

    @Test(arguments: try RecordedFixture.all())
    func decodesWhole(_ fixture: RecordedFixture) throws {
        var decoder = RESPDecoder()
        decoder.append(fixture.stream)
        for reply in fixture.replies { #expect(try decoder.next() == reply) }
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test(arguments: try RecordedFixture.all())
    func decodesByteByByte(_ fixture: RecordedFixture) throws {
        var decoder = RESPDecoder()
        var replies: [RESPValue] = []
        for byte in fixture.stream {
            decoder.append(CollectionOfOne(byte))
            while let reply = try decoder.next() { replies.append(reply) }
        }
        #expect(replies == fixture.replies)
        #expect(decoder.bufferedBytes == 0)
    }

    /// Where the replies end decides what they are: each is decoded from the range that the framer found.
    @Test(arguments: try RecordedFixture.all())
    func decodesCutAtEveryPoint(_ fixture: RecordedFixture) throws {
        let framing = Framing.ofEveryCut(fixture.stream)
        #expect(framing.failure == nil)
        #expect(framing.waiting == 0)
        var start = 0
        var replies: [RESPValue] = []
        for length in framing.lengths {
            var reader = RESPReader(fixture.stream.span.extracting(start..<(start + length)))
            replies.append(try RESPValue(from: &reader))
            let isAtEnd = reader.isAtEnd
            #expect(isAtEnd)
            start += length
        }
        #expect(replies == fixture.replies)
    }

    /// A first piece gives the replies that are complete in it, and no more.
    @Test(arguments: try RecordedFixture.all())
    func deliversWhatIsCompleteAtEveryPoint(_ fixture: RecordedFixture) {
        let stream = fixture.stream.span
        let lengths = fixture.wireLengths
        #expect(lengths.reduce(0, +) == stream.count)
        var complete = 0
        var completeBytes = 0
        for end in 0...stream.count {
            if complete < lengths.count, completeBytes + lengths[complete] == end {
                completeBytes = end
                complete += 1
            }
            let framing = Framing(stream, ends: [end])
            if framing.failure != nil || framing.lengths != Array(lengths.prefix(complete)) {
                Issue.record("\(end) bytes: \(framing), expected \(complete) replies")
            }
        }
    }

    @Test(arguments: try RecordedFixture.all())
    func repliesEncodeToTheBytesTheyCameFrom(_ fixture: RecordedFixture) throws {
        #expect(try fixture.replies.flatMap { try $0.encoded() } == fixture.streamWithOneNull)
    }

    @Test(arguments: try RecordedFixture.all())
    func requestsEncodeAsArgv(_ fixture: RecordedFixture) throws {
        #expect(!fixture.commands.isEmpty)
        for words in fixture.commands {
            #expect(try RESPEncoder.encode(words) == argv(words))
        }
    }
}

/// A command's framing, written down a second time.
func argv(_ words: [[UInt8]]) -> [UInt8] {
    var bytes = Array("*\(words.count)\r\n".utf8)
    for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + Array("\r\n".utf8) }
    return bytes
}

extension RecordedFixture {
    /// How many bytes each reply has, from its value alone; a null has five bytes either way.
    fileprivate var wireLengths: [Int] {
        replies.map { reply in
            var length = 0
            var pending = [reply]
            while let value = pending.popLast() {
                switch value {
                case .simpleString(let bytes), .simpleError(let bytes): length += 3 + bytes.count
                case .integer(let integer): length += 3 + "\(integer)".utf8.count
                case .bulkString(let bytes): length += 5 + "\(bytes.count)".utf8.count + bytes.count
                case .null: length += 5
                case .array(let elements):
                    length += 3 + "\(elements.count)".utf8.count
                    pending += elements
                default: Issue.record("RESP2 has no \(value)")
                }
            }
            return length
        }
    }

    /// The stream with each null as `$-1`, also where the server wrote `*-1`: values do not tell these apart.
    fileprivate var streamWithOneNull: [UInt8] {
        var bytes = stream
        bytes.replace("*-1\r\n".utf8, with: "$-1\r\n".utf8)
        return bytes
    }
}
