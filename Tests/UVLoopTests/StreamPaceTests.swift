import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// What a stream reads and writes in one turn of its loop.
@Suite struct StreamPaceTests {
    private let loop = EventLoop(name: "pace-test")

    /// Connects, and has `body` called with the stream on the loop.
    private func withStream(
        to server: ScriptedServer,
        _ body: @escaping @Sendable (ByteStream) -> Void
    ) {
        loop.post { [core = loop.core] in
            let target = StreamTarget.tcp(host: "127.0.0.1", port: UInt16(server.port))
            StreamConnector(on: core.driver, to: target, deadline: .max) { result in
                if let stream = try? result.get() { body(stream) }
            }
            .start()
        }
    }

    /// Notes in which turn how many bytes come.
    private final class Listener: ByteStreamDelegate, @unchecked Sendable {
        // Safe to share: touched on the loop only, but for the gate and what is collected.
        struct Read: Hashable {
            let turn: UInt64
            let byteCount: Int
        }

        let reads = Collected<[Read]>([])
        let ended = Gate()
        private let driver: LoopDriver

        init(_ driver: LoopDriver) { self.driver = driver }

        func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
            let read = Read(turn: driver.turnNumber.value, byteCount: bytes.count)
            reads.update { $0.append(read) }
            return bytes.count
        }

        var expectsNoInput: Bool { false }
        func streamWillWrite() {}
        func streamWrote(isAll: Bool) {}
        func streamEnded(_ failure: IOError?) { ended.open() }
    }

    @Test func whatFillsABufferIsDealtWithBeforeMoreIsRead() async throws {
        let hasWritten = Gate()
        let server = try ScriptedServer { connection in
            connection.write([UInt8](repeating: 1, count: 1 << 20))
            hasWritten.open()
            connection.write([UInt8](repeating: 2, count: 4 << 20))
        }
        let listener = Collected<Listener?>(nil)
        let isReading = Gate()
        withStream(to: server) { [core = loop.core] stream in
            let own = Listener(core.driver)
            listener.update { $0 = own }
            // Now there is more in the socket than one buffer takes.
            hasWritten.waitOnThread()
            stream.delegate = own
            try? stream.startReading()
            isReading.open()
        }
        await isReading.wait()
        await listener.value?.ended.wait()
        let reads = listener.value?.reads.value ?? []
        #expect(reads.reduce(0) { $0 + $1.byteCount } == 5 << 20)
        let full = zip(reads, reads.dropFirst()).filter { $0.0.byteCount == ReadBufferPool.bufferSize }
        #expect(!full.isEmpty)
        for (read, next) in full { #expect(next.turn > read.turn) }
        server.stop()
        await loop.shutdown()
    }

    @Test(arguments: [3, Int.max])
    func aTurnWritesInPiecesIfTheUserSaysSo(sendsPerWrite: Int) async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let written = Collected<[UInt64]>([])
        let turns = Collected<Set<UInt64>>([])
        let isOver = Gate()
        withStream(to: server) { [core = loop.core] stream in
            let writer = core.makeWriter()
            stream.write(from: writer)
            writer.sendsPerWrite = sendsPerWrite
            let held = OnLoop((writer: writer, stream: stream))
            // In a turn of its own, the writer's first being over, in which it has a stream.
            core.post {
                for number in 0..<8 {
                    core.post {
                        let (turn, handedOver) = (
                            core.driver.turnNumber.value, held.value.writer.bytesHandedOver
                        )
                        written.update { $0.append(handedOver) }
                        turns.update { _ = $0.insert(turn) }
                        held.value.writer.send(1) { output in output.append(UInt8(number)) }
                    }
                }
                core.post {
                    core.post {
                        let handedOver = held.value.writer.bytesHandedOver
                        written.update { $0.append(handedOver) }
                        held.value.stream.close()
                        isOver.open()
                    }
                }
            }
        }
        await isOver.wait()
        #expect(turns.value.count == 1)
        let expected: [UInt64] =
            sendsPerWrite == 3 ? [0, 0, 0, 3, 3, 3, 6, 6, 8] : [0, 0, 0, 0, 0, 0, 0, 0, 8]
        #expect(written.value == expected)
        server.stop()
        await loop.shutdown()
    }
}
