import Foundation
import RESP

/// One file of `Fixtures/resp2`: what was sent to a real server, and what came back.
struct RecordedFixture: Sendable {
    let name: String
    /// The commands, each as its words.
    let commands: [[[UInt8]]]
    /// Every byte that came back.
    let stream: [UInt8]
    /// The replies that those bytes are.
    let replies: [RESPValue]

    /// All of them, sorted by name.
    static func all() throws -> [RecordedFixture] {
        let folder = URL(filePath: #filePath)
            .deletingLastPathComponent()
            .appending(path: "../../Fixtures/resp2")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return
            try files
            .filter { $0.pathExtension == "json" }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
            .map { try RecordedFixture(contentsOf: $0) }
    }

    private init(contentsOf file: URL) throws {
        let recorded = try JSONDecoder().decode(Recorded.self, from: Data(contentsOf: file))
        name = recorded.name
        commands = (recorded.requests ?? [recorded.request ?? []]).map { $0.map { [UInt8]($0) } }
        stream = [UInt8](recorded.reply_b64)
        replies = recorded.replies.map(\.value)
    }
}

extension RecordedFixture: CustomStringConvertible {
    var description: String { name }
}

/// A fixture file's keys.
private struct Recorded: Decodable {
    let name: String
    let request: [Data]?
    let requests: [[Data]]?
    let reply_b64: Data
    let replies: [Node]
}

/// A reply as a fixture file describes it.
private struct Node: Decodable {
    let value: RESPValue

    private enum Key: String, CodingKey {
        case type, value, items
        case valueBytes = "value_b64"
        case messageBytes = "message_b64"
    }

    init(from decoder: any Decoder) throws {
        let node = try decoder.container(keyedBy: Key.self)
        let type = try node.decode(String.self, forKey: .type)
        switch type {
        case "simple": value = .simpleString([UInt8](try node.decode(Data.self, forKey: .valueBytes)))
        case "bulk": value = .bulkString([UInt8](try node.decode(Data.self, forKey: .valueBytes)))
        case "error": value = .error([UInt8](try node.decode(Data.self, forKey: .messageBytes)))
        case "integer": value = .integer(try node.decode(Int64.self, forKey: .value))
        case "array": value = .array(try node.decode([Node].self, forKey: .items).map(\.value))
        case "null": value = .null
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .type,
                in: node,
                debugDescription: "RESP2 has no \(type)"
            )
        }
    }
}
