public import RESP

extension AsyncRedisClient {
    // MARK: Hashes

    /// `HGET key field`: the value of a hash's field.
    ///
    /// - Parameters:
    ///   - key: the hash's key.
    ///   - field: the field's name.
    ///   - timeout: the most time it may take, the wait for its turn included. The endpoint's `commandTimeout` and
    ///     ``AsyncIO/withIOTimeout(_:_:)`` hold beside it: the earliest wins. So it is with every call here.
    /// - Returns: the value as text, or `nil` if the key or the field does not exist.
    /// - Throws: ``RedisError``: `unexpectedReply` if the value is not UTF-8 (read it as `[UInt8]`), `wrongType` if the key is
    ///   not a hash, and every way a command can end without a reply.
    public func hget(_ key: String, _ field: String, timeout: Duration? = nil) async throws(RedisError)
        -> String?
    {
        try await perform(RESPHGet(key, field), as: String?.self, timeout: timeout)
    }

    /// `HGET key field`, decoded as another type, for example `[UInt8]` for any bytes.
    ///
    /// - Returns: the value, or `nil` if the key or the field does not exist.
    /// - Throws: ``RedisError``: `unexpectedReply` if the value is not of that type, and as ``hget(_:_:timeout:)`` does.
    @_specialize(where Value == [UInt8])
    @_specialize(where Value == Int)
    public func hget<Value: RESPDecodable>(
        _ key: String,
        _ field: String,
        as type: Value.Type,
        timeout: Duration? = nil
    ) async throws(RedisError) -> Value? {
        try await perform(RESPHGet(key, field), as: Value?.self, timeout: timeout)
    }

    /// `HMGET key field …`: the values of several fields of a hash.
    ///
    /// - Returns: one element for each field, in their order, `nil` where the key or the field does not exist.
    /// - Throws: ``RedisError``: `invalidCommand` without fields, and as ``hget(_:_:timeout:)`` does.
    public func hmget(
        _ key: String,
        _ fields: [String],
        timeout: Duration? = nil
    ) async throws(RedisError) -> [String?] {
        try await hmget(key, fields, as: String.self, timeout: timeout)
    }

    /// `HMGET key field …`, each value decoded as another type.
    ///
    /// - Returns: one element for each field, in their order, `nil` where the key or the field does not exist.
    /// - Throws: ``RedisError`` as ``hmget(_:_:timeout:)`` does; `unexpectedReply` if any value is not of that type.
    @_specialize(where Value == [UInt8])
    public func hmget<Value: RESPDecodable>(
        _ key: String,
        _ fields: [String],
        as type: Value.Type,
        timeout: Duration? = nil
    ) async throws(RedisError) -> [Value?] {
        guard !fields.isEmpty else {
            throw invalid("HMGET needs at least one field")
        }
        let values = try await perform(
            RESPHMGet(key, fields),
            as: [Value?].self,
            timeout: timeout
        )
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
    ///   - timeout: the most time it may take.
    /// - Returns: the elements as text; `[]` if the key does not exist or no element is in the range.
    /// - Throws: ``RedisError``: `unexpectedReply` if any element is not UTF-8, `wrongType` if the key is not a list, and
    ///   every way a command can end without a reply.
    public func lrange(
        _ key: String,
        _ start: Int,
        _ stop: Int,
        timeout: Duration? = nil
    ) async throws(RedisError) -> [String] {
        try await perform(RESPLRange(key, start, stop), as: [String].self, timeout: timeout)
    }

    /// `LRANGE key start stop`, each element decoded as another type.
    ///
    /// See ``lrange(_:_:_:timeout:)``.
    ///
    /// - Returns: the elements; `[]` if the key does not exist or no element is in the range.
    /// - Throws: ``RedisError`` as ``lrange(_:_:_:timeout:)`` does.
    @_specialize(where Element == [UInt8])
    public func lrange<Element: RESPDecodable>(
        _ key: String,
        _ start: Int,
        _ stop: Int,
        as type: Element.Type,
        timeout: Duration? = nil
    ) async throws(RedisError) -> [Element] {
        try await perform(RESPLRange(key, start, stop), as: [Element].self, timeout: timeout)
    }

    // MARK: Any command

    // What most replies are read as has code of its own (`@_specialize`); everything else is decoded through its conformance.

    /// Any command, by its words.
    ///
    /// ```swift
    /// let reply = try await redis.send("SET", "k", 1, "EX", 60)
    /// ```
    ///
    /// A command that blocks on the server (`BLPOP`, `XREAD BLOCK`, `WAIT` …) holds up everything behind it, and one such
    /// as `MULTI` or `SELECT` changes what the others on its connection mean: both are for a client that has one
    /// user (``AsyncIO/EndpointPolicy/isExclusive``). A blocking command has the time it names on top of the
    /// endpoint's `commandTimeout`.
    ///
    /// - Parameters:
    ///   - words: the command's name and its arguments: text, bytes or numbers.
    ///   - timeout: the most time it may take.
    /// - Returns: the reply, of whatever shape.
    /// - Throws: ``RedisError``: the error, if that is the reply; `invalidCommand` without words, for a command that is not
    ///   for a shared client, and for one that is not answered by exactly one reply (`SUBSCRIBE` and its like, `MONITOR`,
    ///   `HELLO`, `CLIENT REPLY`); and every way a command can end without a reply.
    public func send(_ words: any RESPEncodable..., timeout: Duration? = nil) async throws(RedisError)
        -> RESPValue
    {
        try await perform(words: words, as: RESPValue.self, timeout: timeout)
    }

    /// Any command, by its words, its reply decoded as a type.
    ///
    /// ```swift
    /// let bytes = try await redis.send("GET", "k", as: [UInt8]?.self)
    /// ```
    ///
    /// - Returns: the decoded reply.
    /// - Throws: ``RedisError``: `unexpectedReply` if the reply is not of that type, and as ``send(_:timeout:)`` does.
    @_specialize(where Value == String)
    @_specialize(where Value == String?)
    @_specialize(where Value == [UInt8])
    @_specialize(where Value == [UInt8]?)
    @_specialize(where Value == Int)
    @_specialize(where Value == Bool)
    @_specialize(where Value == [String])
    public func send<Value: RESPDecodable>(
        _ words: any RESPEncodable...,
        as type: Value.Type,
        timeout: Duration? = nil
    ) async throws(RedisError) -> Value {
        try await perform(words: words, as: type, timeout: timeout)
    }

    /// Any command, its words in an array.
    ///
    /// - Returns: the reply, of whatever shape.
    /// - Throws: ``RedisError`` as ``send(_:timeout:)`` does.
    public func send(words: [any RESPEncodable], timeout: Duration? = nil) async throws(RedisError)
        -> RESPValue
    {
        try await perform(words: words, as: RESPValue.self, timeout: timeout)
    }

    /// Any command, its words in an array, its reply decoded as a type.
    ///
    /// - Returns: the decoded reply.
    /// - Throws: ``RedisError`` as ``send(_:as:timeout:)`` does.
    @_specialize(where Value == String)
    @_specialize(where Value == String?)
    @_specialize(where Value == [UInt8])
    @_specialize(where Value == [UInt8]?)
    @_specialize(where Value == Int)
    @_specialize(where Value == Bool)
    @_specialize(where Value == [String])
    public func send<Value: RESPDecodable>(
        words: [any RESPEncodable],
        as type: Value.Type,
        timeout: Duration? = nil
    ) async throws(RedisError) -> Value {
        try await perform(words: words, as: type, timeout: timeout)
    }

    /// Why a command whose effect on those behind it is not for this client is refused; nil if it is.
    func refusal(_ effect: CommandEffect, _ command: RESPWordList) -> RedisError? {
        let name = command.capitals(0) ?? ""
        let problem: String
        switch effect {
        case .none: return nil
        case .blocks:
            if connection.isExclusive { return nil }
            problem = "blocks on the server and would hold up everyone who shares this client"
        case .changesConnection:
            if connection.isExclusive { return nil }
            problem = "changes the connection for everyone who shares this client"
        case .breaksMatching:
            return invalid(
                "\(name) changes how a server answers, and replies could not be matched to commands any more"
            )
        }
        return invalid(
            "\(name) \(problem): make a client of your own with connect(to:), or set the policy's isExclusive"
        )
    }

    private func invalid(_ message: String) -> RedisError {
        RedisError(.invalidCommand, .notSent, endpoint: endpoint, message)
    }
}
