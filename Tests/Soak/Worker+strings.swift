import AsyncRedis
import TestSupport

extension Worker {
    // MARK: Echo

    mutating func echo(_ call: Call) async {
        let call = call.named("ECHO")
        let question = Content.bytes(Content.tag(name, "echo", world.number()), size: size())
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("ECHO", question, as: [UInt8].self, timeout: timeout)
        }
        if case .success(let reply) = result { check(reply == question, call, Content.excerpt(reply)) }
    }

    /// Many at once on one client, some of them cancelled together.
    mutating func burst(_ call: Call) async {
        let count = Int.random(in: 2...120, using: &random)
        let name = name
        let world = world
        let cancelAfter = random.oneIn(2) ? random.milliseconds(0...10) : nil
        let seed = random.next()
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count {
                var random = SplitMix64(seed: seed &+ UInt64(index))
                var call = call.named("ECHO in a burst")
                call.mood = .calm(&random)
                call.mood.cancelAfter = index.isMultiple(of: 2) ? nil : cancelAfter
                let size = Int.random(in: 0...400, using: &random)
                let question = Content.bytes(Content.tag(name, "burst", world.number()), size: size)
                group.addTask { [call] in await world.echo(question, call) }
            }
        }
    }

    // MARK: A value of one's own

    mutating func write(_ call: Call) async {
        let call = call.named("SET")
        if register.isBlurred { await retire(\.register, "r", call) }
        let number = register.begin()
        let key = register.key
        let value = Content.bytes(Content.tag(key, "value", number), size: size())
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("SET", key, value, timeout: timeout)
        }
        switch result {
        case .success(let reply):
            register.wrote(number, call.client, nil)
            check(reply == .simpleString("OK"), call, "\(reply)")
        case .failure(let error):
            register.wrote(number, call.client, error.outcome)
        }
    }

    mutating func read(_ call: Call) async {
        let call = call.named("GET")
        let key = register.key
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("GET", key, as: [UInt8]?.self, timeout: timeout)
        }
        guard case .success(let reply) = result else { return }
        var number: Int?
        if let reply {
            number = Self.number(in: Content.tag(of: reply), of: key)
            guard number != nil else { return check(false, call, "\(key) holds \(Content.excerpt(reply))") }
        }
        let problem = register.read(number, call.client)
        check(problem == nil, call, problem ?? "")
    }

    /// The number of the write that a tag comes from, if the tag is one of this key's.
    static func number(in tag: String?, of key: String) -> Int? {
        let words = tag?.split(separator: "|", omittingEmptySubsequences: false) ?? []
        return words.count == 3 && words[0] == key ? Int(words[2]) : nil
    }

    /// Goes on with another key.
    mutating func retire(_ register: WritableKeyPath<Worker, Register>, _ letter: String, _ call: Call) async
    {
        let old = self[keyPath: register].key
        self[keyPath: register] = Register(key: "\(name).\(letter)\(world.number())")
        _ = await world.ask(call.named("DEL")) { client, timeout throws(RedisError) in
            try await client.send("DEL", old, timeout: timeout)
        }
    }

    mutating func increment(_ call: Call) async {
        let call = call.named("INCR")
        let key = counter.key
        counter.begin()
        let result = await world.ask(call) { client, timeout throws(RedisError) in
            try await client.send("INCR", key, as: Int64.self, timeout: timeout)
        }
        switch result {
        case .success(let reply):
            let problem = counter.answered(reply, call.client)
            check(problem == nil, call, problem ?? "")
        case .failure(let error):
            counter.ended(error.outcome)
        }
    }
}

extension World {
    /// One question that its reply has to repeat.
    func echo(_ question: [UInt8], _ call: Call, _ ticket: Watch.Ticket? = nil) async {
        let result = await ask(call, ticket) { client, timeout throws(RedisError) in
            try await client.send("ECHO", question, as: [UInt8].self, timeout: timeout)
        }
        guard case .success(let reply) = result else { return }
        guard reply == question else {
            return ledger.wrong("\(call.name) on \(call.place.id): \(Content.excerpt(reply))")
        }
        ledger.checked(call.name)
    }
}
