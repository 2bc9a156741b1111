import Foundation
import TestSupport
import Testing

@testable import AsyncRedis

/// A request and the bytes a real server answered it with.
private struct Fixture: Decodable, CustomTestStringConvertible {
    let name: String
    let request: [String]?
    let requests: [[String]]?
    let replyBytes: String
    enum CodingKeys: String, CodingKey {
        case name, request, requests
        case replyBytes = "reply_b64"
    }

    var testDescription: String { name }

    var commands: [[[UInt8]]] {
        (requests ?? [request ?? []]).map { $0.map { Array(Data(base64Encoded: $0) ?? Data()) } }
    }
    var bytes: [UInt8] { Array(Data(base64Encoded: replyBytes) ?? Data()) }

    static let files: [URL] = {
        let folder = URL(filePath: #filePath).appending(path: "../../../Fixtures/resp2").standardized
        let all = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return (all ?? []).filter { $0.pathExtension == "json" }
    }()

    static let all: [Fixture] = files.compactMap { file in
        (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(Fixture.self, from: $0) }
    }
}

/// Recorded replies, played back over loopback in pieces of chosen sizes to a whole client.
@Suite struct FixtureReplayTests {
    @Test func thereAreFixturesAndEachCanBeRead() {
        #expect(Fixture.files.count >= 20)
        #expect(Fixture.all.count == Fixture.files.count)
    }

    @Test(arguments: Fixture.all)
    fileprivate func everyFixtureIsDeliveredInPiecesOfSomeSizes(fixture: Fixture) async throws {
        var decoder = RESPDecoder()
        decoder.append(fixture.bytes)
        var expected: [RESPValue] = []
        while let reply = try decoder.next() { expected.append(reply) }
        #expect(expected.count == fixture.commands.count)

        // One byte at a time for short replies; long ones would take a system call for each of 70,000 bytes.
        let smallest = fixture.bytes.count < 2000 ? 1 : 701
        for chunk in [smallest, smallest + 1, 1000, 65536] {
            try await replay(fixture, expected, chunk)
        }
    }

    private func replay(_ fixture: Fixture, _ expected: [RESPValue], _ chunk: Int) async throws {
        let commands = fixture.commands
        let bytes = fixture.bytes
        let received = Collected<[[[UInt8]]]>([])
        let server = try ScriptedServer { connection in
            for _ in commands {
                guard let command = connection.readCommand() else { return }
                received.update { $0.append(command) }
            }
            connection.write(bytes, chunk: chunk)
            while connection.readSome() != nil {}
        }
        let loop = EventLoop(name: "replay")
        let redis = try await AsyncRedisClient.connect(to: server.url, on: loop, policy: .patient)
        // On the loop, tasks begin in the order they are added.
        await loop.run {
            await withTaskGroup(of: (Int, Result<RESPValue, RedisError>).self) { group in
                for (index, words) in commands.enumerated() {
                    group.addTask {
                        do throws(RedisError) {
                            return (index, .success(try await redis.send(words: words)))
                        } catch {
                            return (index, .failure(error))
                        }
                    }
                }
                for await (index, result) in group {
                    switch (result, expected[index]) {
                    case (.success(let value), let wanted): #expect(value == wanted)
                    case (.failure(let error), .simpleError(let message)):
                        #expect(error.serverMessage == message)
                        #expect(error.outcome == .rejected)
                    case (.failure(let error), _): Issue.record("\(error)")
                    }
                }
            }
        }
        #expect(received.value == commands)
        await redis.close()
        server.stop()
        await loop.shutdown()
    }
}
