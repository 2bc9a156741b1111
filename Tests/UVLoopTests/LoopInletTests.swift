import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// The way in for threads that are not the loop's.
@Suite struct LoopInletTests {
    /// An inlet whose elements are collected as they come.
    private func collecting(
        _ capacity: Int,
        on loop: EventLoop,
        arrivals: Collected<Int> = Collected(0)
    ) async throws -> (LoopInlet<Int>, Collected<[Int]>) {
        let taken = Collected<[Int]>([])
        let inlet = try await loop.run {
            let box = OnLoop<LoopInlet<Int>?>(nil)
            let inlet = try LoopInlet<Int>(on: loop, capacity: capacity) {
                arrivals.update { $0 += 1 }
                guard let batch = box.value?.take() else { return }
                taken.update { $0 += batch }
            }
            box.value = inlet
            return inlet
        }
        return (inlet, taken)
    }

    /// An inlet that nobody empties.
    func idle(
        _ capacity: Int,
        on loop: EventLoop,
        arrivals: Collected<Int> = Collected(0)
    ) async throws -> LoopInlet<Int> {
        try await loop.run {
            try LoopInlet<Int>(on: loop, capacity: capacity) { arrivals.update { $0 += 1 } }
        }
    }

    @Test func elementsOfEachThreadComeInItsOrder() async throws {
        let loop = EventLoop(name: "test")
        // Few places: the threads are blocked again and again.
        let (inlet, taken) = try await collecting(3, on: loop)
        let done = (0..<4).map { _ in Gate() }
        for (thread, gate) in done.enumerated() {
            onForeignThread {
                for number in 0..<1000 { #expect(inlet.send(thread * 1000 + number)) }
                gate.open()
            }
        }
        for gate in done { await gate.wait() }
        #expect(await eventually { taken.value.count == 4000 })
        for thread in 0..<4 {
            #expect(taken.value.filter { $0 / 1000 == thread } == Array(thread * 1000..<(thread + 1) * 1000))
        }
        await loop.run { inlet.close() }
        await loop.shutdown()
    }

    @Test func aBatchIsOneWakeUp() async throws {
        let loop = EventLoop(name: "test")
        let arrivals = Collected(0)
        let (inlet, taken) = try await collecting(100, on: loop, arrivals: arrivals)
        let gate = Gate()
        loop.post { gate.waitOnThread() }
        for number in 0..<100 { #expect(inlet.offer(number) == .accepted) }
        gate.open()
        #expect(await eventually { taken.value.count == 100 })
        #expect(taken.value == Array(0..<100))
        #expect(arrivals.value == 1)
        await loop.shutdown()
    }

    @Test func placesAreCountedToTheEdge() async throws {
        let loop = EventLoop(name: "test")
        let inlet = try await idle(3, on: loop)
        #expect((0..<4).map { inlet.offer($0) } == [.accepted, .accepted, .accepted, .full])
        await loop.run { #expect(inlet.take(atMost: 2) == [0, 1]) }
        #expect((4..<7).map { inlet.offer($0) } == [.accepted, .accepted, .full])
        await loop.run {
            #expect(inlet.take() == [2, 4, 5])
            #expect(inlet.take() == [])
        }
        await loop.shutdown()
    }

    @Test func aFastThreadWaitsForTheLoop() async throws {
        let loop = EventLoop(name: "test")
        let inlet = try await idle(2, on: loop)
        let sent = Collected(0)
        let done = Gate()
        onForeignThread {
            for number in 0..<5 {
                #expect(inlet.send(number))
                sent.update { $0 += 1 }
            }
            done.open()
        }
        var taken: [Int] = []
        for expected in 2...4 {
            // It is held up with two elements on their way, and no third.
            #expect(await eventually { inlet.blockedThreads == 1 })
            #expect(sent.value == expected)
            taken += await loop.run { inlet.take(atMost: 1) }
        }
        await done.wait()
        taken += await loop.run { inlet.take() }
        #expect(taken == [0, 1, 2, 3, 4])
        await loop.shutdown()
    }

    @Test func eachPlaceThatIsFreeIsForOneThread() async throws {
        let loop = EventLoop(name: "test")
        let inlet = try await idle(3, on: loop)
        for number in 0..<3 { #expect(inlet.offer(number) == .accepted) }
        let sent = Collected(0)
        for number in 3..<6 {
            onForeignThread { if inlet.send(number) { sent.update { $0 += 1 } } }
        }
        #expect(await eventually { inlet.blockedThreads == 3 })
        // Two have room, and nothing is taken later for the second one's sake.
        await loop.run { #expect(inlet.take(atMost: 2) == [0, 1]) }
        #expect(await eventually { sent.value == 2 })
        #expect(inlet.blockedThreads == 1)
        await loop.run { #expect(inlet.take().count == 3) }
        #expect(await eventually { sent.value == 3 })
        await loop.run { inlet.close() }
        await loop.shutdown()
    }

    @Test func whatIsLeftIsNotAnnouncedAgainUntilAllIsTaken() async throws {
        let loop = EventLoop(name: "test")
        let arrivals = Collected(0)
        let inlet = try await idle(10, on: loop, arrivals: arrivals)
        for number in 0..<3 { _ = inlet.offer(number) }
        #expect(await eventually { arrivals.value == 1 })
        await loop.run { #expect(inlet.take(atMost: 1) == [0]) }
        _ = inlet.offer(3)
        await loop.run {}
        #expect(arrivals.value == 1)
        await loop.run { #expect(inlet.take() == [1, 2, 3]) }
        _ = inlet.offer(4)
        #expect(await eventually { arrivals.value == 2 })
        await loop.shutdown()
    }

    @Test func closingLetsBlockedThreadsGo() async throws {
        let loop = EventLoop(name: "test")
        let inlet = try await idle(1, on: loop)
        #expect(inlet.offer(0) == .accepted)
        let refused = (1...3).map { _ in Gate() }
        for (number, gate) in refused.enumerated() {
            onForeignThread { if !inlet.send(number) { gate.open() } }
        }
        #expect(await eventually { inlet.blockedThreads == 3 })
        await loop.run {
            inlet.close()
            inlet.close()
        }
        for gate in refused { await gate.wait() }
        #expect(inlet.offer(1) == .closed)
        // What was accepted before may still be taken.
        await loop.run { #expect(inlet.take() == [0]) }
        await loop.shutdown()
    }

    @Test func shutdownClosesItAndTellsItsOwnerOnce() async throws {
        let loop = EventLoop(name: "test")
        let told = Collected(0)
        let arrivals = Collected(0)
        let inlet = try await loop.run {
            try LoopInlet<Int>(
                on: loop,
                capacity: 1,
                arrived: { arrivals.update { $0 += 1 } },
                loopWillShutDown: { told.update { $0 += 1 } }
            )
        }
        #expect(inlet.offer(0) == .accepted)
        #expect(await eventually { arrivals.value == 1 })
        let refused = Gate()
        onForeignThread { if !inlet.send(1) { refused.open() } }
        #expect(await eventually { inlet.blockedThreads == 1 })
        await loop.shutdown()
        await refused.wait()
        #expect(told.value == 1)
        #expect(inlet.offer(2) == .closed)
        await loop.run {
            #expect(inlet.take() == [0])
            inlet.close()
            #expect(throws: IOError.loopShutDown) {
                try LoopInlet<Int>(on: loop, capacity: 1, arrived: {})
            }
        }
        #expect(arrivals.value == 1)
    }

    @Test func shutdownUnderAStormOfThreadsLetsAllGo() async throws {
        for _ in 0..<20 {
            let loop = EventLoop(name: "test")
            let (inlet, taken) = try await collecting(2, on: loop)
            let accepted = Collected(0)
            let done = (0..<4).map { _ in Gate() }
            for gate in done {
                onForeignThread {
                    while inlet.send(0) { accepted.update { $0 += 1 } }
                    gate.open()
                }
            }
            #expect(await eventually { taken.value.count > 10 })
            await loop.shutdown()
            for gate in done { await gate.wait() }
            let left = await loop.run { inlet.take() }
            #expect(taken.value.count + left.count == accepted.value)
        }
    }

    @Test func anInletThatIsClosedIsLetGo() async throws {
        let loop = EventLoop(name: "test")
        weak var gone: LoopInlet<Int>?
        try await {
            let (inlet, _) = try await collecting(1, on: loop)
            gone = inlet
            _ = inlet.offer(1)
            await loop.run { inlet.close() }
        }()
        await loop.run {}
        #expect(await eventually { gone == nil })
        await loop.shutdown()
    }
}
