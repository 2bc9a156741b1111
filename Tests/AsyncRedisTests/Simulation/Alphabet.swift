@testable import AsyncRedis

/// Events of which every order is tried, from a beginning.
struct Alphabet: CustomStringConvertible, Sendable {
    let description: String
    let setup: Simulation.Setup
    let beginning: [Simulation.Step]
    let steps: [Simulation.Step]

    private static let small: Simulation.Setup = {
        var setup = Simulation.Setup()
        setup.capacity = 1
        setup.maxWaiting = 2
        setup.liveness = 30
        return setup
    }()

    private static let late = Simulation.Time(timeout: 6)

    private static let busy: [Simulation.Step] = [
        .connect, .submit(byteCount: 2, .init(timeout: 11)), .submit(byteCount: 1),
    ]

    private static let common: [Simulation.Step] = [
        .submit(byteCount: 2), .submit(byteCount: 1, late), .cancel(0), .cancel(1), .flush(1), .flush(3),
        .serve(100), .read(3), .advance(5), .close(12), .endOfStream,
    ]

    /// From the first step on.
    static let connecting = Alphabet(
        description: "connecting",
        setup: small,
        beginning: [],
        steps: common + [.connect]
    )

    /// One command on the wire, one that waits.
    static let ready = Alphabet(
        description: "ready",
        setup: small,
        beginning: busy,
        steps: common + [.unsolicited(.value)]
    )

    /// What a server says that it should not, or that is no value.
    static let handshake = Alphabet(
        description: "handshake",
        setup: {
            var setup = small
            setup.handshakeCommands = 1
            setup.connectDeadline = 14
            return setup
        }(),
        beginning: [.submit(byteCount: 1), .connect],
        steps: [
            .submit(byteCount: 1, late), .cancel(0), .flush(1), .flush(3), .serve(1), .serve(100, .error),
            .serve(100, .farewell), .read(1), .read(3), .advance(5), .unsolicited(.farewell), .shutdown,
        ]
    )

    /// An idle connection that is probed, and commands that block.
    static let patient = Alphabet(
        description: "patient",
        setup: {
            var setup = small
            setup.idleProbe = 12
            setup.liveness = 9
            setup.commandTimeout = 20
            return setup
        }(),
        beginning: [.connect],
        steps: [
            .submit(byteCount: 1, blocking: 10), .submit(byteCount: 1, .init(ambient: 8), blocking: .max),
            .submit(byteCount: 2), .cancel(0), .flush(3), .serve(100), .serve(1, .error), .read(3),
            .advance(5), .advance(13), .stall(20), .unsolicited(.value),
        ]
    )

    /// Two connections on one limiter, and tasks that are not on the loop.
    static let crowd = Alphabet(
        description: "crowd",
        setup: {
            var setup = small
            setup.maxWaiting = 1
            setup.maxQueuedBytes = 4
            setup.connectionCount = 2
            return setup
        }(),
        beginning: [.connect, .other, .connect, .submit(byteCount: 1)],
        steps: [
            .submit(byteCount: 2), .handIn(byteCount: 1), .handIn(byteCount: 4, late), .arrive, .other,
            .cancel(1), .flush(3), .serve(100), .read(3), .advance(5), .close(12), .shutdown,
        ]
    )

    static let all = [connecting, ready, handshake, patient, crowd]
}
