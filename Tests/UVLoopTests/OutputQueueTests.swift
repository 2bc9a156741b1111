import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Output whose large bytes are not copied, against a plain array of bytes.
@Suite struct OutputQueueTests {
    /// A queue beside what it should have, as commands: how many bytes each has in both.
    private final class Subject {
        let queue = OutputQueue(pool: nil)
        var model: [UInt8] = []
        var commands: [Int] = []
    }

    /// The bytes that the queue offers first, of which it is told that so many were written.
    private func offered(_ queue: OutputQueue) -> [UInt8] {
        var bytes: [UInt8] = []
        let (offered, written) = unsafe queue.offer { pieces in
            for index in pieces.indices { unsafe bytes += pieces[index] }
            return bytes.count
        }
        #expect(offered == written)
        return bytes
    }

    private func everything(_ queue: OutputQueue) -> [UInt8] {
        var all: [UInt8] = []
        while !queue.isEmpty {
            let bytes = offered(queue)
            #expect(!bytes.isEmpty)
            all += bytes
            queue.removeFirst(bytes.count)
        }
        return all
    }

    private func appendCommand(_ subject: Subject, _ random: inout SplitMix64) {
        let mark = UInt8(truncatingIfNeeded: random.next())
        var bytes: [UInt8] = []
        for _ in 0...Int.random(in: 0...2, using: &random) {
            let small = [UInt8](repeating: mark, count: Int.random(in: 1...20, using: &random))
            subject.queue.append(small.count) { $0.append(repeating: mark, count: small.count) }
            bytes += small
            switch Int.random(in: 0...3, using: &random) {
            case 0:
                let large = (0..<OutputQueue.minLargeBytes).map { UInt8(truncatingIfNeeded: $0) &+ mark }
                subject.queue.append(large: large[...])
                bytes += large
            case 1:
                let text = String(repeating: "text \(mark) ", count: 2000)
                subject.queue.append(large: text)
                bytes += text.utf8
            default: break
            }
        }
        subject.model += bytes
        subject.commands.append(bytes.count)
    }

    /// Takes some commands out, which begin behind what has left of the first.
    private func takeOut(_ subject: Subject, _ hasLeft: Int, _ random: inout SplitMix64) {
        var ranges: [Range<Int>] = []
        var (kept, start): ([Int], Int) = ([], -hasLeft)
        for count in subject.commands {
            if start >= 0, Bool.random(using: &random) {
                ranges.append(start..<(start + count))
            } else {
                kept.append(count)
            }
            start += count
        }
        subject.queue.remove(ranges)
        for range in ranges.reversed() { subject.model.removeSubrange(range) }
        subject.commands = kept
    }

    @Test(arguments: 1...60)
    func whateverIsDoneTheBytesAreThose(seed: UInt64) {
        var random = SplitMix64(state: seed)
        let (first, second) = (Subject(), Subject())
        var hasLeft = 0
        for _ in 0..<40 {
            switch Int.random(in: 0...5, using: &random) {
            case 0, 1: appendCommand(first, &random)
            case 2:
                // The kernel takes some.
                let count = Int.random(in: 0...max(0, second.model.count), using: &random)
                second.queue.removeFirst(count)
                second.model.removeFirst(count)
                hasLeft += count
                while let command = second.commands.first, hasLeft >= command {
                    hasLeft -= command
                    second.commands.removeFirst()
                }
            case 3: takeOut(second, hasLeft, &random)
            case 4: takeOut(first, 0, &random)
            default:
                guard let count = first.commands.first else { continue }
                first.queue.move(first: count, to: second.queue)
                second.model += first.model.prefix(count)
                second.commands.append(count)
                first.model.removeFirst(count)
                first.commands.removeFirst()
            }
            #expect(first.queue.count == first.model.count)
            #expect(second.queue.count == second.model.count)
        }
        #expect(offered(second.queue) == Array(second.model.prefix(offered(second.queue).count)))
        #expect(everything(second.queue) == second.model)
        #expect(everything(first.queue) == first.model)
    }

    @Test func largeBytesAreNotCopied() {
        let queue = OutputQueue(pool: nil)
        let large = [UInt8](repeating: 0x61, count: 1 << 20)
        queue.append(2) { $0.append(repeating: 0x2A, count: 2) }
        queue.append(large: large[...])
        queue.append(2) { $0.append(repeating: 0x2A, count: 2) }
        let other = OutputQueue(pool: nil)
        queue.move(first: queue.count, to: other)
        // Only their number is compared.
        let place = unsafe large.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        var places: [UInt] = []
        _ = unsafe other.offer { pieces in
            for index in pieces.indices {
                unsafe places.append(UInt(bitPattern: pieces[index].baseAddress))
            }
            return 0
        }
        #expect(places.count == 3)
        #expect(places[1] == place)
        other.giveMemoryBack()
        #expect(other.isEmpty && queue.isEmpty)
    }

    /// Documented in docs/NEW_KIND.md.
    @Test func fourMebibytesAreOfferedAtATime() {
        let queue = OutputQueue(pool: nil)
        queue.append(large: [UInt8](repeating: 0x2A, count: (4 << 20) + 1)[...])
        for expected in [4 << 20, 1] {
            let (offered, written) = unsafe queue.offer { pieces in
                unsafe pieces.reduce(0) { $0 + $1.count }
            }
            #expect(offered == expected && written == expected)
            queue.removeFirst(offered)
        }
        #expect(queue.isEmpty)
    }

    @Test(arguments: [1, 5, 16_384, 16_385, 40_000, 50_000])
    func noMoreIsOfferedThanMayBe(most: Int) {
        let queue = OutputQueue(pool: nil)
        let large = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
        queue.append(3) { $0.append(repeating: 0x2A, count: 3) }
        queue.append(large: large[...])
        queue.append(large: String(decoding: large.map { $0 & 0x7F }, as: UTF8.self))
        queue.append(3) { $0.append(repeating: 0x2B, count: 3) }
        let expected = [0x2A, 0x2A, 0x2A] + large + large.map { $0 & 0x7F } + [0x2B, 0x2B, 0x2B]
        var bytes: [UInt8] = []
        while !queue.isEmpty {
            let (offered, written) = unsafe queue.offer(atMost: most) { pieces in
                let before = bytes.count
                for index in pieces.indices { unsafe bytes += pieces[index] }
                return bytes.count - before
            }
            #expect(offered == written && offered == min(most, queue.count))
            queue.removeFirst(offered)
        }
        #expect(bytes == expected)
    }

    @Test func manyPiecesAreOfferedInTurn() {
        let queue = OutputQueue(pool: nil)
        var expected: [UInt8] = []
        for number in 0..<100 {
            let large = [UInt8](repeating: UInt8(number), count: OutputQueue.minLargeBytes)
            queue.append(large: large[...])
            expected += large
        }
        #expect(offered(queue).count < expected.count)
        #expect(everything(queue) == expected)
    }
}
