import RESP

/// What a command does to the connection it is sent on, by its words.
enum CommandEffect: Hashable {
    /// It is answered once and leaves the connection as it was.
    case none
    /// The server may hold its reply back for so many nanoseconds, and everything behind it.
    case blocks(UInt64)
    /// Commands after it mean something else, or are answered in another way.
    case changesConnection
    /// It is not answered by exactly one reply: what came after it would get the wrong one.
    case breaksMatching
}

extension CommandEffect {
    /// How long the server may hold the command's own reply back, in nanoseconds.
    var blockingTime: UInt64 {
        if case .blocks(let time) = self { return time }
        return 0
    }
}

extension RESPWordList {
    /// The command's effect.
    ///
    /// Source: the command reference of Redis 7 and Valkey 8.
    var effect: CommandEffect {
        // Names of other lengths have no effect, and most commands are found here.
        guard let length = byteCount(ofWord: 0), (4...12).contains(length), let name = capitals(0) else {
            return .none
        }
        switch name {
        case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
            "MONITOR",
            "SYNC", "PSYNC", "REPLCONF", "HELLO":
            return .breaksMatching
        case "CLIENT":
            return capitals(1) == "REPLY" ? .breaksMatching : .none
        case "SCRIPT":
            return capitals(1) == "DEBUG" ? .breaksMatching : .none
        case "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SELECT", "AUTH", "RESET", "QUIT", "READONLY",
            "READWRITE",
            "ASKING":
            return .changesConnection
        case "BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX":
            return .blocks(nanoseconds(ofWord: wordCount - 1, per: 1_000_000_000))
        case "BLMPOP", "BZMPOP":
            return .blocks(nanoseconds(ofWord: 1, per: 1_000_000_000))
        case "WAIT":
            return .blocks(nanoseconds(ofWord: 2, per: 1_000_000))
        case "WAITAOF":
            return .blocks(nanoseconds(ofWord: 3, per: 1_000_000))
        case "XREAD", "XREADGROUP":
            return blockOption.map { .blocks(nanoseconds(ofWord: $0, per: 1_000_000)) } ?? .none
        default:
            return .none
        }
    }

    /// The place of the word after `BLOCK`, which stands before `STREAMS` if it is an option, in any order with others.
    private var blockOption: Int? {
        var index = 1
        while index < wordCount - 1 {
            switch capitals(index) {
            case "BLOCK": return index + 1
            case "STREAMS": return nil
            // Behind these stand names, and a number.
            case "GROUP": index += 3
            case "COUNT": index += 2
            default: index += 1
            }
        }
        return nil
    }

    /// A word that is a time; 0 stands for ever, and what is no time the server refuses at once.
    private func nanoseconds(ofWord index: Int, per unit: Double) -> UInt64 {
        guard let text = capitals(index), let number = Double(text), number >= 0 else { return 0 }
        return number == 0 || number * unit >= 1e19 ? .max : UInt64(number * unit)
    }
}
