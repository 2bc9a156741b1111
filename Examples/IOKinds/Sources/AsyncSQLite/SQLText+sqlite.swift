import IOCalls

extension SQLText {
    /// SQLite's dialect.
    ///
    /// Source: "The Tokenizer" and "Comments" in SQLite's documentation.
    static let sqlite = SQLText(commentsNest: false, lineEnds: "\n")

    /// Whether a statement surely only reads: its first word says so.
    static func isReading(_ sql: String) -> Bool {
        var rest = sql[...].utf8
        return ["SELECT", "VALUES"].contains(sqlite.takeWord(&rest))
    }
}
