import RESP

/// What a command does to the connection it is sent on, by its words.
enum CommandEffect: Hashable {
    /// It is answered once and leaves the connection as it was.
    case none
    /// The server may hold its reply back for so many nanoseconds, and everything behind it.
    case blocks(UInt64)
    /// Commands after it mean something else, or are answered in another way.
    case changesConnection(GroupStep)
    /// It is not answered by exactly one reply: what came after it would get the wrong one.
    case breaksMatching
}

/// What a command is to a group: commands between which the connection may send none of its own, such as a probe.
enum GroupStep: Hashable {
    /// Nothing: it stands outside, or in the middle.
    case none
    /// The command behind it belongs to it, as with `ASKING`.
    case opensForNext
    /// The commands behind it belong to it, as with `MULTI`, until one that closes the group.
    case opens
    /// It is the group's last, as `EXEC` is.
    case closes
}

extension CommandEffect {
    /// What the command is to commands that belong together.
    var groupStep: GroupStep {
        if case .changesConnection(let step) = self { return step }
        return .none
    }

    /// How long the server may hold the command's own reply back, in nanoseconds.
    var blockingTime: UInt64 {
        if case .blocks(let time) = self { return time }
        return 0
    }
}

/// What is known of a command by its name.
private enum CommandRule {
    case breaksMatching
    case changesConnection(GroupStep)
    /// Only with one of these words behind the name.
    case withWord([String: CommandEffect])
    /// For the time that the word at this place names, in units of so many nanoseconds; the last word is at place −1.
    case blocks(timeAt: Int, per: Double)
    /// For the milliseconds behind the option `BLOCK`, if it is there.
    case blocksIfAsked
}

/// The commands that have an effect, in the order of their names.
///
/// Source: the command reference of Redis 7 and Valkey 8.
private let commandRules: [(name: RESPName, rule: CommandRule)] = {
    let (seconds, milliseconds) = (1_000_000_000.0, 1_000_000.0)
    let rules: [(names: [String], rule: CommandRule)] = [
        (["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"], .breaksMatching),
        (["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"], .breaksMatching),
        (["MONITOR", "SYNC", "PSYNC", "REPLCONF", "HELLO"], .breaksMatching),
        (["CLIENT"], .withWord(["REPLY": .breaksMatching, "CACHING": .changesConnection(.opensForNext)])),
        (["SCRIPT"], .withWord(["DEBUG": .breaksMatching])),
        (["ASKING"], .changesConnection(.opensForNext)),
        (["MULTI"], .changesConnection(.opens)),
        (["EXEC", "DISCARD", "RESET"], .changesConnection(.closes)),
        (["WATCH", "UNWATCH", "SELECT", "AUTH", "QUIT", "READONLY", "READWRITE"], .changesConnection(.none)),
        (["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH"], .blocks(timeAt: -1, per: seconds)),
        (["BZPOPMIN", "BZPOPMAX"], .blocks(timeAt: -1, per: seconds)),
        (["BLMPOP", "BZMPOP"], .blocks(timeAt: 1, per: seconds)),
        (["WAIT"], .blocks(timeAt: 2, per: milliseconds)),
        (["WAITAOF"], .blocks(timeAt: 3, per: milliseconds)),
        (["XREAD", "XREADGROUP"], .blocksIfAsked),
    ]
    let named = rules.flatMap { names, rule in
        // None of them is too long for one.
        names.compactMap { text in RESPName(text).map { (name: $0, rule: rule) } }
    }
    return named.sorted { $0.name < $1.name }
}()

private func rule(of name: RESPName) -> CommandRule? {
    var range = commandRules.indices
    while !range.isEmpty {
        let middle = range.lowerBound + range.count / 2
        let candidate = commandRules[middle].name
        if candidate == name { return commandRules[middle].rule }
        range = candidate < name ? (middle + 1)..<range.upperBound : range.lowerBound..<middle
    }
    return nil
}

/// The lengths of the names in the table: a command whose name has another has no effect.
private let lengthsOfNames = 4...12

extension CommandEffect {
    /// Whether a command of this name can have one.
    static func mayFollow(_ name: String) -> Bool {
        guard lengthsOfNames.contains(name.utf8.count), let name = RESPName(name) else { return false }
        return rule(of: name) != nil
    }
}

extension RESPWordList {
    /// The command's effect.
    var effect: CommandEffect {
        guard let name = name(ofLength: lengthsOfNames), let rule = rule(of: name) else { return .none }
        switch rule {
        case .breaksMatching:
            return .breaksMatching
        case .withWord(let effects):
            return capitals(1).flatMap { effects[$0] } ?? .none
        case .changesConnection(let step):
            return .changesConnection(step)
        case .blocks(let place, let unit):
            return .blocks(nanoseconds(ofWord: place < 0 ? wordCount + place : place, per: unit))
        case .blocksIfAsked:
            return blockOption.map { .blocks(nanoseconds(ofWord: $0, per: 1_000_000)) } ?? .none
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
