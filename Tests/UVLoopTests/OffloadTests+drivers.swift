import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

extension OffloadTests {
    /// `LoopOffload`, as drivers use it.
    @Suite struct Drivers {
        @Test func aDriverHearsOnceWhenABodyIsOver() async {
            let loop = EventLoop(name: "test")
            let pool = await FullPool()
            let over = Collected<[Bool]>([])
            let hasRun = Collected(false)
            let offload = OnLoop<LoopOffload?>(nil)
            await loop.run {
                offload.value = try? LoopOffload(
                    on: loop,
                    body: { hasRun.update { $0 = true } },
                    over: { ran in over.update { $0.append(ran) } }
                )
                #expect(offload.value?.cancel() == true)
                // Asked again it says the same.
                #expect(offload.value?.cancel() == true)
                #expect(over.value == [])
            }
            #expect(await eventually { over.value == [false] })
            await loop.run { #expect(offload.value?.cancel() == true) }
            await pool.drain()

            let gate = Gate()
            await loop.run {
                offload.value = try? LoopOffload(
                    on: loop,
                    body: {},
                    over: { ran in
                        over.update { $0.append(ran) }
                        gate.open()
                    }
                )
            }
            await gate.wait()
            await loop.run { #expect(offload.value?.cancel() == false) }
            await loop.shutdown()
            #expect(over.value == [false, true])
            #expect(!hasRun.value)
        }

        @Test func askedAgainItKeepsItsPlace() async {
            let loop = EventLoop(name: "test")
            let pool = await FullPool()
            let over = Collected<[Int]>([])
            await loop.run {
                let offloads = (0..<3).compactMap { number in
                    try? LoopOffload(
                        on: loop,
                        body: {},
                        over: { _ in over.update { $0.append(number) } }
                    )
                }
                for number in [0, 1, 2, 0, 1] { #expect(offloads[number].cancel()) }
            }
            #expect(await eventually { over.value.count == 3 })
            #expect(over.value == [0, 1, 2])
            await pool.drain()
            await loop.shutdown()
        }

        @Test func shutdownTakesADriversQueuedBodyOut() async {
            let loop = EventLoop(name: "test")
            let pool = await FullPool()
            let over = Collected<[Bool]>([])
            await loop.run {
                // Nobody else cancels it.
                _ = try? LoopOffload(on: loop, body: {}, over: { ran in over.update { $0.append(ran) } })
            }
            let shutdown = Task { await loop.shutdown() }
            #expect(await isOver(shutdown))
            #expect(over.value == [false])
            await pool.drain()
            await shutdown.value
        }

        @Test func aDriverIsToldOfShutdownAtOnce() async {
            let loop = EventLoop(name: "test")
            let begun = Gate()
            let hurry = Gate()
            let told = Collected<[String]>([])
            let offload = OnLoop<LoopOffload?>(nil)
            await loop.run {
                offload.value = try? LoopOffload(
                    on: loop,
                    body: {
                        begun.open()
                        hurry.waitOnThread()
                    },
                    over: { ran in told.update { $0.append(ran ? "has run" : "never ran") } },
                    loopWillShutDown: {
                        told.update { $0.append("shutdown") }
                        hurry.open()
                    }
                )
            }
            await begun.wait()
            await loop.shutdown()
            #expect(told.value == ["shutdown", "has run"])
            await loop.run {
                #expect(throws: IOError.loopShutDown) { try LoopOffload(on: loop, body: {}, over: { _ in }) }
                offload.value = nil
            }
        }
    }
}
