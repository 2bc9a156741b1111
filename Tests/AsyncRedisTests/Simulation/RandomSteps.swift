@_spi(Driver) import AsyncIO
import TestSupport

@testable import AsyncRedis

/// Steps that a seed decides.
struct RandomSteps {
    private var numbers: SplitMix64
    private(set) var setup = Simulation.Setup()
    private(set) var length = 0
    /// How often something breaks, in a thousand steps.
    private var faults: UInt64 = 0

    init(seed: UInt64) {
        numbers = SplitMix64(state: seed)
        setup.capacity = 1 + Int(below(4))
        setup.maxWaiting = Int(below(7))
        setup.maxQueuedBytes = 1 + Int(below(24))
        setup.commandTimeout = below(3) > 0 ? .max : 5 + below(60)
        setup.handshakeCommands = Int(below(3))
        setup.liveness = below(2) == 0 ? .max : 10 + below(40)
        setup.idleProbe = below(3) > 0 ? .max : 20 + below(60)
        setup.connectDeadline = below(3) > 0 ? .max : 5 + below(60)
        setup.sweepLimit = below(4) > 0 ? .max : 1 + Int(below(3))
        setup.maxTombstones = .init(commands: Int(below(4)), bytes: Int(below(12)))
        setup.connectionCount = below(2) == 0 ? 1 : 2
        if below(20) == 0 {
            setup.maxTombstones = .init(commands: 64, bytes: 64)
            setup.maxWaiting = 200
            setup.maxQueuedBytes = 1000
        }
        faults = below(3) == 0 ? 0 : 1 + below(20)
        length = 20 + Int(below(180))
    }

    mutating func next(in world: Simulation) -> Simulation.Step {
        if setup.connectionCount > 1, below(6) == 0 { return .other }
        if world.connection.hasEnded {
            return below(3) == 0 ? .reconnect : below(4) == 0 ? .handIn(byteCount: 1) : .submit(byteCount: 1)
        }
        if !world.connection.isConnected, below(6) == 0 { return below(8) == 0 ? .connectFails : .connect }
        if below(1000) < faults { return fault() }
        switch below(18) {
        case 0...3: return .submit(byteCount: 1 + Int(below(4)), time(), blocking: blocking())
        case 4: return .handIn(byteCount: 1 + Int(below(4)), time())
        case 5: return .arrive
        case 6, 7: return .cancel(Int(below(4)))
        case 8...10: return .flush(below(3) == 0 ? 100 : 1 + Int(below(5)))
        case 11, 12: return .serve(1 + Int(below(8)), below(8) == 0 ? .error : .value)
        case 13, 14: return .read(1 + Int(below(6)))
        default: return .advance(below(9))
        }
    }

    private mutating func time() -> Simulation.Time {
        .init(timeout: limit(), ambient: below(4) == 0 ? limit() : nil)
    }

    private mutating func limit() -> UInt64? {
        switch below(4) {
        case 0: nil
        case 1: below(6)
        default: below(60)
        }
    }

    private mutating func blocking() -> UInt64 {
        guard below(12) == 0 else { return 0 }
        return below(3) == 0 ? .max : below(60)
    }

    private mutating func fault() -> Simulation.Step {
        switch below(10) {
        case 0: .unsolicited(.value)
        case 1: .unsolicited(.error)
        case 2: .unsolicited(.farewell)
        case 3: .serve(3, .farewell)
        case 4: .garbage
        case 5: .endOfStream
        case 6: .close(below(80))
        case 7: .shutdown
        case 8: .stall(below(100))
        default: .advance(10 + below(100))
        }
    }

    /// A number from 0 on.
    private mutating func below(_ bound: UInt64) -> UInt64 { numbers.next() % bound }
}
