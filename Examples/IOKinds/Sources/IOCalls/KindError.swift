@_spi(Driver) public import AsyncIO
public import UVLoop

/// A kind of I/O, for the types that are the same in all of them.
public protocol IOKind: Sendable {
    /// What messages call it, for example `SQLite`.
    static var name: String { get }
}

/// What became of a call.
public enum CallOutcome: Hashable, Sendable {
    /// It was never sent, or never begun: trying again is safe.
    case notSent
    /// It was sent, at least in part, and its end is not known: it may have run.
    case indeterminate
    /// The server, or the library, answered with an error.
    case rejected
    /// It ran and was answered, and the answer is not what was asked for.
    case answered
}

/// Why a call did not give what was asked for, and whether it may have run: of the same shape as `RedisError`.
public struct KindError<Kind: IOKind>: Error, Sendable, CustomStringConvertible {
    /// What went wrong; a kind adds its own codes, and codes may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name.
        public let description: String
        /// Whether it is the server's own word, and not one of the client's.
        private let isServers: Bool

        /// Defines a code of the client's.
        public init(_ name: String) {
            description = name
            isServers = false
        }

        private init(server name: String) {
            description = name
            isServers = true
        }

        /// The server's, or the library's, own code. *rejected*
        public static func server(_ name: String) -> Code { Code(server: name) }
        /// The endpoint is unknown, of another kind, or set up wrong; ``KindError/endpointError`` has the details. *notSent*
        public static var invalidEndpoint: Code { Code("invalidEndpoint") }
        /// The call cannot be sent as it is, or must not be on a client that others share.
        public static var invalidCommand: Code { Code("invalidCommand") }
        /// The client could not connect, or open its file. *notSent*
        public static var connectFailed: Code { Code("connectFailed") }
        /// Connecting took longer than the endpoint's `connectTimeout`. *notSent*
        public static var connectTimedOut: Code { Code("connectTimedOut") }
        /// Too much waits for the endpoint already. *notSent*
        public static var overloaded: Code { Code("overloaded") }
        /// The task was cancelled. *notSent* or *indeterminate*; *answered* while a large answer was being decoded
        public static var cancelled: Code { Code("cancelled") }
        /// The call took longer than it may. *notSent* or *indeterminate*; *answered* while a large answer was being decoded
        public static var deadlineExceeded: Code { Code("deadlineExceeded") }
        /// The client was closed or shut down. *notSent* or *indeterminate*
        public static var clientClosed: Code { Code("clientClosed") }
        /// The event loop was shut down. *notSent* or *indeterminate*
        public static var loopShutDown: Code { Code("loopShutDown") }
        /// The connection ended. *notSent* or *indeterminate*
        public static var connectionLost: Code { Code("connectionLost") }
        /// The answer is not what was asked for, for example bytes that are not UTF-8. *answered*
        public static var unexpectedReply: Code { Code("unexpectedReply") }
    }

    /// What became of the call.
    public typealias Outcome = CallOutcome

    /// What went wrong.
    public let code: Code
    /// What became of the call.
    public private(set) var outcome: Outcome
    /// The endpoint's id.
    public let endpoint: String
    /// What went wrong, in words, possibly the server's.
    public let message: String
    /// The operating system's error behind this one, if the kind's library tells it.
    public let ioError: IOError?
    /// The mistake in the endpoint's registration or use, if that is what went wrong.
    public let endpointError: EndpointError?

    /// Makes an error.
    public init(
        _ code: Code,
        _ outcome: Outcome,
        endpoint: String,
        _ message: String,
        ioError: IOError? = nil,
        endpointError: EndpointError? = nil
    ) {
        self.code = code
        self.outcome = outcome
        self.endpoint = endpoint
        self.message = message
        self.ioError = ioError
        self.endpointError = endpointError
    }

    /// Makes an error of a mistake in the endpoint's registration or use.
    public init(_ error: EndpointError) {
        self.init(.invalidEndpoint, .notSent, endpoint: error.endpoint, "\(error)", endpointError: error)
    }

    /// The same error with another outcome.
    public func with(_ outcome: Outcome) -> KindError {
        var error = self
        error.outcome = outcome
        return error
    }

    /// A sentence for a person: the kind, the endpoint, what went wrong, and whether the call may have run.
    public var description: String {
        let fate =
            switch outcome {
            case .notSent: " (not sent)"
            case .indeterminate: " (sent: it may have run)"
            case .rejected, .answered: ""
            }
        // Control characters, which a terminal or a log would obey, are spelled out: the words may be a stranger's.
        let legible = message.unicodeScalars.reduce(into: "") { text, scalar in
            if scalar.properties.generalCategory == .control {
                text += (scalar.value < 16 ? "\\x0" : "\\x") + String(scalar.value, radix: 16)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return "\(Kind.name) \(endpoint): \(legible)\(fate)"
    }
}
