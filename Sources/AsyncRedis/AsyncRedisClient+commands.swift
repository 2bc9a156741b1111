public import RESP

extension AsyncRedisClient {
    // MARK: Hashes

    /// `HGET key field`: the value of a hash's field.
    ///
    /// - Returns: the value as text, or `nil` if the key or the field does not exist.
    /// - Throws: ``RedisError``: `unexpectedReply` if the value is not UTF-8 (read it as `[UInt8]`), `wrongType` if the key is
    ///   not a hash, and every way a command can end without a reply.
    public func hget(_ key: String, _ field: String) async throws(RedisError) -> String? {
        try await perform(RESPTextCommand("HGET", key, field), as: String?.self)
    }

    /// `HGET key field`, decoded as another type, for example `[UInt8]` for any bytes.
    ///
    /// - Returns: the value, or `nil` if the key or the field does not exist.
    /// - Throws: ``RedisError``: `unexpectedReply` if the value is not of that type, and as ``hget(_:_:)`` does.
    public func hget<Value: RESPDecodable>(
        _ key: String,
        _ field: String,
        as type: Value.Type
    ) async throws(RedisError) -> Value? {
        try await perform(RESPTextCommand("HGET", key, field), as: Value?.self)
    }

    /// `HMGET key field …`: the values of several fields of a hash.
    ///
    /// - Returns: one element for each field, in their order, `nil` where the key or the field does not exist.
    /// - Throws: ``RedisError``: `invalidCommand` without fields, and as ``hget(_:_:)`` does.
    public func hmget(_ key: String, _ fields: [String]) async throws(RedisError) -> [String?] {
        try await hmget(key, fields, as: String.self)
    }

    /// `HMGET key field …`, each value decoded as another type.
    ///
    /// - Returns: one element for each field, in their order, `nil` where the key or the field does not exist.
    /// - Throws: ``RedisError`` as ``hmget(_:_:)`` does; `unexpectedReply` if any value is not of that type.
    public func hmget<Value: RESPDecodable>(
        _ key: String,
        _ fields: [String],
        as type: Value.Type
    ) async throws(RedisError) -> [Value?] {
        guard !fields.isEmpty else {
            throw RedisError(.invalidCommand, .notSent, endpoint: endpoint, "HMGET needs at least one field")
        }
        let values = try await perform(RESPKeyAndList("HMGET", key, fields), as: [Value?].self)
        guard values.count == fields.count else {
            throw RedisError(
                .unexpectedReply,
                .answered,
                endpoint: endpoint,
                "HMGET asked for \(fields.count) fields and got \(values.count) values"
            )
        }
        return values
    }

    // MARK: Lists

    /// `LRANGE key start stop`: the elements of a list from place `start` to place `stop`, both included.
    ///
    /// - Parameters:
    ///   - key: the list's key.
    ///   - start: the first place, from 0; negative places count from the end, which is −1.
    ///   - stop: the last place, counted in the same way.
    /// - Returns: the elements as text; `[]` if the key does not exist or no element is in the range.
    /// - Throws: ``RedisError``: `unexpectedReply` if any element is not UTF-8, `wrongType` if the key is not a list, and
    ///   every way a command can end without a reply.
    public func lrange(_ key: String, _ start: Int, _ stop: Int) async throws(RedisError) -> [String] {
        try await perform(RESPRangeCommand("LRANGE", key, start, stop), as: [String].self)
    }

    /// `LRANGE key start stop`, each element decoded as another type.
    ///
    /// See ``lrange(_:_:_:)``.
    ///
    /// - Returns: the elements; `[]` if the key does not exist or no element is in the range.
    /// - Throws: ``RedisError`` as ``lrange(_:_:_:)`` does.
    public func lrange<Element: RESPDecodable>(
        _ key: String,
        _ start: Int,
        _ stop: Int,
        as type: Element.Type
    ) async throws(RedisError) -> [Element] {
        try await perform(RESPRangeCommand("LRANGE", key, start, stop), as: [Element].self)
    }

    // MARK: Any command

    /// Any command, by its words.
    ///
    /// ```swift
    /// let reply = try await redis.send("SET", "k", 1, "EX", 60)
    /// ```
    ///
    /// - Parameter words: the command's name and its arguments: text, bytes or numbers.
    /// - Returns: the reply, of whatever shape.
    /// - Throws: ``RedisError``: the error, if that is the reply; `invalidCommand` without words, and for commands that
    ///   change how the server answers (`SUBSCRIBE` and its like, `MONITOR`, `HELLO`, `CLIENT REPLY`); and every
    ///   way a command can end without a reply.
    public func send(_ words: any RESPEncodable...) async throws(RedisError) -> RESPValue {
        try await perform(try checked(words), as: RESPValue.self)
    }

    /// Any command, by its words, its reply decoded as a type.
    ///
    /// ```swift
    /// let bytes = try await redis.send("GET", "k", as: [UInt8]?.self)
    /// ```
    ///
    /// - Returns: the decoded reply.
    /// - Throws: ``RedisError``: `unexpectedReply` if the reply is not of that type, and as ``send(_:)`` does.
    public func send<Value: RESPDecodable>(
        _ words: any RESPEncodable...,
        as type: Value.Type
    ) async throws(RedisError) -> Value {
        try await perform(try checked(words), as: type)
    }

    /// Any command, its words in an array.
    ///
    /// - Returns: the reply, of whatever shape.
    /// - Throws: ``RedisError`` as ``send(_:)`` does.
    public func send(words: [any RESPEncodable]) async throws(RedisError) -> RESPValue {
        try await perform(try checked(words), as: RESPValue.self)
    }

    /// Any command, its words in an array, its reply decoded as a type.
    ///
    /// - Returns: the decoded reply.
    /// - Throws: ``RedisError`` as ``send(_:as:)`` does.
    public func send<Value: RESPDecodable>(
        words: [any RESPEncodable],
        as type: Value.Type
    ) async throws(RedisError) -> Value {
        try await perform(try checked(words), as: type)
    }

    /// The command, unless it is one that is not answered by exactly one reply: what came after it would get the wrong one.
    private func checked(_ words: [any RESPEncodable]) throws(RedisError) -> RESPWordList {
        let command = RESPWordList(words)
        switch command.capitals(0) {
        case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
            "MONITOR", "SYNC",
            "PSYNC", "HELLO":
            throw refused(command.capitals(0))
        case "CLIENT" where command.capitals(1) == "REPLY":
            throw refused("CLIENT REPLY")
        default:
            return command
        }
    }

    private func refused(_ name: String?) -> RedisError {
        let message =
            "\(name ?? "") changes how a server answers, and replies could not be matched to commands any more: "
            + "it cannot be sent here"
        return RedisError(.invalidCommand, .notSent, endpoint: endpoint, message)
    }
}
