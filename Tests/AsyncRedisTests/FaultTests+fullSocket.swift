@_spi(Driver) import AsyncIO
import Glibc
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

extension FaultTests {
    /// In a process of its own, whose limit on descriptors is nobody else's.
    @Test func aFullSocketIsWrittenToAlsoWithoutADescriptorToWatchItBy() async {
        await #expect(processExitsWith: .success) {
            let loop = EventLoop(name: "fault")
            let sluggish = try Sluggish()
            let policy = EndpointPolicy(commandTimeout: .seconds(20))
            let redis = try await AsyncRedisClient.connect(
                to: sluggish.server.url,
                on: loop,
                policy: policy
            )
            let first = Task { try await redis.send("FIRST") }
            await sluggish.hasReadTheFirst.wait()
            let descriptors = openDescriptors()
            let most = allowDescriptors(3)

            let suite = FaultTests()
            let large = try #require(await suite.fillSocket(redis, loop, within: nil))
            sluggish.mayAnswerTheFirst.open()
            #expect(try await first.value == .simpleString("FIRST"))
            sluggish.mayReadOn.open()
            #expect(await large.value.error == nil)
            #expect(try await redis.send("AFTER") == .simpleString("AFTER"))
            #expect(allowDescriptors(most) == 3)
            #expect(openDescriptors() == descriptors, "the socket was watched by a second descriptor")
            await redis.close()
            await loop.shutdown()
            sluggish.stop()
        }
    }

    /// In a process of its own, whose descriptors and memory are nobody else's.
    @Test func nothingIsLeftOfFullSockets() async {
        await #expect(processExitsWith: .success) {
            let loop = EventLoop(name: "fault")
            var before: (descriptors: Int, memory: Int)?
            for round in 0..<9 {
                try await FaultTests().leaveASocketFull(loop, round % 3)
                if round == 2 { before = (openDescriptors(), Heap.allocatedBytes()) }
            }
            let start = try #require(before)
            #expect(await eventually { openDescriptors() <= start.descriptors })
            #expect(await loop.run { loop.core.driver.residentCount } == 0)
            // Each time 64 MB waited for the socket.
            let growth = Heap.allocatedBytes() - start.memory
            #expect(isSanitized || growth < 1 << 20, "\(growth) bytes more than before")
        }
    }

    /// Ends a client whose socket is full, in one of three ways.
    private func leaveASocketFull(_ loop: EventLoop, _ way: Int) async throws {
        let sluggish = try Sluggish()
        let policy = EndpointPolicy(commandTimeout: nil, livenessTimeout: nil)
        let redis = try await AsyncRedisClient.connect(to: sluggish.server.url, on: loop, policy: policy)
        let first = Task { await Ending.of(within: .zero) { _ = try await redis.send("FIRST") } }
        await sluggish.hasReadTheFirst.wait()
        let large = try #require(await fillSocket(redis, loop, within: nil))
        switch way {
        case 0: redis.shutdown()
        case 1: await redis.close(timeout: .milliseconds(20))
        default: sluggish.server.stop()
        }
        #expect(await large.value.sight?.outcome == .indeterminate)
        #expect(await first.value.sight?.outcome == .indeterminate)
        sluggish.stop()
    }
}

/// Sets how many descriptors the process may have.
///
/// - Returns: how many it might have before.
private func allowDescriptors(_ most: UInt) -> UInt {
    var limit = rlimit()
    // Both read or write the one value they are given.
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let before = limit.rlim_cur
    limit.rlim_cur = most
    unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return before
}
