@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@testable import IOCalls
@_spi(Driver) import UVLoop

/// How calls are gone round to find those whose time has run out or whose task has been cancelled.
@Suite struct CallsLookTests: CallsSuite {
    let loop = EventLoop(name: "calls-test")
    let limiter = InflightLimiter(capacity: 10)

    private func item(_ number: Int) -> CallOf<FakeServer> {
        CallOf<FakeServer>("\(number)", byteCount: 0, lane: 0, deadline: .max, nil)
    }

    private func all(_ line: Calls<FakeServer>.Line) -> [CallOf<FakeServer>] {
        Array(
            sequence(state: line.first) { call in
                defer { call = call?.next }
                return call
            }
        )
    }

    @Test(arguments: UInt64(0)..<20)
    func aLineIsAQueueThatAnyoneMayLeave(seed: UInt64) {
        var random = SplitMix64(state: seed)
        var line = Calls<FakeServer>.Line()
        var model: [CallOf<FakeServer>] = []
        // Where the next look is; the model's end stands for its beginning.
        var cursor = 0
        for number in 0..<2000 {
            switch Int.random(in: 0..<(model.count < 20 ? 6 : 8), using: &random) {
            case 0, 1:
                let call = item(number)
                line.append(call)
                // Whoever looked at the last one begins again.
                if cursor == model.count { cursor = 0 }
                model.append(call)
            case 5:
                let call = item(number)
                line.prepend(call)
                model.insert(call, at: 0)
                cursor = 0
            case 2, 3:
                if cursor >= model.count { cursor = 0 }
                #expect(line.lookAtNext() === (model.isEmpty ? nil : model[cursor]))
                cursor += 1
            case 4:
                #expect(line.popFirst() === model.first)
                guard !model.isEmpty else { break }
                model.removeFirst()
                cursor = max(0, cursor - 1)
            default:
                let place = Int.random(in: model.indices, using: &random)
                line.remove(model.remove(at: place))
                if place < cursor { cursor -= 1 }
            }
            #expect(all(line).map(\.request) == model.map(\.request))
            #expect(line.count == model.count)
            #expect(line.first === model.first)
        }
    }

    @Test func whatHasLeftALineIsLetGo() {
        var line = Calls<FakeServer>.Line()
        weak var gone: CallOf<FakeServer>?
        do {
            let calls = (0..<3).map { item($0) }
            for call in calls { line.append(call) }
            // The next to look at is the one that leaves.
            _ = line.lookAtNext()
            line.remove(calls[1])
            gone = calls[1]
        }
        #expect(gone == nil)
        #expect(line.count == 2)
    }

    /// However many have ended, a tick looks at so many, and the next one goes on behind them.
    @Test(arguments: [true, false])
    func aTickLooksAtSoManyAndTheNextGoesOn(areRunning: Bool) async {
        let server = await server(seats: [areRunning ? .max : 0])
        var tasks: [Task<Result<String, KindError<Fake>>, Never>] = []
        for number in 0..<10 { tasks.append(await call("\(number)", server)) }
        // In one turn of the loop: its timer does not come between.
        await loop.run { [tasks] in
            func left() -> Int {
                areRunning
                    ? 10 - server.log.count { $0.hasPrefix("abandon") } : server.calls.waitingCount
            }
            for (number, leftAfter) in [(8, 9), (1, 8)] {
                tasks[number].cancel()
                // It is found in one round, wherever that begins.
                for _ in 0..<3 { server.calls.tick(atMost: 4) }
                #expect(left() == leftAfter)
            }
            for task in tasks { task.cancel() }
            server.calls.tick(atMost: 4)
            #expect(left() >= 4)
            for _ in 0..<2 { server.calls.tick(atMost: 4) }
            #expect(left() == 0)
            for number in 0..<10 { server.finish("\(number)") }
        }
        for task in tasks {
            guard case .failure(let error) = await task.value else {
                Issue.record("it was answered")
                continue
            }
            #expect(error.code == .cancelled)
        }
        await loop.shutdown()
    }

    enum Cause: CaseIterable { case cancellation, end, endOfRunning, lateStart, answersAtOnce }

    /// Whatever starts or ends thousands at once: some of them now, and the others in the turns that follow.
    @Test(arguments: Cause.allCases)
    func thousandsDoNotHoldTheLoopUp(cause: Cause) async {
        let (count, most) = (3000, 512)
        let server = await server(
            seats: [cause == .endOfRunning ? .max : 0],
            limiter: InflightLimiter(capacity: count)
        )
        let tasks = (0..<count).map { number in
            Task { _ = try? await server.calls.perform("\(number)", timeout: nil) }
        }
        #expect(await eventually { await loop.run { server.calls.submitted } == count })
        await loop.run {
            let before = server.log.count
            switch cause {
            case .cancellation:
                for task in tasks { task.cancel() }
                server.calls.tick()
            case .end, .endOfRunning:
                server.calls.shutdown()
            case .lateStart:
                for task in tasks { task.cancel() }
                server.calls.addSeats(1)
            case .answersAtOnce:
                server.answersAtOnce = true
                server.calls.addSeats(1)
            }
            let over = cause == .endOfRunning ? server.log.count - before : count - server.calls.waitingCount
            #expect(over <= most)
        }
        for task in tasks { await task.value }
        await loop.shutdown()
    }

    /// Also where the last look stopped in the middle.
    @Test func theEndTellsThemInTheOrderTheyCame() async {
        let server = await server()
        var tasks: [Task<Result<String, KindError<Fake>>, Never>] = []
        for number in 0..<5 { tasks.append(await call("\(number)", server)) }
        await loop.run {
            server.calls.tick(atMost: 2)
            server.calls.shutdown()
            #expect(
                server.log.suffix(5) == ["abandon 0", "abandon 1", "abandon 2", "abandon 3", "abandon 4"]
            )
            for number in 0..<5 { server.finish("\(number)") }
        }
        for task in tasks { _ = await task.value }
        await loop.shutdown()
    }
}
