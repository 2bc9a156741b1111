import RESP
@_spi(Driver) public import UVLoop

/// Why a command, or an attempt to connect, did not give what was asked for, and whether it may have run.
public struct RedisError: Error, Sendable, CustomStringConvertible {
    /// What became of the command.
    public enum Outcome: Hashable, Sendable {
        /// It was never sent: trying again is safe.
        case notSent
        /// It was sent, at least in part, and no reply came: it may have run.
        case indeterminate
        /// The server answered with an error.
        case rejected
        /// The server ran it and answered, and the answer is not what was asked for.
        case answered
    }

    /// What went wrong; codes may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name.
        public let description: String
        /// Whether it is the server's own word, and not one of this client's.
        private let isServers: Bool

        private init(_ description: String) {
            self.description = description
            isServers = false
        }

        private init(server prefix: String) {
            description = prefix
            isServers = true
        }

        /// The URL is not one of a Redis server. *notSent*
        public static let invalidURL = Code("invalidURL")
        /// The endpoint is unknown, of another kind, or set up wrong; ``RedisError/endpointError`` has the details. *notSent*
        public static let invalidEndpoint = Code("invalidEndpoint")
        /// The command has no words, is over a limit, or is not for this client: one that blocks on the server on a client
        /// that others share, one whose replies could not be matched. *notSent*
        public static let invalidCommand = Code("invalidCommand")
        /// The host's name could not be looked up. *notSent*
        public static let resolveFailed = Code("resolveFailed")
        /// No address could be connected to. *notSent*
        public static let connectFailed = Code("connectFailed")
        /// The server refused the login or the database. *notSent*
        public static let handshakeFailed = Code("handshakeFailed")
        /// Connecting took longer than the endpoint's `connectTimeout`, or than the task's own limit. *notSent*
        public static let connectTimedOut = Code("connectTimedOut")
        /// Too much waits for the endpoint already. *notSent*
        public static let overloaded = Code("overloaded")
        /// The task was cancelled. *notSent* or *indeterminate*
        public static let cancelled = Code("cancelled")
        /// The command took longer than it may; ``RedisError/situation`` says where the time went. *notSent* or *indeterminate*
        public static let deadlineExceeded = Code("deadlineExceeded")
        /// The client was closed or shut down. *notSent* or *indeterminate*
        public static let clientClosed = Code("clientClosed")
        /// The event loop was shut down. *notSent* or *indeterminate*
        public static let loopShutDown = Code("loopShutDown")
        /// The connection ended or stayed silent. *notSent* or *indeterminate*
        public static let connectionLost = Code("connectionLost")
        /// The server sent bytes that are not the protocol, or a reply nobody asked for. *notSent* or *indeterminate*
        public static let protocolViolation = Code("protocolViolation")
        /// The reply is not of the type asked for. *answered*
        public static let unexpectedReply = Code("unexpectedReply")

        /// The server's own code: the first word of its error, for example `WRONGTYPE`. *rejected*
        public static func server(_ prefix: String) -> Code { Code(server: prefix) }
        /// The key holds a value of another type.
        public static let wrongType = Code(server: "WRONGTYPE")
        /// An error without a code of its own.
        public static let generic = Code(server: "ERR")
        /// Authentication is required.
        public static let noAuth = Code(server: "NOAUTH")
        /// The password or the user is wrong.
        public static let wrongPassword = Code(server: "WRONGPASS")
        /// The server is loading its data.
        public static let loading = Code(server: "LOADING")
        /// The server is out of memory.
        public static let outOfMemory = Code(server: "OOM")
    }

    /// Shared, so that the error is one reference wide.
    private final class Details: Sendable {
        let code: Code
        let endpoint: String
        let message: String
        let ioError: IOError?
        let serverMessage: [UInt8]?
        let endpointError: EndpointError?
        let situation: Situation?

        init(
            code: Code,
            endpoint: String,
            message: String,
            ioError: IOError?,
            serverMessage: [UInt8]?,
            endpointError: EndpointError?,
            situation: Situation?
        ) {
            self.code = code
            self.endpoint = endpoint
            self.message = message
            self.ioError = ioError
            self.serverMessage = serverMessage
            self.endpointError = endpointError
            self.situation = situation
        }
    }

    private let details: Details

    /// What became of the command.
    public let outcome: Outcome

    /// What went wrong.
    public var code: Code { details.code }
    /// The endpoint's id, or for a client without one its address.
    public var endpoint: String { details.endpoint }
    /// The operating system's or the resolver's error behind this one, if there is one.
    public var ioError: IOError? { details.ioError }
    /// The server's error in its own bytes, if it sent one.
    public var serverMessage: [UInt8]? { details.serverMessage }
    /// The mistake in the endpoint's registration or use, if that is what went wrong.
    public var endpointError: EndpointError? { details.endpointError }
    /// What the command was waiting for when its time ran out or its task was cancelled; nil for other errors.
    public var situation: Situation? { details.situation }

    init(
        _ code: Code,
        _ outcome: Outcome,
        endpoint: String,
        _ message: String,
        ioError: IOError? = nil,
        serverMessage: [UInt8]? = nil,
        endpointError: EndpointError? = nil,
        situation: Situation? = nil
    ) {
        self.outcome = outcome
        details = Details(
            code: code,
            endpoint: endpoint,
            message: message,
            ioError: ioError,
            serverMessage: serverMessage,
            endpointError: endpointError,
            situation: situation
        )
    }

    private init(_ details: Details, _ outcome: Outcome) {
        self.details = details
        self.outcome = outcome
    }

    /// The same error with another outcome.
    func with(_ outcome: Outcome) -> RedisError { RedisError(details, outcome) }

    /// A sentence for a person: the endpoint, what went wrong, and whether the command may have run.
    public var description: String {
        let fate =
            switch outcome {
            case .notSent: " (not sent)"
            case .indeterminate: " (sent: it may have run)"
            case .rejected, .answered: ""
            }
        // Put together for whoever reads it: thousands of commands may run out of time in one moment.
        let sentence =
            if code == .deadlineExceeded, let situation { "\(details.message) \(situation)" } else {
                details.message
            }
        return "Redis \(endpoint): \(sentence)\(fate)"
    }
}

extension RedisError {
    init(_ error: EndpointError) {
        self.init(.invalidEndpoint, .notSent, endpoint: error.endpoint, "\(error)", endpointError: error)
    }

    init(_ error: RESPEncodingError, endpoint: String) {
        self.init(.invalidCommand, .notSent, endpoint: endpoint, error.reason)
    }

    init(_ error: RESPDecodingError, endpoint: String) {
        self.init(.unexpectedReply, .answered, endpoint: endpoint, error.reason)
    }

    /// An error that the server sent, without its minus sign.
    ///
    /// Its code is the first word, if that is one in capitals.
    init(serverMessage bytes: [UInt8], endpoint: String) {
        let prefix = bytes.prefix { $0 != UInt8(ascii: " ") }
        let isCode =
            !prefix.isEmpty
            && prefix.allSatisfy {
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || $0 == UInt8(ascii: "_")
            }
        self.init(
            isCode ? .server(String(decoding: prefix, as: UTF8.self)) : .generic,
            .rejected,
            endpoint: endpoint,
            bytes.isEmpty ? "the server answered with an error that says nothing" : String(forPerson: bytes),
            serverMessage: bytes
        )
    }

    init(_ failure: ConnectFailure, endpoint: String, target: StreamTarget) {
        let code: Code
        var message: String
        switch (failure.step, failure.cause) {
        case (.resolving, .timedOut), (.connecting, .timedOut):
            code = .connectTimedOut
            message =
                failure.step == .resolving ? "looking up \(target) took too long" : "connecting took too long"
        case (.resolving, _):
            code = .resolveFailed
            message = "the name in \(target) could not be looked up: \(failure.cause)"
        case (.connecting, _):
            code = .connectFailed
            message = "connecting to \(target) failed: \(failure.cause)"
        }
        if failure.attempts.count > 1 {
            message +=
                "; tried "
                + failure.attempts.map { "\($0.address) (\($0.cause.name))" }.joined(separator: ", ")
        }
        if failure.cause == .loopShutDown {
            self.init(loopShutDownAt: endpoint)
        } else {
            self.init(code, .notSent, endpoint: endpoint, message, ioError: failure.cause)
        }
    }

    init(loopShutDownAt endpoint: String) {
        self.init(.loopShutDown, .notSent, endpoint: endpoint, "the event loop has been shut down")
    }

    /// Whether an error is one by which a server refuses a whole connection before it reads anything from it.
    ///
    /// Source: `acceptCommonHandler` in Redis's `networking.c`.
    static func isFarewell(_ message: [UInt8]) -> Bool {
        message.starts(with: Array("ERR max number of clients".utf8))
            || message.starts(with: Array("DENIED Redis is running in protected mode".utf8))
    }

    /// Whether an error says that a transaction is over, and that nothing of it was run.
    ///
    /// Source: `execCommandAbort` in Redis's `multi.c`.
    static func isGroupAborted(_ message: [UInt8]) -> Bool { message.starts(with: Array("EXECABORT".utf8)) }

    static func cancelled(_ outcome: Outcome, _ endpoint: String, _ situation: Situation? = nil) -> RedisError
    {
        RedisError(.cancelled, outcome, endpoint: endpoint, "the task was cancelled", situation: situation)
    }

    static func deadlineExceeded(_ outcome: Outcome, _ endpoint: String, _ situation: Situation) -> RedisError
    {
        let message = "the command's time ran out while it was waiting"
        return RedisError(.deadlineExceeded, outcome, endpoint: endpoint, message, situation: situation)
    }

    static func overloaded(_ message: String, _ endpoint: String) -> RedisError {
        RedisError(.overloaded, .notSent, endpoint: endpoint, message)
    }

    static func closed(_ endpoint: String) -> RedisError {
        RedisError(.clientClosed, .notSent, endpoint: endpoint, "the client has been closed")
    }
}

extension String {
    /// Text from a server: what is not UTF-8 as replacement characters, and control characters, which a terminal or a log
    /// would obey, as `\x1b`.
    init(forPerson bytes: [UInt8]) {
        var text = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
                let digits = String(scalar.value, radix: 16)
                text += digits.count == 1 ? "\\x0\(digits)" : "\\x\(digits)"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        self = text
    }
}
