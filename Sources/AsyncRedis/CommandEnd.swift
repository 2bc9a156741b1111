import RESP
@_spi(Driver) import UVLoop

/// How a command ended, as handed to its task.
enum CommandEnd {
    case reply(Reply)
    case failure(RedisError)
}

/// A task that waits for its command's end.
typealias CommandWaiter = SuspendedTask<CommandEnd>

/// A complete reply, still in the buffer it was received into.
///
/// It is decoded on its task's own side, then let go.
struct Reply {
    let buffer: ReadBuffer
    let range: Range<Int>

    /// Whether the reply as a whole is an error.
    @inline(__always)
    var isError: Bool {
        buffer.byte(at: range.lowerBound) == RESPType.error
    }

    /// The error's text, of a reply that is one.
    var errorMessage: [UInt8] {
        // Between the type byte and CR LF.
        buffer.withBytes((range.lowerBound + 1)..<(range.upperBound - 2)) { Array(copying: $0) }
    }

    /// Decodes the reply, or throws the error that it is.
    @inline(__always)
    func decode<Value: RESPDecodable>(
        _ type: Value.Type,
        endpoint: @autoclosure () -> String
    ) throws(RedisError) -> Value {
        if isError { throw RedisError(serverMessage: errorMessage, endpoint: endpoint()) }
        do throws(RESPDecodingError) {
            return try buffer.withBytes(range) { bytes throws(RESPDecodingError) in
                var reader = RESPReader(bytes)
                let value = try Value(from: &reader)
                guard reader.isAtEnd else {
                    throw RESPDecodingError("\(Value.self) left a part of the reply unread")
                }
                return value
            }
        } catch {
            throw RedisError(error, endpoint: endpoint())
        }
    }
}

extension ConnectionStateMachine.Request {
    /// Whether the command has more bytes than are gathered with those of others.
    @inline(__always)
    var isLarge: Bool { byteCount >= OutputQueue.minLargeBytes }
}

extension OutputQueue {
    /// Appends a command; of a list of words the large ones are kept and not copied.
    func append(_ command: some RESPCommand, _ byteCount: Int) {
        guard byteCount >= Self.minLargeBytes else {
            return append(byteCount) { command.encode(into: &$0) }
        }
        command.encode(
            byteCount: byteCount,
            gather: { append($0, $1) },
            keep: { word in
                switch word {
                case .bytes(let bytes): append(large: bytes)
                case .text(let text): append(large: text)
                }
            }
        )
    }
}
