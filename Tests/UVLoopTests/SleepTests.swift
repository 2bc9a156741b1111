import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// Sleeping on a loop's timers.
@Suite struct SleepTests {
    private let clock = ContinuousClock()

    @Test func sleepsAtLeastAsLongAsAsked() async throws {
        let loop = EventLoop(name: "test")
        for milliseconds in [0, 1, 20] {
            let start = clock.now
            try await loop.sleep(for: .milliseconds(milliseconds))
            #expect(clock.now - start >= .milliseconds(milliseconds))
        }
        try await loop.run {
            try await loop.sleep(for: .milliseconds(1))
            #expect(loop.isOnLoop)
        }
        await loop.shutdown()
    }

    @Test func aBusyTurnDoesNotShortenASleep() async throws {
        let loop = EventLoop(name: "test")
        try await loop.run {
            // The loop reads its clock at the beginning of a turn, before this.
            let busyUntil = clock.now + .milliseconds(30)
            while clock.now < busyUntil {}
            let start = clock.now
            try await loop.sleep(for: .milliseconds(10))
            let took = clock.now - start
            #expect(took >= .milliseconds(10))
        }
        await loop.shutdown()
    }

    @Test func aBusyTurnDoesNotLengthenASleep() async throws {
        let loop = EventLoop(name: "busy")
        let noise = SchedulingNoise(besides: "busy")
        let lateness = try await loop.run {
            let due = clock.now + .milliseconds(300)
            async let sleep: Void = loop.sleep(for: .milliseconds(300))
            // Behind it, in the same turn.
            async let work: Void = spin(for: .milliseconds(200))
            try await sleep
            let lateness = clock.now - due
            await work
            return lateness
        }
        let allowance = Duration.milliseconds(100) + (await noise.stop())
        #expect(lateness >= .zero && lateness <= allowance, "\(lateness), allowed \(allowance)")
        await loop.shutdown()
    }

    private func spin(for duration: Duration) async {
        let end = clock.now + duration
        while clock.now < end {}
    }

    /// Whatever else the turn has done, and whether the loop polls at once.
    @Test func aTimerCountsFromTheMomentOfItsStart() async {
        let loop = EventLoop(name: "test")
        let gate = Gate()
        let instants = Collected<[ContinuousClock.Instant]>([])
        loop.post { [clock] in
            let busyUntil = clock.now + .milliseconds(50)
            while clock.now < busyUntil {}
            let holder = TimerHolder()
            holder.timer = LoopTimer(on: loop) {
                instants.update { $0.append(clock.now) }
                holder.timer?.close()
                gate.open()
            }
            instants.update { $0.append(clock.now) }
            holder.timer?.start(after: 31)
            for _ in 0..<3 { loop.post {} }
        }
        await gate.wait()
        let times = instants.value
        #expect(times[1] - times[0] >= .milliseconds(30), "\(times[1] - times[0])")
        await loop.shutdown()
    }

    /// Holds a timer that stays on its loop.
    private final class TimerHolder {
        var timer: LoopTimer?
    }

    @Test func negativeDurationsReturnSoon() async throws {
        let loop = EventLoop(name: "test")
        try await loop.sleep(for: .seconds(-5))
        await loop.shutdown()
    }

    @Test func durationsAreRoundedUpToMilliseconds() {
        #expect(Duration.zero.roundedUpToMilliseconds == 0)
        #expect(Duration.nanoseconds(1).roundedUpToMilliseconds == 1)
        #expect(Duration.milliseconds(1).roundedUpToMilliseconds == 1)
        #expect(Duration.microseconds(1001).roundedUpToMilliseconds == 2)
        #expect(Duration.seconds(3).roundedUpToMilliseconds == 3000)
        #expect(Duration.seconds(-1).roundedUpToMilliseconds == 0)
    }

    @Test func enormousDurationsDoNotOverflow() {
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(LoopClock.instant(after: .seconds(Int64.max)) == .max)
        #expect(Duration.milliseconds(1).nanoseconds == 1_000_000)
        #expect(Duration.seconds(Int64.max).roundedUpToMilliseconds == UInt64.max / 4)
    }

    @Test func manySleepersWakeInTheOrderOfTheirTimes() async throws {
        let loop = EventLoop(name: "test")
        let order = Collected<[Int]>([])
        try await loop.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in (1...10).reversed() {
                    group.addTask {
                        try await loop.sleep(for: .milliseconds(10 * number))
                        order.update { $0.append(number) }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(order.value == Array(1...10))
        await loop.shutdown()
    }

    @Test func aCancelledSleepEndsAtOnce() async {
        let loop = EventLoop(name: "test")
        // Not at once would be tomorrow.
        let task = Task { try await loop.sleep(for: .seconds(86_400)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await loop.shutdown()
    }

    @Test func aSleepUnderWayIsCancelledToo() async {
        let loop = EventLoop(name: "test")
        let gate = Gate()
        let task = Task {
            try await loop.run {
                gate.open()
                try await loop.sleep(for: .seconds(86_400))
            }
        }
        await gate.wait()
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await loop.shutdown()
    }

    @Test func shutdownEndsSleepersWithAnError() async {
        let loop = EventLoop(name: "test")
        let gate = Gate()
        let task = Task {
            try await loop.run {
                gate.open()
                try await loop.sleep(for: .seconds(86_400))
            }
        }
        await gate.wait()
        await loop.run {}
        await loop.shutdown()
        await #expect(throws: EventLoopError.shutDown) { try await task.value }
        await #expect(throws: EventLoopError.shutDown) { try await loop.sleep(for: .milliseconds(1)) }
    }
}
