import RESP

/// What one large reply costs, arriving whole and in pieces, as one JSON line for each way.
///
///     bench-decoder [ELEMENTS]
///
/// The ways are run in turn, several times over, and the median of each is printed, so that a machine whose speed drifts
/// does not favour one of them.
@main
enum BenchDecoder {
    private static let rounds = 7
    private static let ways = [(name: "whole", pieceBytes: Int.max), ("64KiB", 64 << 10), ("byte", 1)]

    static func main() throws {
        let elements = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000_000
        let bytes = reply(elements)
        var seconds: [[Double]] = ways.map { _ in [] }
        for _ in 0..<rounds {
            for (index, way) in ways.enumerated() {
                seconds[index].append(try measure(bytes, elements, way.pieceBytes))
            }
        }
        let whole = median(seconds[0])
        for (index, way) in ways.enumerated() {
            let median = median(seconds[index])
            let fields = [
                #""pieces": "\#(way.name)""#, #""seconds": \#(median)"#,
                #""ratio_to_whole": \#(median / whole)"#,
                #""bytes_per_second": \#(Double(bytes.count) / median)"#,
                #""elements_per_second": \#(Double(elements) / median)"#,
            ]
            print("{\(fields.joined(separator: ", "))}")
        }
    }

    /// An array of short bulk strings.
    private static func reply(_ elements: Int) -> [UInt8] {
        var bytes = Array("*\(elements)\r\n".utf8)
        for number in 0..<elements {
            let text = String(number)
            bytes += Array("$\(text.utf8.count)\r\n\(text)\r\n".utf8)
        }
        return bytes
    }

    private static func measure(_ bytes: [UInt8], _ elements: Int, _ pieceBytes: Int) throws -> Double {
        let start = ContinuousClock.now
        var decoder = RESPDecoder()
        var offset = 0
        var replies = 0
        while offset < bytes.count {
            let end = pieceBytes < bytes.count - offset ? offset + pieceBytes : bytes.count
            decoder.append(bytes[offset..<end])
            offset = end
            while let reply = try decoder.next() {
                guard case .array(let values) = reply, values.count == elements else { throw WrongReply() }
                replies += 1
            }
        }
        guard replies == 1 else { throw WrongReply() }
        return (ContinuousClock.now - start) / .seconds(1)
    }

    private struct WrongReply: Error {}

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
