/// SQL, read as far as it takes to know whether it is one transaction.
enum SQLText {
    /// What follows the blanks and comments that a text begins with.
    ///
    /// Source: "Lexical Structure" in Postgres's documentation. Comments nest.
    private static func afterBlanks(_ text: Substring) -> Substring {
        var (rest, depth) = (text, 0)
        while let first = rest.first {
            if rest.hasPrefix("/*") {
                depth += 1
                rest = rest.dropFirst(2)
            } else if depth > 0, rest.hasPrefix("*/") {
                depth -= 1
                rest = rest.dropFirst(2)
            } else if depth == 0, rest.hasPrefix("--") {
                rest = rest.drop { !$0.isNewline }
            } else if depth > 0 || first.isWhitespace || first == ";" {
                rest = rest.dropFirst()
            } else {
                break
            }
        }
        return rest
    }

    /// Whether a part of it may stay when it fails: most statements are rolled back whole.
    ///
    /// Source: what the documentation of each says of its transactions. `COPY` may give to a program, or a file.
    static func mayFailInPart(_ sql: String) -> Bool {
        let text = afterBlanks(sql[...])
        return switch text.prefix(while: \.isLetter).uppercased() {
        case "CALL", "DO", "COPY", "VACUUM", "CLUSTER", "REINDEX": true
        case "CREATE", "DROP", "ALTER": text.uppercased().contains("CONCURRENTLY")
        default: false
        }
    }
}
