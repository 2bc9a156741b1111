public import Synchronization
@_spi(Driver) public import UVLoop

/// What waits for one endpoint, of all its clients together: so many commands, with so many bytes, and no more.
///
/// What waits on the loop is counted there; tasks elsewhere reserve room before they do anything for a command. Each command of
/// a task on the loop takes plain loads and stores, each batch that arrives two subtractions that others see, and nobody a lock.
@_spi(Driver) public final class Backlog: Sendable {
    /// A number of commands, and of their bytes.
    @frozen public struct Amount: Hashable, Sendable {
        /// How many commands.
        public var commands: Int
        /// How many bytes they have.
        public var bytes: Int

        /// Makes an amount, of nothing if not said otherwise.
        @inlinable
        public init(commands: Int = 0, bytes: Int = 0) {
            self.commands = commands
            self.bytes = bytes
        }

        /// Whether so many bytes have room beside these, where there may be `most`: a command alone always has.
        @inlinable
        @inline(__always)
        public func hasRoom(forBytes count: Int, atMost most: Int) -> Bool {
            bytes <= 0 || count <= most - bytes
        }
    }

    /// Why there is no room for a command.
    public enum Refusal: Hashable, Sendable {
        /// Too many commands wait.
        case commands
        /// Their bytes are too many.
        case bytes
    }

    /// The most that may wait on the loop; one command alone may have more bytes.
    private let most: Amount
    /// How many commands more may be on their way to the loop: so many may find a permit there.
    private let mostToBeSent: Int

    /// What waits on the loop, or has arrived there.
    ///
    /// Written by the loop's thread alone.
    @usableFromInline let commandsOnLoop = Atomic(0)
    @usableFromInline let bytesOnLoop = Atomic(0)
    /// What is on its way there.
    @usableFromInline let commandsUnderWay = Atomic(0)
    @usableFromInline let bytesUnderWay = Atomic(0)
    /// Of what is counted on the loop, what has arrived and has not been dealt with.
    @usableFromInline let arrived = LoopBound(Amount())

    /// Makes an empty backlog.
    ///
    /// - Parameters:
    ///   - most: what may wait on the loop.
    ///   - mostToBeSent: how many commands more may be on their way to it.
    package init(most: Amount, mostToBeSent: Int) {
        self.most = most
        self.mostToBeSent = mostToBeSent
    }

    // MARK: On the loop

    /// Everything there is, as a command of a task on the loop finds it.
    @inlinable
    @inline(__always)
    public var all: Amount {
        Amount(
            commands: commandsOnLoop.load(ordering: .relaxed) + commandsUnderWay.load(ordering: .relaxed),
            bytes: bytesOnLoop.load(ordering: .relaxed) + bytesUnderWay.load(ordering: .relaxed)
        )
    }

    /// What waits on the loop, as a command that arrived there finds it.
    public var inFrontOfArrivals: Amount {
        Amount(
            commands: commandsOnLoop.load(ordering: .relaxed) - arrived.value.commands,
            bytes: bytesOnLoop.load(ordering: .relaxed) - arrived.value.bytes
        )
    }

    /// What waits on the loop has become more, or less.
    @inlinable
    @inline(__always)
    public func change(by amount: Amount) {
        // Nobody else writes them: no change is lost.
        if amount.commands != 0 {
            let commands = commandsOnLoop.load(ordering: .relaxed)
            commandsOnLoop.store(commands + amount.commands, ordering: .relaxed)
        }
        bytesOnLoop.store(bytesOnLoop.load(ordering: .relaxed) + amount.bytes, ordering: .relaxed)
    }

    /// What was on its way has arrived on the loop, to be dealt with one after the other.
    public func arrive(_ amount: Amount) {
        arrived.value.commands += amount.commands
        arrived.value.bytes += amount.bytes
        change(by: amount)
        // In this order: nobody finds less than there is.
        commandsUnderWay.subtract(amount.commands, ordering: .releasing)
        bytesUnderWay.subtract(amount.bytes, ordering: .releasing)
    }

    /// The next of the commands that have arrived has been dealt with.
    public func dealWithArrival(bytes: Int) {
        arrived.value.commands -= 1
        arrived.value.bytes -= bytes
        change(by: Amount(commands: -1, bytes: -bytes))
    }

    // MARK: Elsewhere

    /// Reserves room for a command that is to be handed to the loop, before anything else is done for it.
    ///
    /// - Returns: nil if there is room, which is then to be given back, or to arrive.
    public func reserve(bytes: Int) -> Refusal? {
        // A first look, which may be wrong either way, so that what is refused is in nobody's way; then again, with the
        // room taken.
        refusal(bytes: bytes, all) ?? take(bytes: bytes)
    }

    /// Takes the room, and gives it back if others had taken the last of it.
    func take(bytes: Int) -> Refusal? {
        let commandsBefore = commandsUnderWay.add(1, ordering: .acquiringAndReleasing).oldValue
        let bytesBefore = bytesUnderWay.add(bytes, ordering: .acquiringAndReleasing).oldValue
        let there = Amount(
            commands: commandsBefore + commandsOnLoop.load(ordering: .relaxed),
            bytes: bytesBefore + bytesOnLoop.load(ordering: .relaxed)
        )
        let refusal = refusal(bytes: bytes, there)
        if refusal != nil { giveBack(bytes: bytes) }
        return refusal
    }

    private func refusal(bytes: Int, _ there: Amount) -> Refusal? {
        let (limit, isUnlimited) = most.commands.addingReportingOverflow(mostToBeSent)
        if !isUnlimited, there.commands >= limit { return .commands }
        return there.hasRoom(forBytes: bytes, atMost: most.bytes) ? nil : .bytes
    }

    /// Gives back the room of a command that is not handed to the loop after all.
    package func giveBack(bytes: Int) {
        commandsUnderWay.subtract(1, ordering: .relaxed)
        bytesUnderWay.subtract(bytes, ordering: .relaxed)
    }
}
