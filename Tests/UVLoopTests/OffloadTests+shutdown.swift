import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

extension OffloadTests {
    /// What the loop's shutdown does with bodies.
    @Suite struct Shutdown {
        @Test func shutdownTakesAQueuedBodyOut() async {
            let loop = EventLoop(name: "test")
            let pool = await FullPool()
            let hasRun = Collected(false)
            let task = Task { try await loop.offload { hasRun.update { $0 = true } } }
            #expect(await eventually { await loop.run { loop.core.driver.residentCount } == 1 })
            let shutdown = Task { await loop.shutdown() }
            #expect(await isOver(shutdown))
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .loopShutDown)
            #expect(error?.hasBegun == false)
            await pool.drain()
            await shutdown.value
            #expect(!hasRun.value)
        }

        @Test func shutdownEndsTheAwaitOfARunningBodyAndWaitsForTheBody() async {
            let loop = EventLoop(name: "test")
            let (begun, gate, ended) = (Gate(), Gate(), Gate())
            let task = Task {
                try await loop.offload {
                    begun.open()
                    gate.waitOnThread()
                    ended.open()
                }
            }
            await begun.wait()
            let shutdown = Task {
                await loop.shutdown()
                #expect(ended.isOpen)
            }
            let error = await #expect(throws: OffloadError<Never>.self) { try await task.value }
            #expect(error?.code == .loopShutDown)
            #expect(error?.hasBegun == true)
            #expect(!ended.isOpen)
            gate.open()
            await shutdown.value
        }

        @Test func duringAndAfterShutdownNothingIsQueued() async {
            let loop = EventLoop(name: "test")
            let (begun, gate) = (Gate(), Gate())
            let holdsItUp = Task {
                try await loop.offload {
                    begun.open()
                    gate.waitOnThread()
                }
            }
            await begun.wait()
            let shutdown = Task { await loop.shutdown() }
            _ = await holdsItUp.result
            for isAfter in [false, true] {
                if isAfter {
                    gate.open()
                    await shutdown.value
                }
                let error = await #expect(throws: OffloadError<Never>.self) { try await loop.offload {} }
                #expect(error?.code == .loopShutDown)
                #expect(error?.hasBegun == false)
            }
        }

        @Test func shutdownAmidManyLosesNone() async {
            for _ in 0..<20 {
                let loop = EventLoop(name: "test")
                let ran = Collected(0)
                let told = await withTaskGroup(of: Int.self) { group in
                    for _ in 0..<100 {
                        group.addTask {
                            do throws(OffloadError<Never>) {
                                try await loop.offload { ran.update { $0 += 1 } }
                                return 1
                            } catch {
                                #expect(error.code == .loopShutDown)
                                // It may have run, and must not have been said not to begin.
                                return error.hasBegun ? 1 : 0
                            }
                        }
                    }
                    group.addTask {
                        await loop.shutdown()
                        return 0
                    }
                    return await group.reduce(0, +)
                }
                #expect(told == ran.value)
            }
        }
    }
}
