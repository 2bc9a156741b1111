import Foundation
import RESP

/// Bytes in, decoded replies out: for whoever stares at a capture.
@main
enum ResponseDump {
    static func main() {
        do throws(UsageError) {
            switch try Arguments(CommandLine.arguments.dropFirst()) {
            case .encode(let words): encode(words)
            case .decode(let options): decode(options)
            }
        } catch {
            FileHandle.standardError.write(Data("resp-dump: \(error.reason)\n\(Arguments.usage)\n".utf8))
            exit(2)
        }
    }

    private static func encode(_ words: [[UInt8]]) {
        do throws(RESPEncodingError) {
            FileHandle.standardOutput.write(Data(try RESPEncoder.encode(words)))
        } catch {
            FileHandle.standardError.write(Data("resp-dump: \(error.reason)\n".utf8))
            exit(2)
        }
    }

    private static func decode(_ options: Arguments.Decode) {
        var dump = Dump(options)
        var pieces = Pieces(options.cut)
        while let chunk = try? FileHandle.standardInput.read(upToCount: 1 << 16), !chunk.isEmpty {
            pieces.cut(chunk) { dump.feed($0) }
            if dump.hasFailed { break }
        }
        exit(dump.finish())
    }
}

/// Cuts what comes at the offsets asked for.
private struct Pieces {
    private let cut: Arguments.Cut
    private var offset = 0

    init(_ cut: Arguments.Cut) { self.cut = cut }

    mutating func cut(_ chunk: Data, _ body: (Data) -> Void) {
        let end = offset + chunk.count
        let offsets =
            switch cut {
            case .none: [Int]()
            case .everyByte: Array(offset..<end)
            case .at(let offsets): offsets.filter { $0 > offset && $0 < end }
            }
        var start = offset
        for next in offsets + [end] where next > start {
            body(chunk.dropFirst(start - offset).prefix(next - start))
            start = next
        }
        offset = end
    }
}

/// Prints replies as they become complete, and in the end what became of the stream.
private struct Dump {
    private var decoder: RESPDecoder
    private let isForPerson: Bool
    private var fed = 0
    private var failure: RESPProtocolError?

    init(_ options: Arguments.Decode) {
        decoder = RESPDecoder(version: options.version, limits: options.limits)
        isForPerson = options.isForPerson
    }

    var hasFailed: Bool { failure != nil }

    mutating func feed(_ piece: Data) {
        guard failure == nil else { return }
        decoder.append(piece)
        fed += piece.count
        do throws(RESPProtocolError) {
            while let reply = try decoder.next() { print(isForPerson ? reply.textForPerson : reply.json) }
        } catch {
            failure = error
        }
    }

    /// Prints the status line; returns the exit status.
    func finish() -> Int32 {
        let buffered = decoder.bufferedBytes
        let consumed = fed - buffered
        if let failure {
            print(
                isForPerson
                    ? "(protocol error at byte \(failure.offset): \(failure.reason))"
                    : #"{"status":"protocol_error","consumed":\#(consumed),"offset":\#(failure.offset),"#
                        + #""reason":\#(failure.reason.jsonQuoted)}"#
            )
            return 4
        }
        if buffered > 0 {
            print(
                isForPerson
                    ? "(incomplete: \(buffered) bytes after byte \(consumed))"
                    : #"{"status":"incomplete","consumed":\#(consumed),"buffered":\#(buffered)}"#
            )
            return 3
        }
        if !isForPerson { print(#"{"status":"complete","consumed":\#(consumed)}"#) }
        return 0
    }
}
