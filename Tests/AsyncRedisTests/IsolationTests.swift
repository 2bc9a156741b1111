import AsyncIO
import TestSupport
import Testing
import UVLoop

@testable import AsyncRedis

/// After every await an actor's code goes on as the actor's, also where the compiler has optimised: `scripts/ci.sh` runs this
/// suite so, too.
@Suite struct IsolationTests {
    /// An actor that lives on a loop, whose thread tells whether code is the actor's.
    private actor Caller {
        private let home: EventLoop
        private let url: String
        private var strays: [String] = []

        init(on home: EventLoop, _ url: String) {
            self.home = home
            self.url = url
        }

        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe home.serialExecutor.asUnownedSerialExecutor()
        }

        private func check(_ call: String) {
            if !home.isOnLoop { strays.append(call) }
        }

        /// Calls everything that a task may wait for.
        ///
        /// - Returns: the calls behind which the actor's code ran elsewhere.
        func callEverything(servedBy loop: EventLoop) async throws -> [String] {
            let redis = try await AsyncRedisClient.connect(to: url, on: loop, policy: .patient)
            check("connect")
            _ = try await redis.hget("k", "f")
            check("hget")
            _ = try await redis.hget("k", "f", as: [UInt8].self)
            check("hget as bytes")
            _ = try? await redis.hmget("k", ["f"])
            check("hmget")
            _ = try? await redis.lrange("k", 0, 1)
            check("lrange")
            _ = try await redis.send("GET", "k")
            check("send")
            _ = try await redis.send("GET", "k", as: String.self)
            check("send as text")
            _ = try await redis.send(words: ["GET", "k"])
            check("send words")
            _ = try await withIOTimeout(.seconds(600)) { try await redis.hget("k", "f") }
            check("withIOTimeout")
            await withIOTimeout(.seconds(600)) { await redis.close(timeout: .zero) }
            check("withIOTimeout of nothing")
            try await loop.sleep(for: .milliseconds(1))
            check("sleep")
            _ = try await loop.offload { 1 }
            check("offload")
            try await loop.offload {}
            check("offload of nothing")
            _ = await loop.run { 1 }
            check("run")
            await loop.run {}
            check("run of nothing")
            _ = try? await redis.hget("k", "f")
            check("hget of a closed client")
            await redis.close(timeout: .seconds(600))
            check("close with a timeout")
            await redis.close()
            check("close")
            try await closeClients(servedBy: loop)
            return strays
        }

        private func closeClients(servedBy loop: EventLoop) async throws {
            let spec = EndpointSpec(id: "here", kind: .redis, host: "127.0.0.1", port: 1)
            let io = AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec]))
            _ = try io.redis("here")
            await io.close()
            check("close of all clients")
        }

        func shutDown(_ loop: EventLoop) async -> [String] {
            await loop.shutdown()
            check("shutdown")
            return strays
        }
    }

    private let server: ScriptedServer

    init() throws {
        server = try ScriptedServer { connection in
            while connection.readCommand() != nil { connection.write("$1\r\nv\r\n") }
        }
    }

    @Test func anActorGoesOnWhereItLives() async throws {
        let (home, loop) = (EventLoop(name: "isolation-home"), EventLoop(name: "isolation-test"))
        let caller = Caller(on: home, server.url)
        #expect(try await caller.callEverything(servedBy: loop) == [])
        #expect(await caller.shutDown(loop) == [])
        server.stop()
        await home.shutdown()
    }

    @Test func anActorOfTheLoopGoesOnThere() async throws {
        let loop = EventLoop(name: "isolation-test")
        #expect(try await Caller(on: loop, server.url).callEverything(servedBy: loop) == [])
        server.stop()
        await loop.shutdown()
    }
}
