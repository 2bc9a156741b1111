/// SQL, read as far as it takes to know which connection it is for, and where it ends.
enum SQLText {
    /// What follows the blanks, semicolons and comments that a text begins with.
    ///
    /// Source: "The Tokenizer" and "Comments" in SQLite's documentation.
    static func afterBlanks(_ text: Substring.UTF8View) -> Substring.UTF8View {
        var rest = text
        while let first = rest.first {
            switch (
                Character(Unicode.Scalar(first)), rest.dropFirst().first.map { Character(Unicode.Scalar($0)) }
            ) {
            case (" ", _), ("\t", _), ("\n", _), ("\u{c}", _), ("\r", _), (";", _): rest.removeFirst()
            case ("-", "-"): rest = rest.drop { $0 != UInt8(ascii: "\n") }
            case ("/", "*"): rest = afterComment(rest.dropFirst(2))
            default: return rest
            }
        }
        return rest
    }

    /// What follows the end of the comment; nothing if it has none.
    private static func afterComment(_ text: Substring.UTF8View) -> Substring.UTF8View {
        var rest = text
        while let star = rest.firstIndex(of: UInt8(ascii: "*")) {
            rest = rest[star...].dropFirst()
            if rest.first == UInt8(ascii: "/") { return rest.dropFirst() }
        }
        return rest.suffix(0)
    }

    /// Whether it surely only reads: its first word says so.
    static func isReading(_ sql: String) -> Bool {
        let word = Substring(afterBlanks(sql[...].utf8)).prefix { $0.isLetter }.uppercased()
        return word == "SELECT" || word == "VALUES"
    }
}
