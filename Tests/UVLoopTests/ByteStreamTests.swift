import Glibc
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Streams and the connector against a scripted server.
@Suite struct ByteStreamTests {
    private let loop = EventLoop(name: "stream-test")

    /// Connects on the loop; what comes back stays there.
    private func connect(
        _ target: StreamTarget,
        candidates: [SocketAddress]? = nil,
        timeout: Int = 3_600_000,
        _ connected: @escaping @Sendable (Result<ByteStream, ConnectFailure>) -> Void
    ) {
        loop.post { [core = loop.core] in
            let connector = StreamConnector(
                on: core.driver,
                to: target,
                deadline: LoopClock.instant(after: .milliseconds(timeout)),
                completion: connected
            )
            if let candidates { connector.start(with: candidates) } else { connector.start() }
        }
    }

    /// Collects what comes, in the order it comes.
    private final class Listener: ByteStreamDelegate, @unchecked Sendable {
        // Safe to share: touched on the loop only, but for the gate and what is collected.
        let received = Collected<[UInt8]>([])
        /// How many bytes to wait for, and the gate that opens when they have come.
        var expected = Int.max
        var keepsBytes = true
        let enough = Gate()
        private var count = 0
        let ended = Gate()
        let failure = Collected<IOError?>(nil)
        var stream: ByteStream?
        /// How many bytes to leave unconsumed at each call, as if they were the start of something.
        var holdBack = 0

        func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
            let consumed = max(0, bytes.count - holdBack)
            if keepsBytes {
                let taken = buffer.withBytes(bytes.lowerBound..<(bytes.lowerBound + consumed)) { span in
                    span.indices.map { span[$0] }
                }
                received.update { $0 += taken }
            }
            count += consumed
            if count >= expected { enough.open() }
            return consumed
        }

        var expectsNoInput: Bool { false }
        func streamWillWrite(_ now: UInt64) {}
        func streamWrote(isAll: Bool) {}

        func streamEnded(_ failure: IOError?) {
            self.failure.update { $0 = failure }
            stream = nil
            ended.open()
        }
    }

    @Test(arguments: [(30, 30_500), (0, 1), (UInt32.max, UInt32.max)])
    func theKernelIsAskedToFindADeadPeer(idleSeconds: UInt32, milliseconds: UInt32) async throws {
        let server = try ScriptedServer { connection in _ = connection.readSome() }
        let set = Collected<[Int32?]>([])
        let done = Gate()
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { result in
            if let stream = try? result.get() {
                stream.detectDeadPeer(idleSeconds: idleSeconds, unacknowledgedMilliseconds: milliseconds)
                let options = [
                    (SOL_SOCKET, SO_KEEPALIVE), (Int32(IPPROTO_TCP), TCP_KEEPIDLE),
                    (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT),
                ]
                let values = options.map { option(stream.descriptor, $0, $1) }
                set.update { $0 = values }
                stream.close()
            }
            done.open()
        }
        await done.wait()
        let idle = Int32(min(max(1, idleSeconds), 32767))
        #expect(set.value == [1, idle, Int32(clamping: milliseconds)])
        server.stop()
    }

    @Test func everyAddressIsTriedInTurn() async throws {
        let server = try ScriptedServer { connection in _ = connection.readSome() }
        let closed = try ScriptedServer.closedPort()
        let candidates = [
            try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(closed))),
            // Nobody listens there either.
            try #require(SocketAddress(literal: "::1", port: UInt16(closed))),
            try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(server.port))),
        ]
        let isConnected = Collected<Bool?>(nil)
        let done = Gate()
        connect(.tcp(host: "many", port: 1), candidates: candidates) { result in
            if case .success(let stream) = result {
                stream.close()
                isConnected.update { $0 = true }
            }
            done.open()
        }
        await done.wait()
        #expect(isConnected.value == true)
        server.stop()
        await loop.shutdown()
    }

    @Test func whenAllAddressesFailEachIsNamed() async throws {
        let closed = UInt16(try ScriptedServer.closedPort())
        let candidates = [
            try #require(SocketAddress(literal: "127.0.0.1", port: closed)),
            try #require(SocketAddress(literal: "127.0.0.2", port: closed)),
        ]
        let failure = Collected<ConnectFailure?>(nil)
        let done = Gate()
        connect(.tcp(host: "many", port: 1), candidates: candidates) { result in
            if case .failure(let error) = result { failure.update { $0 = error } }
            done.open()
        }
        await done.wait()
        #expect(failure.value?.attempts.map(\.address) == ["127.0.0.1", "127.0.0.2"])
        #expect(failure.value?.cause.name == "ECONNREFUSED")
        await loop.shutdown()
    }

    @Test func aSilentAddressLeavesTimeForTheNext() async throws {
        let server = try ScriptedServer { connection in _ = connection.readSome() }
        // A listener whose queue is full answers no further connection: that is what a silent address looks like.
        let silent = try SilentListener()
        let candidates = [
            try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(silent.port))),
            try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(server.port))),
        ]
        let isConnected = Collected(false)
        let done = Gate()
        connect(.tcp(host: "many", port: 1), candidates: candidates, timeout: 3000) { result in
            if case .success(let stream) = result {
                stream.close()
                isConnected.update { $0 = true }
            }
            done.open()
        }
        await done.wait()
        #expect(isConnected.value)
        server.stop()
        await loop.shutdown()
    }

    @Test func onlySilentAddressesTimeOut() async throws {
        let silent = try SilentListener()
        let failure = Collected<ConnectFailure?>(nil)
        let done = Gate()
        connect(.tcp(host: "127.0.0.1", port: UInt16(silent.port)), timeout: 50) { result in
            if case .failure(let error) = result { failure.update { $0 = error } }
            done.open()
        }
        await done.wait()
        #expect(failure.value?.cause == .timedOut)
        await loop.shutdown()
    }

    @Test(arguments: [0, 1, 5, 1000, 70_000])
    func bytesComeInOrderWhateverIsHeldBack(holdBack: Int) async throws {
        let sent = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let server = try ScriptedServer { connection in connection.write(sent, chunk: 3333) }
        let listener = Listener()
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { result in
            guard case .success(let stream) = result else { return listener.ended.open() }
            listener.holdBack = holdBack
            listener.stream = stream
            stream.delegate = listener
            try? stream.startReading()
        }
        await listener.ended.wait()
        #expect(listener.failure.value == nil)
        #expect(listener.received.value == Array(sent.dropLast(holdBack)))
        server.stop()
        await loop.shutdown()
    }

    @Test func aPeerThatReadsLateGetsEverythingWhileItsBytesAreRead() async throws {
        let mayRead = Gate()
        let total = Collected(0)
        let server = try ScriptedServer { connection in
            // Writes without reading: the client must go on reading while its own write is stuck.
            connection.write([UInt8](repeating: 1, count: 4 << 20))
            mayRead.waitOnThread()
            while let bytes = connection.readSome() {
                let count = bytes.count
                if total.update({
                    $0 += count; return $0
                }) == 16 << 20 {
                    break
                }
            }
        }
        let listener = Listener()
        listener.expected = 4 << 20
        listener.keepsBytes = false
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { [core = loop.core] result in
            guard case .success(let stream) = result else { return listener.ended.open() }
            listener.stream = stream
            stream.delegate = listener
            try? stream.startReading()
            let writer = core.makeWriter()
            stream.write(from: writer)
            for _ in 0..<16 {
                writer.send(1 << 20) { output in output.append(repeating: 2, count: 1 << 20) }
            }
        }
        await listener.enough.wait()
        mayRead.open()
        await listener.ended.wait()
        #expect(total.value == 16 << 20)
        server.stop()
        await loop.shutdown()
    }

    @Test func whatIsTakenBackInTimeIsNeverWritten() async throws {
        let server = try ScriptedServer { connection in
            while let bytes = connection.readSome() { connection.write(bytes) }
        }
        let listener = Listener()
        listener.expected = 6
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { [core = loop.core] result in
            guard case .success(let stream) = result else { return listener.ended.open() }
            listener.stream = stream
            stream.delegate = listener
            try? stream.startReading()
            let writer = core.makeWriter()
            stream.write(from: writer)
            for byte in UInt8(0)..<10 { writer.send(1) { output in output.append(byte) } }
            #expect(writer.takeBack([0..<1, 3..<5, 9..<10]))
            #expect(writer.bytesAccepted == 6)
            #expect(!writer.takeBack([5..<7]), "more than was accepted")
            writer.send(1) { output in output.append(10) }
            #expect(writer.takeBack([5..<6]))
        }
        await listener.enough.wait()
        #expect(listener.received.value == [1, 2, 5, 6, 7, 10])
        server.stop()
        await listener.ended.wait()
        await loop.shutdown()
    }

    @Test func aFullSocketWithNothingLeftToWriteIsNotWaitedFor() async throws {
        let isOver = Gate()
        // Reads nothing.
        let server = try ScriptedServer { _ in isOver.waitOnThread() }
        let listener = Listener()
        let wasFull = Collected(false)
        let isFull = Collected(true)
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { [core = loop.core] result in
            guard case .success(let stream) = result else { return isOver.open() }
            listener.stream = stream
            stream.delegate = listener
            let writer = core.makeWriter()
            stream.write(from: writer)
            writer.send(16 << 20) { output in output.append(repeating: 2, count: 16 << 20) }
            // A part of it in each turn.
            for _ in 0..<16 where !writer.isFull { writer.flush() }
            let isFullNow = writer.isFull
            wasFull.update { $0 = isFullNow }
            #expect(writer.takeBack([writer.bytesHandedOver..<writer.bytesAccepted]))
            let isFullStill = writer.isFull
            isFull.update { $0 = isFullStill }
            stream.close()
            isOver.open()
        }
        await isOver.wait()
        #expect(wasFull.value)
        #expect(!isFull.value)
        server.stop()
        await loop.shutdown()
    }

    @Test func theLoopsShutdownEndsStreamsAndConnectors() async throws {
        let server = try ScriptedServer { connection in _ = connection.readSome() }
        let silent = try SilentListener()
        let listener = Listener()
        let reading = Gate()
        connect(.tcp(host: "127.0.0.1", port: UInt16(server.port))) { result in
            guard case .success(let stream) = result else { return }
            listener.stream = stream
            stream.delegate = listener
            try? stream.startReading()
            reading.open()
        }
        await reading.wait()
        let cause = Collected<IOError?>(nil)
        connect(.tcp(host: "127.0.0.1", port: UInt16(silent.port))) { result in
            if case .failure(let failure) = result { cause.update { $0 = failure.cause } }
        }
        await loop.run {}
        await loop.shutdown()
        #expect(listener.failure.value == .loopShutDown)
        #expect(cause.value == .loopShutDown)
        server.stop()
    }

    @Test func addressesAreReadAndPrinted() {
        #expect(SocketAddress(literal: "127.0.0.1", port: 1)?.description == "127.0.0.1")
        #expect(SocketAddress(literal: "::1", port: 1)?.description == "::1")
        #expect(SocketAddress(literal: "localhost", port: 1) == nil)
        #expect(SocketAddress(literal: "127.0.0.1.5", port: 1) == nil)
    }
}

/// A socket's option; nil if it cannot be read.
private func option(_ descriptor: Int32?, _ level: Int32, _ name: Int32) -> Int32? {
    guard let descriptor else { return nil }
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout.size(ofValue: value))
    // The kernel writes no more than the size it is given.
    return unsafe getsockopt(descriptor, level, name, &value, &size) == 0 ? value : nil
}
