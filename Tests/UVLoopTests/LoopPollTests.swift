import Foundation
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Readiness of descriptors that somebody else reads and writes.
@Suite struct LoopPollTests {
    /// Two connected sockets.
    final class Pair: Sendable {
        let near: Int32
        let far: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            // A process that another test runs meanwhile would hold the far end open that is closed here.
            let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            let result = unsafe socketpair(AF_UNIX, kind, 0, &ends)
            try #require(result == 0)
            (near, far) = (ends[0], ends[1])
        }

        func sendFromFar(_ text: String) { _ = unsafe write(far, text, text.utf8.count) }

        func readNear() -> String {
            var bytes = [UInt8](repeating: 0, count: 100)
            let count = unsafe read(near, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }

        func closeBoth() {
            close(near)
            close(far)
        }
    }

    private typealias Told = Collected<[Result<LoopPoll.Readiness, IOError>]>

    private func watch(
        _ descriptor: Int32,
        on loop: EventLoop,
        _ told: Told,
        for readiness: LoopPoll.Readiness,
        whenReady: @escaping @Sendable (LoopPoll) -> Void = { _ in }
    ) async throws -> OnLoop<LoopPoll?> {
        try await loop.run {
            let box = OnLoop<LoopPoll?>(nil)
            box.value = try LoopPoll(
                on: loop,
                descriptor: descriptor,
                ready: { result in
                    told.update { $0.append(result) }
                    if let poll = box.value { whenReady(poll) }
                }
            )
            box.value?.wait(for: readiness)
            return box
        }
    }

    /// Lets the loop poll its descriptors, twice.
    private func poll(_ loop: EventLoop) async {
        for _ in 0..<2 { try? await loop.sleep(for: .zero) }
    }

    @Test func tellsWhatIsWaitedForAndNothingElse() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: .readable) { _ in _ = pair.readNear() }
        await poll(loop)
        // It is writable all the time.
        #expect(told.value == [])
        pair.sendFromFar("x")
        #expect(await eventually { told.value == [.success(.readable)] })

        told.update { $0 = [] }
        await loop.run { box.value?.wait(for: .writable) }
        #expect(await eventually { !told.value.isEmpty })
        await loop.run { box.value?.wait(for: .readable) }
        #expect(told.value.allSatisfy { $0 == .success(.writable) })
        told.update { $0 = [] }
        await poll(loop)
        #expect(told.value == [])
        await loop.run { box.value?.close() }
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func whatIsNotReadIsToldAgain() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        pair.sendFromFar("x")
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: .readable)
        #expect(await eventually { told.value.count >= 3 })
        await loop.run { box.value?.close() }
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func bothAreToldTogether() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        pair.sendFromFar("x")
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: [.readable, .writable])
        #expect(await eventually { told.value.first == .success([.readable, .writable]) })
        await loop.run { box.value?.close() }
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func stoppedItIsSilentUntilItWaitsAgain() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: .readable) { $0.stop() }
        pair.sendFromFar("x")
        #expect(await eventually { told.value.count == 1 })
        await poll(loop)
        #expect(told.value.count == 1)
        await loop.run { box.value?.wait(for: .readable) }
        #expect(await eventually { told.value.count == 2 })
        // Nothing to wait for is the same as to stop.
        await loop.run {
            box.value?.wait(for: .readable)
            box.value?.wait(for: [])
        }
        await poll(loop)
        #expect(told.value.count == 2)
        await loop.run { box.value?.close() }
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func closedItIsSilentAndItsDescriptorIsItsOwnersAgain() async throws {
        let loop = EventLoop(name: "test")
        let told = Told([])
        let first = try Pair()
        let box = try await watch(first.near, on: loop, told, for: .readable) { poll in
            // Inside its own callback, and its descriptor is closed as soon as it has returned.
            poll.close()
            poll.close()
            poll.wait(for: .readable)
            poll.stop()
            first.closeBoth()
        }
        first.sendFromFar("x")
        #expect(await eventually { told.value.count == 1 })
        // The kernel gives out the lowest number that is free, and as a rule the same ones.
        let second = try Pair()
        let again = try await watch(second.near, on: loop, told, for: .readable) { _ in _ = second.readNear()
        }
        second.sendFromFar("y")
        #expect(await eventually { told.value.count == 2 })
        await loop.run {
            again.value?.close()
            box.value = nil
        }
        await loop.shutdown()
        second.closeBoth()
    }

    @Test func ofTwoReadyPollsTheFirstMayCloseTheSecond() async throws {
        let loop = EventLoop(name: "test")
        let (one, two) = (try Pair(), try Pair())
        let told = Told([])
        let polls = OnLoop<[LoopPoll]>([])
        for pair in [one, two] {
            let box = try await watch(pair.near, on: loop, told, for: []) { _ in
                for poll in polls.value { poll.close() }
                one.closeBoth()
                two.closeBoth()
            }
            await loop.run { if let poll = box.value { polls.value.append(poll) } }
        }
        // Both are ready in the same poll of the loop.
        one.sendFromFar("x")
        two.sendFromFar("x")
        await loop.run { for poll in polls.value { poll.wait(for: .readable) } }
        #expect(await eventually { !told.value.isEmpty })
        await poll(loop)
        #expect(told.value.count == 1)
        await loop.shutdown()
    }

    @Test func onePollForEachDescriptorAtATime() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: .readable)
        try await loop.run {
            let error = #expect(throws: IOError.self) {
                try LoopPoll(on: loop, descriptor: pair.near, ready: { _ in })
            }
            #expect(error?.name == "EEXIST")
            box.value?.close()
            box.value = try LoopPoll(on: loop, descriptor: pair.near, ready: { _ in })
            box.value?.close()
        }
        await loop.shutdown()
        pair.closeBoth()
    }

    @Test func aFileCannotBeWatched() async throws {
        let loop = EventLoop(name: "test")
        let file = unsafe open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        await loop.run {
            let error = #expect(throws: IOError.self) {
                try LoopPoll(on: loop, descriptor: file, ready: { _ in })
            }
            #expect(error?.name == "EPERM")
        }
        close(file)
        await loop.shutdown()
    }

    @Test func thePeersEndIsReadable() async throws {
        let loop = EventLoop(name: "test")
        let pair = try Pair()
        let told = Told([])
        let box = try await watch(pair.near, on: loop, told, for: .readable) { $0.stop() }
        close(pair.far)
        #expect(await eventually { told.value == [.success(.readable)] })
        await loop.run { box.value?.close() }
        await loop.shutdown()
        close(pair.near)
    }

    @Test func aRefusedConnectEndsTheWatch() async throws {
        let loop = EventLoop(name: "test")
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = socket(AF_INET, kind, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        // Nobody listens on port 1.
        address.sin_port = UInt16(1).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(socket, $0, size) }
        }
        let told = Told([])
        let box = try await watch(socket, on: loop, told, for: .writable)
        #expect(await eventually { !told.value.isEmpty })
        await poll(loop)
        #expect(told.value.count == 1)
        #expect(throws: IOError.self) { try told.value.first?.get() }
        await loop.run { box.value?.close() }
        await loop.shutdown()
        close(socket)
    }
}
