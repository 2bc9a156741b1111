extension RedisError {
    /// How far a command had come.
    public enum Phase: Hashable, Sendable {
        /// It was waiting for the connection to stand.
        case waitingForConnection
        /// It was waiting for one of the endpoint's `maxInflight` permits.
        case waitingForPermit
        /// It had its permit, and the socket had not taken any byte of it.
        case waitingToBeWritten
        /// It had been written, at least in part.
        case waitingForReply
    }

    /// What a command was waiting for when its time ran out, so that the culprit can be named.
    ///
    /// A long line ahead with bytes coming all the time: too much is asked of the endpoint. Nothing read for long: the server or
    /// the network is silent. Many bytes of one reply: a neighbour asked for something large. Bytes queued while waiting to
    /// be written: the server does not read.
    public struct Situation: Hashable, Sendable, CustomStringConvertible {
        /// How far the command had come.
        public let phase: Phase
        /// How many commands of its connection were in front of it, sent and unsent.
        public let commandsAhead: Int
        /// How many bytes of commands the connection held that the socket had not taken, as a rule this command's among them,
        /// and those of commands that had ended and not been cleared away.
        public let queuedBytes: Int
        /// The time since the connection last read a byte; nil if it never had.
        public let timeSinceLastRead: Duration?
        /// How many bytes had come of the reply that was being read; 0 between replies.
        public let replyBytesReceived: Int

        /// The end of a sentence: `for its reply, with 3 commands in front and 0 bytes queued; …`.
        public var description: String {
            let goal =
                switch phase {
                case .waitingForConnection: "for the connection"
                case .waitingForPermit: "for a permit"
                case .waitingToBeWritten: "to be written"
                case .waitingForReply: "for its reply"
                }
            let silence =
                timeSinceLastRead.map { "the last byte was read \($0) ago" } ?? "nothing has been read yet"
            return
                "\(goal), with \(count(commandsAhead, "command")) in front and \(count(queuedBytes, "byte")) queued; "
                + "\(silence); \(count(replyBytesReceived, "byte")) of an unfinished reply came"
        }
    }
}

private func count(_ number: Int, _ noun: String) -> String {
    number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
}
