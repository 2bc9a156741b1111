@_spi(Driver) @testable import UVLoop
import TestSupport
import Testing

/// A queue in a ring behaves as an array whose first element is taken out.
struct RingBufferTests {
    /// Counts those that are alive.
    private final class Counted {
        let number: Int
        private let change: (Int) -> Void

        init(_ number: Int, _ change: @escaping (Int) -> Void) {
            self.number = number
            self.change = change
            change(1)
        }

        deinit { change(-1) }
    }

    private func contents(_ ring: borrowing RingBuffer<Int>) -> [Int] {
        Array(0..<ring.count).map { ring[$0] }
    }

    @Test func anEmptyRingHasNoFirst() {
        var ring = RingBuffer<Int>()
        #expect(ring.isEmpty && ring.count == 0 && ring.first == nil)
        #expect(ring.popFirst() == nil)
        ring.append(1)
        #expect(!ring.isEmpty && ring.first == 1)
        #expect(ring.popFirst() == 1)
        #expect(ring.isEmpty && ring.first == nil && ring.popFirst() == nil)
    }

    @Test func elementsComeOutInTheOrderTheyWentIn() {
        var ring = RingBuffer<Int>()
        for number in 0..<1000 { ring.append(number) }
        #expect(contents(ring) == Array(0..<1000))
        for number in 0..<1000 { #expect(ring.popFirst() == number) }
        #expect(ring.count == 0)
    }

    /// With few elements in it the ring goes round its memory many times.
    @Test(arguments: [1, 3, 4, 5, 15, 16, 17])
    func goesRoundAndRound(_ held: Int) {
        var ring = RingBuffer<Int>()
        for number in 0..<held { ring.append(number) }
        for number in 0..<200 {
            #expect(ring.popFirst() == number)
            ring.append(number + held)
            #expect(ring.count == held && ring.first == number + 1)
            #expect(contents(ring) == Array((number + 1)...(number + held)))
        }
    }

    @Test(arguments: 0..<40)
    func growsFromEveryPlace(_ offset: Int) {
        var ring = RingBuffer<Int>()
        for number in 0..<offset {
            ring.append(number)
            #expect(ring.popFirst() == number)
        }
        for number in 0..<100 {
            ring.append(number)
            #expect(contents(ring) == Array(0...number))
        }
    }

    @Test(arguments: [1, 4, 5, 16, 17], [0, 3, 15])
    func takesAnElementOutOfAnyPlace(_ count: Int, _ offset: Int) {
        for place in 0..<count {
            var ring = RingBuffer<Int>()
            for _ in 0..<offset {
                ring.append(-1)
                _ = ring.popFirst()
            }
            for number in 0..<count { ring.append(number) }
            ring.removeAll(from: place / 2) { $0 == place }
            #expect(contents(ring) == (0..<count).filter { $0 != place })
            ring.append(count)
            #expect(contents(ring) == (0...count).filter { $0 != place })
        }
    }

    @Test func elementsAreSetInPlace() {
        var ring = RingBuffer<Int>()
        for number in 0..<20 { ring.append(number) }
        for _ in 0..<10 { _ = ring.popFirst() }
        for number in 20..<36 { ring.append(number) }
        for index in 0..<ring.count { ring[index] *= 2 }
        #expect(contents(ring) == (10..<36).map { $0 * 2 })
    }

    @Test func whatIsTakenOutIsLetGo() {
        var alive = 0
        var ring = RingBuffer<Counted>()
        for number in 0..<20 { ring.append(Counted(number) { alive += $0 }) }
        #expect(alive == 20)
        for number in 0..<5 { #expect(ring.popFirst()?.number == number) }
        #expect(alive == 15)
        ring.removeAll(from: 0) { [5, 8, 19].contains($0.number) }
        #expect(alive == 12 && ring.count == 12)
        ring = RingBuffer()
        #expect(alive == 0)
    }

    @Test func onlyAnEmptyRingGivesItsMemoryBack() {
        var ring = RingBuffer<Int>()
        ring.giveMemoryBack()
        for number in 0..<100 { ring.append(number) }
        for number in 0..<99 { #expect(ring.popFirst() == number) }
        ring.giveMemoryBack()
        #expect(contents(ring) == [99])
        #expect(ring.popFirst() == 99)
        unsafe #expect(ring.places.count > 0)
        ring.giveMemoryBack()
        unsafe #expect(ring.places.count == 0)
        ring.append(1)
        #expect(contents(ring) == [1])
    }

    @Test(arguments: 0..<20)
    func manyStepsMatchAnArray(_ seed: UInt64) {
        var random = SplitMix64(state: seed)
        var ring = RingBuffer<Int>()
        var array: [Int] = []
        for step in 0..<1500 {
            // Waves of growing and shrinking, so that the ring is full and empty at every place.
            let grows = (step / 100).isMultiple(of: 2)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<(grows ? 6 : 3):
                ring.append(step)
                array.append(step)
            case 9:
                // From some place on the even ones go, and the others are changed on the way.
                guard let place = array.indices.randomElement(using: &random) else { continue }
                ring.removeAll(from: place) { element in
                    element += 1
                    return element.isMultiple(of: 2)
                }
                array =
                    Array(array[..<place]) + array[place...].map { $0 + 1 }.filter { !$0.isMultiple(of: 2) }
            case 8:
                guard let place = array.indices.randomElement(using: &random) else { continue }
                ring[place] = -step
                array[place] = -step
            default:
                #expect(ring.popFirst() == (array.isEmpty ? nil : array.removeFirst()))
            }
            #expect(ring.count == array.count && ring.isEmpty == array.isEmpty && ring.first == array.first)
            guard contents(ring) != array else { continue }
            Issue.record("step \(step): \(contents(ring)), expected \(array)")
            return
        }
    }
}
