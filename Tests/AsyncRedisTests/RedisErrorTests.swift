import Testing

@testable import AsyncRedis

/// What an error that a server sent is to callers.
@Suite struct RedisErrorTests {
    private func error(_ message: String) -> RedisError {
        RedisError(serverMessage: Array(message.utf8), endpoint: "here")
    }

    @Test(
        arguments: [
            ("WRONGTYPE Operation against a key", .wrongType), ("ERR unknown command", .generic),
            ("NOAUTH Authentication required.", .noAuth),
            ("WRONGPASS invalid username-password pair", .wrongPassword),
            ("LOADING Redis is loading the dataset", .loading), ("OOM command not allowed", .outOfMemory),
            ("NOSCRIPT No matching script.", .server("NOSCRIPT")), ("no code", .generic), ("", .generic),
        ] as [(String, RedisError.Code)]
    )
    func theCodeIsTheServersFirstWord(message: String, code: RedisError.Code) {
        #expect(error(message).code == code)
        #expect(error(message).outcome == .rejected)
    }

    @Test func aSentenceSaysWhatTheServerSaid() {
        #expect(error("ERR no").description == "Redis here: ERR no")
        #expect(error("").description == "Redis here: the server answered with an error that says nothing")
    }
}
