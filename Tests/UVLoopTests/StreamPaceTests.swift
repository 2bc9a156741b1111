import Glibc
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
                guard case .success(let stream) = result else { preconditionFailure("no connection") }
                body(stream)
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
        let failure = Collected<IOError?>(nil)
        private let driver: LoopDriver

        init(_ driver: LoopDriver) { self.driver = driver }

        func streamReceived(_ buffer: ReadBuffer, _ bytes: Range<Int>) -> Int {
            let read = Read(turn: driver.turnNumber.value, byteCount: bytes.count)
            reads.update { $0.append(read) }
            return bytes.count
        }

        var expectsNoInput: Bool { false }
        func streamWillWrite(_ now: UInt64) {}
        func streamWrote(isAll: Bool) {}
        func streamEnded(_ failure: IOError?) {
            self.failure.update { $0 = failure }
            ended.open()
        }
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

    /// Sends a byte in each of twelve pieces of work of one turn.
    ///
    /// - Parameter done: told how many bytes had been written before each, and when the turn was over.
    private static func sendTwelve(
        _ writer: OnLoop<StreamWriter>,
        on core: LoopCore,
        _ done: @escaping @Sendable ([UInt64]) -> Void
    ) {
        let written = OnLoop<[UInt64]>([])
        for number in 0..<12 {
            core.post {
                written.value.append(writer.value.bytesHandedOver)
                writer.value.send(1) { output in output.append(UInt8(number)) }
            }
        }
        core.post { core.post { done(written.value + [writer.value.bytesHandedOver]) } }
    }

    @Test(arguments: [true, false], [2, 100])
    func aTurnWritesInPiecesIfTheUserSaysSo(isSaid: Bool, count: Int) async throws {
        let server = try ScriptedServer { connection in while connection.readSome() != nil {} }
        let written = Collected<[[UInt64]]>([])
        let isOver = Gate()
        withStream(to: server) { [core = loop.core] stream in
            let writer = OnLoop(core.makeWriter())
            stream.write(from: writer.value)
            let held = OnLoop(stream)
            // In a turn of its own, the writer's first being over, in which it has a stream.
            core.post {
                if isSaid { writer.value.write(inPiecesOf: 3, atMost: count) }
                Self.sendTwelve(writer, on: core) { first in
                    // It is said for this turn and the next, however many pieces are left.
                    Self.sendTwelve(writer, on: core) { second in
                        written.update { $0 = [first, second] }
                        held.value.close()
                        isOver.open()
                    }
                }
            }
        }
        await isOver.wait()
        let pieces: [UInt64] =
            switch (isSaid, count) {
            case (false, _): Array(repeating: 0, count: 12) + [12]
            case (true, 2): [0, 0, 0, 3, 3, 3, 6, 6, 6, 6, 6, 6, 12]
            case (true, _): [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9, 12]
            }
        #expect(written.value == [pieces, Array(repeating: 12, count: 12) + [24]])
        server.stop()
        await loop.shutdown()
    }

    /// The peer answers and goes away while the turn goes on: pieces that cannot be written any more are no reason to lose what
    /// it said.
    ///
    /// Whether or not one read takes all of it. An orderly end stays one.
    @Test(arguments: [10, 100_000], [true, false])
    func whatThePeerSaidIsReadAlthoughItCannotBeWrittenTo(byteCount: Int, isReset: Bool) async throws {
        let (mayAnswer, isGone) = (Gate(), Gate())
        let server = try ScriptedServer { connection in
            mayAnswer.waitOnThread()
            connection.write([UInt8](repeating: 1, count: byteCount))
            if isReset { connection.reset() } else { connection.close() }
            isGone.open()
        }
        let listener = Collected<Listener?>(nil)
        let unread = Collected<Int>(0)
        let hasBegun = Gate()
        withStream(to: server) { [core = loop.core] stream in
            let own = Listener(core.driver)
            listener.update { $0 = own }
            stream.delegate = own
            // Room for all of it, beside what the kernel counts for itself.
            var size = Int32(4 * byteCount)
            let length = socklen_t(MemoryLayout.size(ofValue: size))
            _ = unsafe setsockopt(stream.descriptor ?? -1, SOL_SOCKET, SO_RCVBUF, &size, length)
            try? stream.startReading()
            let writer = OnLoop(core.makeWriter())
            stream.write(from: writer.value)
            let descriptor = stream.descriptor ?? -1
            core.post {
                writer.value.write(inPiecesOf: 2, atMost: 4)
                core.post {
                    mayAnswer.open()
                    isGone.waitOnThread()
                    var count: Int32 = 0
                    _ = unsafe ioctl(descriptor, UInt(FIONREAD), &count)
                    unread.update { [count] in $0 = Int(count) }
                }
                for number in 0..<12 {
                    core.post { writer.value.send(1) { output in output.append(UInt8(number)) } }
                }
                core.post { hasBegun.open() }
            }
        }
        await hasBegun.wait()
        await listener.value?.ended.wait()
        let read = listener.value?.reads.value.reduce(0) { $0 + $1.byteCount }
        #expect(unread.value > byteCount / 2)
        #expect(read == unread.value)
        #expect(listener.value?.failure.value?.name == (isReset ? "ECONNRESET" : nil))
        server.stop()
        await loop.shutdown()
    }
}
