import Foundation
import RESP
import Testing

/// What the fuzzers found worth keeping, and what once crashed them: read the same however it is cut.
struct FuzzingCorpusTests {
    struct Input: CustomTestStringConvertible {
        let testDescription: String
        let version: RESPVersion
        let stream: [UInt8]
    }

    /// An input's first byte says which version is spoken, among other things; from its fourth on it is a stream.
    static let inputs: [Input] = {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")
        return ["corpus/decoder", "corpus/differential", "crashes"].flatMap { (folder: String) -> [Input] in
            let files = try? FileManager.default.contentsOfDirectory(
                at: fixtures.appending(path: folder),
                includingPropertiesForKeys: nil
            )
            return (files ?? []).compactMap { file in
                guard let data = try? [UInt8](Data(contentsOf: file)), data.count >= 3 else { return nil }
                return Input(
                    testDescription: "\(folder)/\(file.lastPathComponent)",
                    version: data[0] & 1 == 0 ? .resp2 : .resp3,
                    stream: Array(data.dropFirst(3))
                )
            }
        }
    }()

    @Test func thereIsACorpus() {
        #expect(Self.inputs.count >= 50)
    }

    private static let limits = [
        RESPLimits.default, RESPLimits(maxDepth: 3, maxBulkBytes: 9, maxLineBytes: 6, maxElements: 7),
        RESPLimits(maxLineBytes: 6, maxReplyBytes: 8), RESPLimits(maxReplyBytes: 24),
    ]

    @Test func everyInputIsReadTheSameHoweverItIsCut() throws {
        for input in Self.inputs {
            for limits in Self.limits {
                let count = input.stream.count
                func framing(_ ends: [Int]) -> Framing {
                    Framing(input.stream.span, ends: ends, version: input.version, limits: limits)
                }
                let whole = framing([count])
                var cuts = [Array(0...count), Array(stride(from: 7, to: count, by: 7)) + [count]]
                if count < 200 { cuts += (0...count).map { [$0, count] } }
                for ends in cuts where framing(ends) != whole {
                    Issue.record("\(input.testDescription), \(limits): \(framing(ends)), whole: \(whole)")
                }
                #expect(
                    try values(input, limits, 1) == values(input, limits, .max),
                    "\(input.testDescription)"
                )
            }
        }
    }

    private struct Outcome: Equatable {
        var values: [RESPValue] = []
        var error: RESPProtocolError?
        var buffered = 0
    }

    private func values(_ input: Input, _ limits: RESPLimits, _ piece: Int) throws -> Outcome {
        var decoder = RESPDecoder(version: input.version, limits: limits)
        var outcome = Outcome()
        var rest = input.stream[...]
        while !rest.isEmpty {
            decoder.append(rest.prefix(piece))
            rest = rest.dropFirst(piece)
            do throws(RESPProtocolError) {
                while let value = try decoder.next() { outcome.values.append(value) }
            } catch {
                outcome.error = error
            }
        }
        outcome.buffered = decoder.bufferedBytes
        for value in outcome.values {
            var again = RESPDecoder(version: .resp3)
            again.append(try value.encoded())
            #expect(try again.next() == value)
        }
        return outcome
    }
}
