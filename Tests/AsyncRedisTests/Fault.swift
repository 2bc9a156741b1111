import TestSupport

@testable import AsyncRedis

/// What a server, or what stands in its place, can do to a connection.
enum Fault: CaseIterable, Sendable {
    /// Nobody listens.
    case refuses
    /// The queue of connections is full, and nobody takes one.
    case neverAccepts
    /// It takes the connection, reads, and never answers.
    case staysSilent
    /// It takes the connection and reads nothing.
    case readsNothing
    /// It never answers the login.
    case staysSilentInHandshake
    /// It goes away during the login.
    case closesInHandshake
    /// It breaks the connection during the login.
    case resetsInHandshake
    /// It breaks the connection with commands under way.
    case resets
    /// It says that it will write nothing more, and reads on.
    case halfCloses
    /// It goes away in the middle of a reply.
    case closesInAReply
    /// It writes one byte at a time, of a reply that never ends.
    case tricklesForEver
    /// It sends one reply more than it was asked for.
    case repliesUnasked
    /// It sends something else than replies, behind one.
    case sendsGarbage
    /// It sends a message that only the later version of the protocol has.
    case pushes
    /// It says that it has too many clients, and goes away.
    case hasTooManyClients
}

/// What a caller sees.
struct Sight: Hashable, Sendable {
    let code: RedisError.Code
    let outcome: RedisError.Outcome

    init(_ code: RedisError.Code, _ outcome: RedisError.Outcome) {
        self.code = code
        self.outcome = outcome
    }
}

extension Fault {
    /// What the callers of the commands see that had been sent, in their order; nil for a reply.
    var whenSent: [Sight?] {
        switch self {
        case .refuses, .neverAccepts, .staysSilentInHandshake, .closesInHandshake, .resetsInHandshake:
            [whenUnsent, whenUnsent]
        case .staysSilent, .tricklesForEver: Self.both(.deadlineExceeded)
        // The first fills the socket.
        case .readsNothing: [Sight(.deadlineExceeded, .indeterminate), whenUnsent]
        case .resets, .halfCloses, .closesInAReply, .hasTooManyClients: Self.both(.connectionLost)
        case .pushes: Self.both(.protocolViolation)
        case .repliesUnasked: [nil, nil]
        case .sendsGarbage: [nil, Sight(.protocolViolation, .indeterminate)]
        }
    }

    private static func both(_ code: RedisError.Code) -> [Sight?] {
        [Sight(code, .indeterminate), Sight(code, .indeterminate)]
    }

    /// What the callers of commands see that had not.
    var whenUnsent: Sight {
        switch self {
        case .refuses: Sight(.connectFailed, .notSent)
        case .neverAccepts, .staysSilent, .readsNothing, .staysSilentInHandshake, .tricklesForEver:
            Sight(.deadlineExceeded, .notSent)
        case .resets, .halfCloses, .closesInAReply, .closesInHandshake, .resetsInHandshake,
            .hasTooManyClients:
            Sight(.connectionLost, .notSent)
        case .repliesUnasked, .sendsGarbage, .pushes: Sight(.protocolViolation, .notSent)
        }
    }

    /// Whether a command's own time is all that ends it.
    var endsByDeadline: Bool { whenUnsent.code == .deadlineExceeded }

    /// Whether it happens before the connection stands.
    var isBeforeTheConnection: Bool { whenSent == [whenUnsent, whenUnsent] }
}

/// Where a fault is met: a port, and what has to be stopped afterwards.
final class FaultyServer: Sendable {
    let fault: Fault
    let port: Int
    private let server: ScriptedServer?
    private let listener: SilentListener?
    /// Opened when the server has read the commands that fit on the wire.
    let hasRead = Gate()
    /// Holds the fault back until the test has all its commands in place.
    let mayAct = Gate()
    private let isOver = Gate()

    init(_ fault: Fault) throws {
        self.fault = fault
        var server: ScriptedServer?
        var listener: SilentListener?
        switch fault {
        case .refuses:
            port = try ScriptedServer.closedPort()
        case .neverAccepts:
            let silent = try SilentListener()
            port = silent.port
            listener = silent
        default:
            let scripted = try ScriptedServer { [hasRead, mayAct, isOver] connection in
                guard fault != .readsNothing else { return isOver.waitOnThread() }
                Self.serve(fault, connection, hasRead, mayAct)
            }
            port = scripted.port
            server = scripted
        }
        self.server = server
        self.listener = listener
    }

    /// How many commands the tests put on the wire.
    static let onTheWire = 2

    private static func serve(
        _ fault: Fault,
        _ connection: ServerConnection,
        _ hasRead: Gate,
        _ mayAct: Gate
    ) {
        for _ in 0..<(fault.isBeforeTheConnection ? 1 : onTheWire) {
            guard connection.readCommand() != nil else { return }
        }
        hasRead.open()
        mayAct.waitOnThread()
        switch fault {
        case .closesInHandshake, .readsNothing, .refuses, .neverAccepts: return
        case .resets, .resetsInHandshake: return connection.reset()
        case .closesInAReply:
            connection.write("*2\r\n$5\r\nhel")
            return
        case .hasTooManyClients:
            connection.write("-ERR max number of clients reached\r\n")
            return
        case .staysSilent, .staysSilentInHandshake: break
        case .halfCloses: connection.halfClose()
        case .tricklesForEver:
            connection.write("$100000000\r\n")
            connection.trickle("x")
        case .repliesUnasked: connection.write(String(repeating: "+OK\r\n", count: onTheWire + 1))
        case .sendsGarbage: connection.write("+OK\r\nHTTP/1.1 400 Bad Request\r\n")
        case .pushes: connection.write(">2\r\n+message\r\n+hello\r\n")
        }
        while connection.readSome() != nil {}
    }

    func stop() {
        mayAct.open()
        isOver.open()
        server?.stop()
    }
}
