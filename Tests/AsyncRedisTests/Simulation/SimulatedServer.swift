@testable import AsyncRedis

/// One connection's kernel and server, and what they know of who is to be answered next.
final class SimulatedServer {
    typealias Reply = Simulation.Reply

    private unowned let world: Simulation
    /// What the server has not read, and its replies that have not been read.
    private var input: [Int] = []
    private var output: [Reply] = []
    private var isReplyHalfRead = false
    /// What the kernel has taken of commands, handshake and probes, one entry each, less what has been answered.
    private(set) var expected: [Int] = []
    private var lastTaken = -1
    private(set) var hasAnswered = false

    init(_ world: Simulation) {
        self.world = world
    }

    // MARK: Output

    func kernelTook(_ bytes: [Int]) {
        for id in bytes {
            input.append(id)
            guard id >= 0 else {
                expected.append(id)
                continue
            }
            let command = world.commands[id]
            world.check(
                command.end == nil || command.bytesTaken > 0,
                "command \(id) is sent after its end"
            )
            if command.bytesTaken == 0 {
                world.check(command.deadline > world.now, "command \(id) is sent after its deadline")
                world.check(command.place > lastTaken, "command \(id) is sent after one that came later")
                lastTaken = command.place
                world.commands[id].takenAt = world.now
                expected.append(id)
            }
            world.commands[id].bytesTaken += 1
        }
    }

    // MARK: The server

    /// Reads so many bytes, and answers each command that is then complete.
    func serve(_ count: Int, _ kind: Simulation.Machine.ReplyKind) {
        let bytes = input.prefix(count)
        input.removeFirst(bytes.count)
        for (index, id) in bytes.enumerated() {
            // A command is complete where the next byte is another's.
            let next = index + 1 < bytes.count ? bytes[bytes.startIndex + index + 1] : input.first
            let isWhole = id < 0 || isSent(id) && next != id
            if isWhole { output.append(Reply(id: id, kind: kind)) }
        }
    }

    /// Says something that answers nothing.
    func say(_ kind: Simulation.Machine.ReplyKind) {
        output.append(Reply(id: nil, kind: kind, cameUnasked: expected.isEmpty))
    }

    /// Whether something has come that was not read.
    var hasOutput: Bool { !output.isEmpty }

    // MARK: Input

    /// The next byte of the replies, of which each has two; with it the reply that is then complete.
    func nextByte() -> (hasByte: Bool, Reply?) {
        dropWhatNobodyCouldTell()
        guard let reply = output.first else { return (false, nil) }
        isReplyHalfRead.toggle()
        if isReplyHalfRead { return (true, nil) }
        output.removeFirst()
        return (true, reply)
    }

    /// A reply that nobody asked for looks like the one that is due, if one is: nothing in the protocol tells them apart.
    ///
    /// What came before anything was written can be told from an answer.
    private func dropWhatNobodyCouldTell() {
        while let reply = output.first, reply.id == nil, !reply.cameUnasked, let due = expected.first {
            guard due < 0 || isSent(due) else { return }
            if reply.kind == .farewell, !hasAnswered, due >= 0 { return }
            output.removeFirst()
            isReplyHalfRead = false
        }
    }

    private func isSent(_ id: Int) -> Bool { world.commands[id].bytesTaken == world.commands[id].byteCount }

    /// A reply is read: what it answers is not due any more.
    ///
    /// - Returns: whether it answers what is due.
    func answerIsRead(_ reply: Reply) -> Bool {
        hasAnswered = true
        guard let due = expected.first, due == reply.id else { return false }
        expected.removeFirst()
        return true
    }
}
