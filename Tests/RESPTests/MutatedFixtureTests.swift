import RESP
import Testing

/// Recorded streams with a few bytes changed.
///
/// Nothing traps, every cut agrees, and what decodes encodes to the same bytes.
struct MutatedFixtureTests {
    private static let interesting = Array("+-:$*_%\r\n0123456789xX\0".utf8) + [0x80, 0xff]

    @Test(arguments: 0..<40)
    func aChangedStreamIsReadTheSameHoweverItIsCut(_ seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let fixtures = try RecordedFixture.all().filter { $0.stream.count < 150 }
        for _ in 0..<10 {
            var stream = try #require(fixtures.randomElement(using: &random)).stream
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                Self.change(&stream, &random)
            }
            let framing = Framing.ofEveryCut(stream)
            var decoder = RESPDecoder()
            decoder.append(stream)
            var start = 0
            for length in framing.lengths {
                let reply = try #require(try decoder.next(), "\(stream)")
                var bytes = Array(stream[start..<(start + length)])
                bytes.replace("*-1\r\n".utf8, with: "$-1\r\n".utf8)
                var encoded = reply.encoded()
                encoded.replace("*-1\r\n".utf8, with: "$-1\r\n".utf8)
                #expect(encoded == bytes)
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

/// The same numbers for the same seed.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
