import Foundation
import RESP

/// One file of `Fixtures/resp2` or `Fixtures/resp3`: what was sent to a real server, and what came back.
struct RecordedFixture: Sendable {
    let name: String
    /// The commands, each as its words.
    let commands: [[[UInt8]]]
    /// Every byte that came back.
    let stream: [UInt8]
    /// The replies that those bytes are.
    let replies: [RESPValue]

    /// All of a version's, sorted by name.
    static func all(_ folder: String = "resp2") throws -> [RecordedFixture] {
        let path = URL(filePath: #filePath)
            .deletingLastPathComponent()
            .appending(path: "../../Fixtures/\(folder)")
        let files = try FileManager.default.contentsOfDirectory(at: path, includingPropertiesForKeys: nil)
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
        case type, value, items, entries, bits, blob, format
        case valueBytes = "value_b64"
        case messageBytes = "message_b64"
    }

    init(from decoder: any Decoder) throws {
        let node = try decoder.container(keyedBy: Key.self)
        func bytes(_ key: Key = .valueBytes) throws -> [UInt8] {
            [UInt8](try node.decode(Data.self, forKey: key))
        }
        func items() throws -> [RESPValue] { try node.decode([Node].self, forKey: .items).map(\.value) }
        func entries() throws -> RESPMap {
            RESPMap(
                try node.decode([[Node]].self, forKey: .entries).map {
                    (key: $0[0].value, value: $0[1].value)
                }
            )
        }
        let type = try node.decode(String.self, forKey: .type)
        switch type {
        case "simple": value = .simpleString(try bytes())
        case "bulk": value = .bulkString(try bytes())
        case "error":
            let message = try bytes(.messageBytes)
            value = node.contains(.blob) ? .bulkError(message) : .simpleError(message)
        case "integer": value = .integer(try node.decode(Int64.self, forKey: .value))
        case "array": value = .array(try items())
        case "null": value = .null
        case "boolean": value = .boolean(try node.decode(Bool.self, forKey: .value))
        case "double":
            let bits = try node.decode(String.self, forKey: .bits)
            value = .double(UInt64(bits, radix: 16).map(Double.init(bitPattern:)) ?? .nan)
        case "bignumber": value = .bigNumber(try bytes())
        case "verbatim":
            value = .verbatimString(
                format: Array(try node.decode(String.self, forKey: .format).utf8),
                try bytes()
            )
        case "map": value = .map(try entries())
        case "set": value = .set(RESPElements(try items()))
        case "push": value = .push(RESPElements(try items()))
        case "attribute":
            let owner = try node.decode(Node.self, forKey: .value).value
            value = .attribute(RESPAttributed(attributes: try entries(), value: owner))
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .type,
                in: node,
                debugDescription: "no type is called \(type)"
            )
        }
    }
}
