import Foundation
import RESP

/// Wrong arguments, and what is wrong with them.
struct UsageError: Error {
    let reason: String
}

/// What the command line asks for.
enum Arguments {
    case encode([[UInt8]])
    case decode(Decode)

    /// How to decode standard input.
    struct Decode {
        var version = RESPVersion.resp2
        var cut = Cut.none
        var limits = RESPLimits.default
        var isForPerson = false
    }

    /// Where to cut the input into pieces.
    enum Cut {
        case none
        case everyByte
        case at([Int])
    }

    static let usage = """
        usage: resp-dump [--resp 2|3] [--cut none|byte|N,N,…] [--max-depth N] [--max-bulk N] [--text]  < bytes
               resp-dump --encode BASE64WORD…                                                          > bytes

          --resp       the protocol's version, 2 unless given
          --cut        feed the decoder byte by byte, or cut at these offsets too; what is printed stays the same.
                       With none it gets what one read gives, up to 64 KiB
          --max-depth  how deep aggregates may be nested
          --max-bulk   the longest bulk string, in bytes
          --text       print for a person instead of one JSON object a line
          --encode     write the command that these words make

        exit status: 0 complete, 2 wrong arguments or unreadable input, 3 incomplete, 4 protocol error, 5 unwritable output
        """

    init(_ arguments: some Collection<String>) throws(UsageError) {
        if arguments.first == "--encode" {
            var words: [[UInt8]] = []
            for argument in arguments.dropFirst() {
                // Encoded again, it shows what the decoder let pass: bits and padding that belong to no byte.
                guard let word = Data(base64Encoded: argument), word.base64EncodedString() == argument else {
                    throw UsageError(reason: "\"\(argument)\" is not base64")
                }
                words.append(Array(word))
            }
            guard !words.isEmpty else {
                throw UsageError(
                    reason: "--encode needs at least one word: a server sends no reply to an empty command"
                )
            }
            self = .encode(words)
            return
        }
        var options = Decode()
        var rest = arguments.makeIterator()
        while let option = rest.next() {
            if option == "--text" {
                options.isForPerson = true
                continue
            }
            guard ["--resp", "--cut", "--max-depth", "--max-bulk"].contains(option) else {
                throw UsageError(reason: "\"\(option)\" is not an option")
            }
            guard let value = rest.next() else { throw UsageError(reason: "\(option) needs a value") }
            try options.set(option, to: value)
        }
        self = .decode(options)
    }
}

extension Arguments.Decode {
    fileprivate mutating func set(_ option: String, to value: String) throws(UsageError) {
        switch (option, value) {
        case ("--resp", "2"): version = .resp2
        case ("--resp", "3"): version = .resp3
        case ("--cut", "none"): cut = .none
        case ("--cut", "byte"): cut = .everyByte
        case ("--cut", _):
            var offsets: [Int] = []
            for part in value.split(separator: ",", omittingEmptySubsequences: false) {
                offsets.append(try Self.number(option, String(part), from: 0))
            }
            cut = .at(Set(offsets).sorted())
        case ("--max-depth", _): limits.maxDepth = try Self.number(option, value, from: 0)
        case ("--max-bulk", _):
            limits.maxBulkBytes = try Self.number(option, value, from: 0)
            // A longer string needs a longer reply.
            limits.maxReplyBytes = max(
                limits.maxReplyBytes,
                limits.maxBulkBytes + RESPLimits.default.maxReplyBytes
            )
        default: throw UsageError(reason: "\(option) does not take \"\(value)\"")
        }
    }

    private static func number(_ option: String, _ text: String, from least: Int) throws(UsageError) -> Int {
        // Digits alone: no sign, not even before a zero.
        guard let number = Int(text), number >= least, text.first?.isWholeNumber == true else {
            throw UsageError(reason: "\(option) takes numbers from \(least), not \"\(text)\"")
        }
        return number
    }
}
