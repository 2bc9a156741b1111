import IOCalls

extension SQLText {
    /// Postgres's dialect.
    ///
    /// Source: "Lexical Structure" in Postgres's documentation.
    static let postgres = SQLText(commentsNest: true, lineEnds: "\n\r")

    /// Whether a part of a statement may stay when it fails: most are rolled back whole.
    ///
    /// Source: what the documentation of each says of its transactions. `COPY` may give to a program, or a file.
    static func mayFailInPart(_ sql: String) -> Bool {
        var rest = sql[...].utf8
        return switch postgres.takeWord(&rest) {
        case "CALL", "DO", "COPY", "VACUUM", "CLUSTER", "REINDEX": true
        case "CREATE", "DROP", "ALTER": Substring(rest).uppercased().contains("CONCURRENTLY")
        default: false
        }
    }

    /// Whether it is a `COPY` from or to the client itself, which goes on after its answer.
    ///
    /// Where to copy follows the first `FROM` or `TO` that is in no parentheses, where a query may be, and not the name of a
    /// schema's table.
    static func copiesOverTheConnection(_ sql: String) -> Bool {
        var rest = sql[...].utf8
        guard postgres.takeWord(&rest) == "COPY" else { return false }
        var (depth, last) = (0, "")
        while true {
            let word = postgres.takeWord(&rest)
            if depth == 0, last != ".", word == "FROM" || word == "TO" {
                return ["STDIN", "STDOUT"].contains(postgres.takeWord(&rest))
            }
            guard word.isEmpty else {
                last = word
                continue
            }
            guard let sign = rest.first.map({ Character(Unicode.Scalar($0)) }) else { return false }
            if sign == "(" { depth += 1 }
            if sign == ")" { depth -= 1 }
            rest = afterSign(rest, hasEscapes: last == "E")
            last = "\(sign)"
        }
    }

    /// What follows the sign that a text begins with, or all that is in quotes if it is a quote.
    private static func afterSign(_ text: Substring.UTF8View, hasEscapes: Bool) -> Substring.UTF8View {
        var rest = text.dropFirst()
        switch text.first {
        case UInt8(ascii: "$"):
            let tag = text.prefix(rest.prefix { isOfAWord($0) && $0 != UInt8(ascii: "$") }.count + 2)
            guard tag.last == UInt8(ascii: "$"), tag.count > 1 else { return rest }
            rest = text[tag.endIndex...]
            return rest.firstRange(of: tag).map { rest[$0.upperBound...] } ?? rest.suffix(0)
        case UInt8(ascii: "'"), UInt8(ascii: "\""):
            while let byte = rest.first, byte != text.first {
                rest = rest.dropFirst(hasEscapes && byte == UInt8(ascii: "\\") ? 2 : 1)
            }
            return rest.dropFirst()
        default:
            return rest
        }
    }
}
