import AsyncIO

/// What is said to the server before any command: who we are, and which database we want.
struct RedisHandshake: Sendable, CustomReflectable {
    /// The commands, in order; each has to be answered without an error.
    let commands: [[String]]

    /// Nothing: one of the words is a password.
    var customMirror: Mirror { Mirror(self, children: []) }

    /// - Throws: ``EndpointError`` if the database is not a number from 0.
    init(_ spec: EndpointSpec) throws(EndpointError) {
        var commands: [[String]] = []
        if let credentials = spec.credentials {
            commands.append(["AUTH"] + (credentials.username.map { [$0] } ?? []) + [credentials.password])
        }
        if let database = spec.database {
            guard Self.isDatabase(database) else {
                throw EndpointError(
                    .invalidSetting,
                    spec.id,
                    "has the database \"\(database)\": Redis's databases are numbers from 0"
                )
            }
            if database != "0" { commands.append(["SELECT", database]) }
        }
        self.commands = commands
    }

    /// Whether a text is a number that can be a database's.
    static func isDatabase(_ text: String) -> Bool {
        guard let number = Int32(text) else { return false }
        return number >= 0 && String(number) == text
    }

    /// The error for a command that the server refused.
    ///
    /// Of a refused login only the error's first word is kept: some servers repeat the command's words in their errors, and
    /// one of them is the password.
    func refusal(of index: Int, _ message: [UInt8], endpoint: String) -> RedisError {
        let isLogin = commands[index].first == "AUTH"
        let word = message.prefix { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
        let shown = isLogin ? Array(word.count < message.count ? word : []) : message
        let what = isLogin ? "the login" : commands[index].joined(separator: " ")
        return RedisError(
            .handshakeFailed,
            .notSent,
            endpoint: endpoint,
            "the server refused \(what): \(shown.isEmpty ? "it gave no code" : String(forPerson: shown))",
            serverMessage: shown
        )
    }
}
