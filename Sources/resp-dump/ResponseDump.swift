import Foundation
import RESP

/// Bytes in, decoded replies out: for whoever stares at a capture.
@main
enum ResponseDump {
    static func main() {
        // A reader that has gone is an error of the write, and no reason to be killed without a word.
        _ = signal(SIGPIPE, SIG_IGN)
        do throws(UsageError) {
            switch try Arguments(CommandLine.arguments.dropFirst()) {
            case .encode(let words): encode(words)
            case .decode(let options): decode(options)
            }
        } catch {
            complain(error.reason + "\n" + Arguments.usage)
            exit(2)
        }
    }

    private static func encode(_ words: [[UInt8]]) {
        do throws(RESPEncodingError) {
            var output = StandardOutput()
            output.write(try RESPEncoder.encode(words))
            output.flush()
            exitIfFailed(output)
        } catch {
            complain(error.reason)
            exit(2)
        }
    }

    private static func decode(_ options: Arguments.Decode) {
        let input = StandardInput()
        var dump = Dump(options)
        var pieces = Pieces(options.cut)
        do throws(StreamError) {
            while !dump.hasFailed {
                let chunk = try input.read()
                if chunk.isEmpty { break }
                pieces.cut(chunk) { dump.feed($0) }
                exitIfFailed(dump.output)
            }
        } catch {
            complain(error.reason)
            exit(2)
        }
        let status = dump.finish()
        exitIfFailed(dump.output)
        exit(status)
    }

    private static func exitIfFailed(_ output: StandardOutput) {
        guard let failure = output.failure else { return }
        complain(failure.reason)
        exit(5)
    }

    private static func complain(_ reason: String) {
        try? FileHandle.standardError.write(contentsOf: Data("resp-dump: \(reason)\n".utf8))
    }
}

/// Cuts what comes at the offsets asked for.
private struct Pieces {
    private let cut: Arguments.Cut
    private var offset = 0

    init(_ cut: Arguments.Cut) { self.cut = cut }

    mutating func cut(_ chunk: [UInt8], _ body: (ArraySlice<UInt8>) -> Void) {
        let end = offset + chunk.count
        let offsets =
            switch cut {
            case .none: [Int]()
            case .everyByte: Array(offset..<end)
            case .at(let offsets): offsets.filter { $0 > offset && $0 < end }
            }
        var start = offset
        for next in offsets + [end] where next > start {
            body(chunk[(start - offset)..<(next - offset)])
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
    private(set) var output = StandardOutput()

    init(_ options: Arguments.Decode) {
        decoder = RESPDecoder(version: options.version, limits: options.limits)
        isForPerson = options.isForPerson
    }

    var hasFailed: Bool { failure != nil }

    mutating func feed(_ piece: ArraySlice<UInt8>) {
        guard failure == nil else { return }
        decoder.append(piece)
        fed += piece.count
        do throws(RESPProtocolError) {
            while try printNext() {}
        } catch {
            failure = error
        }
        // Whoever waits for a reply sees it now, not when there is more.
        output.flush()
    }

    /// Prints the next reply, if it is complete.
    private mutating func printNext() throws(RESPProtocolError) -> Bool {
        if isForPerson {
            guard let reply = try decoder.nextText() else { return false }
            reply.write(to: &output)
        } else {
            guard let reply = try decoder.next() else { return false }
            reply.writeJSON(to: &output)
        }
        output.write("\n")
        return true
    }

    /// Prints the status line; returns the exit status.
    mutating func finish() -> Int32 {
        let (line, status) = status
        if let line { output.write(line + "\n") }
        output.flush()
        return status
    }

    private var status: (line: String?, exit: Int32) {
        let buffered = decoder.bufferedBytes
        let consumed = fed - buffered
        if let failure {
            let line =
                isForPerson
                ? "(protocol error at byte \(failure.offset): \(failure.reason))"
                : #"{"status":"protocol_error","consumed":\#(consumed),"offset":\#(failure.offset),"#
                    + #""reason":\#(failure.reason.jsonQuoted)}"#
            return (line, 4)
        }
        if buffered > 0 {
            let line =
                isForPerson
                ? "(incomplete: the stream ends \(counted(buffered, "byte")) into a reply, "
                    + "which begins at byte \(consumed))"
                : #"{"status":"incomplete","consumed":\#(consumed),"buffered":\#(buffered)}"#
            return (line, 3)
        }
        return (isForPerson ? nil : #"{"status":"complete","consumed":\#(consumed)}"#, 0)
    }
}
