import Testing

@testable import AsyncRedis

/// What URLs mean, and that none of their errors shows a password.
@Suite struct RedisURLTests {
    private func parse(_ url: String) throws(RedisError) -> EndpointSpec {
        try RedisURL(url, policy: EndpointPolicy()).spec
    }

    @Test func hostAndPort() throws {
        let spec = try parse("redis://example.org:6380")
        #expect(spec.host == "example.org")
        #expect(spec.port == 6380)
        #expect(spec.credentials == nil)
        #expect(spec.database == nil)
        #expect(spec.socketPath == nil)
        #expect(spec.id == "example.org:6380")
        #expect(spec.kind == .redis)
    }

    @Test(arguments: ["redis://h", "redis://h/", "REDIS://h", "redis://h:6379/"])
    func defaults(url: String) throws {
        let spec = try parse(url)
        #expect(spec.host == "h")
        #expect(spec.port == 6379)
        #expect(spec.database == nil)
    }

    @Test func ipv6() throws {
        let spec = try parse("redis://[::1]:7000/3")
        #expect(spec.host == "::1")
        #expect(spec.port == 7000)
        #expect(spec.id == "[::1]:7000")
        #expect(try parse("redis://[fe80::1]").port == 6379)
    }

    @Test(arguments: [
        ("redis://user:secret@h", "user", "secret"), ("redis://:secret@h", nil, "secret"),
        ("redis://u%40x:p%3A%2F%25%20@h", "u@x", "p:/% "), ("redis://u:p@ss@h", "u", "p@ss"),
        ("redis://u:a:b@h", "u", "a:b"), ("redis://u:%C3%A9@h", "u", "é"), ("redis://u:@h", "u", ""),
    ])
    func credentials(url: String, user: String?, password: String) throws {
        let spec = try parse(url)
        #expect(spec.credentials == EndpointCredentials(username: user, password: password))
        #expect(spec.host == "h")
    }

    @Test(arguments: [
        ("redis://h/0", "0"), ("redis://h/15", "15"), ("redis://h?db=4", "4"), ("redis://h/?db=4", "4"),
    ])
    func databases(url: String, database: String) throws {
        #expect(try parse(url).database == database)
    }

    @Test func unixSockets() throws {
        let spec = try parse("unix:///run/redis/redis.sock?db=2")
        #expect(spec.socketPath == "/run/redis/redis.sock")
        #expect(spec.database == "2")
        #expect(try parse("unix:///a%20b.sock").socketPath == "/a b.sock")
        #expect(try parse("unix://:secret@/r.sock").credentials?.password == "secret")
    }

    @Test(arguments: [
        "", "redis", "localhost:6379", "http://h", "redis://", "redis://:6379", "redis://h:0",
        "redis://h:65536",
        "redis://h:+1", "redis://h:x", "redis://h:", "redis://::1", "redis://[::1", "redis://[::1]x",
        "redis://h/x",
        "redis://h/-1", "redis://h/01", "redis://h/1/2", "redis://h/1?db=2", "redis://h?db=1&db=2",
        "redis://h?x=1",
        "redis://h/99999999999", "unix://", "unix://relative.sock", "unix://host/path", "redis://useronly@h",
        "redis://u:%zz@h", "redis://u:%f@h", "redis://u:%ff@h", "redis://h#x", "redis://h%00",
    ])
    func badURLsAreRefusedWithASentence(url: String) throws {
        let error = try #require(throws: RedisError.self) { try parse(url) }
        #expect(error.code == .invalidURL || error.code == .invalidEndpoint)
        #expect(error.outcome == .notSent)
        #expect(error.description.count > 20)
    }

    @Test func tlsIsRefusedByName() throws {
        let error = try #require(throws: RedisError.self) { try parse("rediss://h") }
        #expect(error.description.contains("TLS is not built in yet"))
    }

    @Test(arguments: [
        "redis://user:hunter2@h:99999", "redis://user:hunter2@", "redis://user:hunter2@h/x",
        "redis://user:hunter2%zz@h",
        "foo://user:hunter2@h", "redis://user:hunter2@h?hunter2=1", "rediss://:hunter2@h",
        "unix://u:hunter2@host/x",
        "redis://u:hunter2#@h", "redis://u:hunter2/@h",
    ])
    func noErrorShowsThePassword(url: String) throws {
        let error = try #require(throws: RedisError.self) { try parse(url) }
        #expect(!"\(error)".contains("hunter2"))
        #expect(!String(reflecting: error).contains("hunter2"))
    }

    @Test func noDescriptionShowsThePassword() throws {
        let spec = try parse("redis://user:hunter2@h")
        var dumped = ""
        dump(spec, to: &dumped)
        for text in ["\(spec)", String(reflecting: spec), dumped, spec.id] {
            #expect(!text.contains("hunter2"))
        }
    }
}
