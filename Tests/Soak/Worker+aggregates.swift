import AsyncRedis

/// A list whose elements say their key and index.
struct StoredList {
    let key: String
    let count: Int
    /// The client that stored it, once that is certain.
    var witness: AsyncRedisClient?

    func element(_ index: Int) -> String { "\(key):\(index)" }

    /// What `LRANGE` answers.
    func range(_ start: Int, _ stop: Int) -> [String] {
        let first = max(0, start < 0 ? count + start : start)
        let last = min(count - 1, stop < 0 ? count + stop : stop)
        return first <= last ? (first...last).map { element($0) } : []
    }
}

extension Worker {
    private static let fields = (0..<8).map { "f\($0)" }

    // MARK: Hashes

    /// Writes all fields at once: whoever reads some of them has to see the same write in each.
    mutating func writeHash(_ call: Call) async {
        let call = call.named("HSET")
        if hash.isBlurred { await retire(\.hash, "h", call) }
        let number = hash.begin()
        let key = hash.key
        var words: [any RESPEncodable] = ["HSET", key]
        for field in Self.fields {
            words.append(field)
            words.append("\(key)|\(field)|\(number)")
        }
        let sent = words.map(\.respWord)
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send(words: sent, as: Int.self, timeout: timeout)
        }
        switch result {
        case .success(let added):
            hash.wrote(number, call.client, nil)
            check(added == 0 || added == Self.fields.count, call, "\(added) fields added")
        case .failure(let error):
            hash.wrote(number, call.client, error.outcome)
        }
    }

    mutating func readHash(_ call: Call) async {
        let isSingle = Bool.random(using: &random)
        let call = call.named(isSingle ? "HGET" : "HMGET")
        let key = hash.key
        let count = isSingle ? 1 : Int.random(in: 1...10, using: &random)
        let fields = (0..<count).map { _ in random.oneIn(10) ? "none" : random.pick("f0", "f3", "f5", "f7") }
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            isSingle
                ? [try await client.hget(key, fields[0], timeout: timeout)]
                : try await client.hmget(key, fields, timeout: timeout)
        }
        guard case .success(let values) = result else { return }
        var seen: Set<Int?> = []
        for (field, value) in zip(fields, values) {
            guard field != "none" else {
                if value != nil { check(false, call, "a field that is not there is \(value ?? "")") }
                continue
            }
            let number = Self.number(in: value, of: key)
            if let value, number == nil || value != "\(key)|\(field)|\(number ?? 0)" {
                return check(false, call, "\(field) of \(key) is \(value)")
            }
            seen.insert(number)
        }
        guard values.count == count, seen.count <= 1 else {
            return check(false, call, "\(key): \(values), of several writes")
        }
        guard let number = seen.first else { return }
        let problem = hash.read(number, call.client)
        check(problem == nil, call, problem ?? "")
    }

    // MARK: Lists

    mutating func range(_ call: Call) async {
        guard let stored = list, !random.oneIn(20) else { return await storeList(call) }
        let call = call.named("LRANGE")
        let start = Int.random(in: (-stored.count - 2)...(stored.count + 2), using: &random)
        let stop = random.oneIn(3) ? -1 : Int.random(in: start...(stored.count + 4), using: &random)
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.lrange(stored.key, start, stop, timeout: timeout)
        }
        guard case .success(let reply) = result else { return }
        let expected = stored.range(start, stop)
        if reply.isEmpty, !expected.isEmpty {
            check(stored.witness !== call.client, call, "\(stored.key) is absent where it was stored")
            list = nil
        } else {
            let found = "\(reply.count) elements, \(reply.prefix(3)) …"
            check(reply == expected, call, "\(stored.key) \(start) \(stop): \(found)")
        }
    }

    private mutating func storeList(_ call: Call) async {
        let call = call.named("EVAL to store a list")
        let count = random.oneIn(30) ? 20_000 : Int.random(in: 1...200, using: &random)
        var stored = StoredList(key: "\(name).l\(list == nil ? 0 : 1)x\(count)", count: count)
        let script = """
            redis.call('DEL', KEYS[1])
            for index = 0, ARGV[1] - 1 do redis.call('RPUSH', KEYS[1], KEYS[1] .. ':' .. index) end
            redis.call('PEXPIRE', KEYS[1], 600000)
            return redis.call('LLEN', KEYS[1])
            """
        let key = stored.key
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("EVAL", script, 1, key, count, as: Int.self, timeout: timeout)
        }
        switch result {
        case .success(let length):
            check(length == count, call, "\(length) elements instead of \(count)")
            stored.witness = call.client
            list = stored
        case .failure:
            list = nil
        }
    }

    // MARK: Errors and scripts

    /// A hash's command for a string, which is refused with an error of the server's.
    mutating func wrongType(_ call: Call) async {
        let call = call.named("WRONGTYPE", allowing: [.wrongType, .server("SOAK")])
        let key = register.key
        let tag = "\(name)-\(world.number())"
        let isOwn = Bool.random(using: &random)
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            isOwn
                ? try await client.send(
                    "EVAL",
                    "return redis.error_reply('SOAK ' .. ARGV[1])",
                    0,
                    tag,
                    timeout: timeout
                )
                : try await client.send("HGET", key, tag, timeout: timeout)
        }
        switch result {
        case .success(let reply): check(!isOwn && reply == .null, call, "\(reply)")
        case .failure(let error):
            guard error.outcome == .rejected, error.code != .outOfMemory else { return }
            let text = String(decoding: error.serverMessage ?? [], as: UTF8.self)
            check(isOwn ? text.hasPrefix("SOAK \(tag)") : error.code == .wrongType, call, text)
        }
    }

    /// A reply of arrays in arrays, with binary in them.
    mutating func script(_ call: Call) async {
        let call = call.named("EVAL")
        let tag = "\(name)-\(world.number())"
        let number = Int64.random(in: -1_000_000...1_000_000, using: &random)
        let binary = Content.bytes(Content.tag(name, "script", world.number()), size: size() / 4)
        let script = """
            return {ARGV[1], {tonumber(ARGV[2]), {ARGV[3], {}, {ARGV[1], false}}, redis.status_reply('S' .. ARGV[1])},
                redis.error_reply('SOAK ' .. ARGV[1]), ARGV[3]}
            """
        let expected = RESPValue.array([
            .bulkString(tag),
            .array([
                .integer(number),
                .array([.bulkString(binary), .array([]), .array([.bulkString(tag), .null])]),
                .simpleString("S\(tag)"),
            ]),
            .simpleError("SOAK \(tag)"), .bulkString(binary),
        ])
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("EVAL", script, 0, tag, number, binary, timeout: timeout)
        }
        if case .success(let reply) = result { check(reply == expected, call, "\(reply)") }
    }

    /// What would hold up everybody else is refused before it is sent.
    mutating func refusedBlocking(_ call: Call) async {
        let call = call.named("BLPOP for everybody", allowing: [.invalidCommand])
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("BLPOP", "nothing", 0, timeout: timeout)
        }
        guard case .failure(let error) = result, error.code == .invalidCommand else {
            return check(false, call, "\(result)")
        }
        check(error.outcome == .notSent, call, "\(error)")
    }
}
