@_spi(Driver) import AsyncIO

/// What is said to the server before any command: who we are, and which database we want.
struct RedisGreeting: Sendable {
    /// The commands, in order; each has to be answered without an error.
    let commands: [[String]]

    /// - Throws: ``EndpointError`` if the database is not a number from 0.
    init(_ spec: EndpointSpec) throws(EndpointError) {
        var commands: [[String]] = []
        if let credentials = spec.credentials {
            commands.append(["AUTH"] + (credentials.username.map { [$0] } ?? []) + [credentials.password])
        }
        if let database = spec.database {
            guard let number = Int32(database), number >= 0, String(number) == database else {
                throw EndpointError(
                    .invalidSetting,
                    spec.id,
                    "has the database \"\(database)\": Redis's databases are numbers from 0"
                )
            }
            if number > 0 { commands.append(["SELECT", database]) }
        }
        self.commands = commands
    }
}
