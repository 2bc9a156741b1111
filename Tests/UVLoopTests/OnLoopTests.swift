#if DEBUG
    import Foundation
    import Testing

    @_spi(Driver) @testable import UVLoop

    /// What belongs to a loop's thread says so to whoever touches it elsewhere; that is looked at in debug builds only.
    @Suite struct OnLoopTests {
        enum Touch: String, CaseIterable, Codable {
            case startTimer, stopTimer, closeTimer, waitForPoll, stopPoll, closePoll, cancelOffload
        }

        @Test(arguments: Touch.allCases)
        func elsewhereItIsRefused(touch: Touch) async throws {
            let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                [touch = touch as Touch] in
                let loop = EventLoop(name: "test")
                let belongings = try await loop.run { OnLoop(try Belongings(loop)) }
                // Where it belongs nothing is wrong with it.
                await loop.run { belongings.value.feel(touch) }
                FileHandle.standardError.write(Data("refused only now: ".utf8))
                belongings.value.feel(touch)
            }
            let said = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
            #expect(said.contains("refused only now: "))
            #expect(said.contains("may be touched on its event loop's thread only"))
        }

        private struct Belongings {
            let timer: LoopTimer
            let poll: LoopPoll
            let offload: LoopOffload

            init(_ loop: EventLoop) throws {
                timer = try #require(LoopTimer(on: loop, fired: {}))
                var ends: [Int32] = [-1, -1]
                #expect(unsafe pipe(&ends) == 0)
                poll = try LoopPoll(on: loop, descriptor: ends[0], ready: { _ in })
                offload = try LoopOffload(on: loop, body: {}, over: { _ in })
            }

            func feel(_ touch: Touch) {
                switch touch {
                case .startTimer: timer.start(after: 1000)
                case .stopTimer: timer.stop()
                case .closeTimer: timer.close()
                case .waitForPoll: poll.wait(for: .readable)
                case .stopPoll: poll.stop()
                case .closePoll: poll.close()
                case .cancelOffload: offload.cancel()
                }
            }
        }
    }
#endif
