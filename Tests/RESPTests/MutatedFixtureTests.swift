import RESP
import TestSupport
import Testing

/// Recorded streams with a few bytes changed.
///
/// Nothing traps, every cut agrees, and what decodes encodes to the same bytes.
struct MutatedFixtureTests {
    private static let interesting = Array("+-:$*_%#,(!=~>|\r\n0123456789xX\0".utf8) + [0x80, 0xff]

    @Test(arguments: 0..<40, [RESPVersion.resp2, .resp3])
    func aChangedStreamIsReadTheSameHoweverItIsCut(_ seed: UInt64, _ version: RESPVersion) throws {
        var random = SplitMix64(state: seed)
        let folder = version == .resp2 ? "resp2" : "resp3"
        let fixtures = try RecordedFixture.all(folder).filter { $0.stream.count < 150 }
        for _ in 0..<10 {
            var stream = try #require(fixtures.randomElement(using: &random)).stream
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                Self.change(&stream, &random)
            }
            let framing = Framing.ofEveryCut(stream, version: version)
            var decoder = RESPDecoder(version: version)
            decoder.append(stream)
            var start = 0
            for length in framing.lengths {
                let reply = try #require(try decoder.next(), "\(stream)")
                var bytes = Array(stream[start..<(start + length)])
                bytes.replace("*-1\r\n".utf8, with: "$-1\r\n".utf8)
                if version == .resp2 {
                    var encoded = try reply.encoded()
                    encoded.replace("*-1\r\n".utf8, with: "$-1\r\n".utf8)
                    #expect(encoded == bytes)
                } else {
                    // Nulls and doubles have more than one form.
                    var again = RESPDecoder(version: version)
                    again.append(try reply.encoded())
                    #expect(try again.next() == reply)
                }
                start += length
            }
            if let failure = framing.failure {
                #expect(throws: failure) { try decoder.next() }
            } else {
                #expect(try decoder.next() == nil)
                #expect(decoder.bufferedBytes == framing.waiting)
            }
        }
    }

    private static func change(_ stream: inout [UInt8], _ random: inout SplitMix64) {
        guard let place = stream.indices.randomElement(using: &random),
            let byte = interesting.randomElement(using: &random)
        else { return }
        switch Int.random(in: 0..<3, using: &random) {
        case 0: stream[place] = byte
        case 1: stream.insert(byte, at: place)
        default: stream.remove(at: place)
        }
    }
}
