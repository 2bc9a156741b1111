import Foundation
import RESP

/// What one large reply costs, arriving whole and in pieces, as one JSON line for each way.
///
///     bench-decoder [ELEMENTS [LENGTH]]
///
/// It is decoded into a tree of `RESPValue`, and into `[String]` without one. The elements are numbers as strings, with zeros
/// in front where they are shorter than LENGTH bytes: a string of up to 15 bytes needs no memory of its own in Swift.
///
/// The ways are run in turn, several times over, and the median of each is printed, so that a machine whose speed drifts
/// does not favour one of them. The C library is told to keep what is freed: whether it gives the memory of a million values
/// back to the system after each round, and has it faulted in again, hangs on a few bytes and is not the decoder's.
///
/// In pieces of 64 KiB it may cost at most 1.2 times what it costs whole, or the run has failed.
@main
enum BenchDecoder {
    private static let rounds = 7
    private static let highestRatio = 1.2

    private struct Way: Sendable {
        let pieces: String
        let pieceBytes: Int
        let into: String
        /// Takes the next reply out of the decoder and says how many elements it has; nil for none.
        let next: @Sendable (inout RESPDecoder) throws -> Int?
    }

    private static let ways: [Way] =
        ways(into: "RESPValue", countValues) + ways(into: "[String]", countStrings)

    private static func ways(
        into: String,
        _ next: @escaping @Sendable (inout RESPDecoder) throws -> Int?
    ) -> [Way] {
        let pieces = [("whole", Int.max), ("64KiB", 64 << 10), ("byte", 1)]
        return pieces.map { Way(pieces: $0.0, pieceBytes: $0.1, into: into, next: next) }
    }

    private static func countValues(_ decoder: inout RESPDecoder) throws -> Int? {
        guard let reply = try decoder.next() else { return nil }
        guard case .array(let values) = reply else { throw WrongReply() }
        return values.count
    }

    private static func countStrings(_ decoder: inout RESPDecoder) throws -> Int? {
        try decoder.next(as: [String].self)?.count
    }

    static func main() throws {
        keepFreedMemory()
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count <= 2,
            let elements = number(arguments.first, orElse: 1_000_000, most: 100_000_000),
            let length = number(arguments.dropFirst().first, orElse: 1, most: 1000)
        else {
            fail(
                2,
                "usage: bench-decoder [ELEMENTS [LENGTH]], the least length of an element in bytes, at most 1000"
            )
        }
        let bytes = reply(elements, length)
        var seconds: [[Double]] = ways.map { _ in [] }
        for _ in 0..<rounds {
            for (index, way) in ways.enumerated() {
                seconds[index].append(try measure(bytes, elements, way))
            }
        }
        var isLinear = true
        var whole = 0.0
        for (index, way) in ways.enumerated() {
            let median = median(seconds[index])
            if way.pieceBytes == .max { whole = median }
            let fields = [
                #""length": \#(length)"#, #""pieces": "\#(way.pieces)""#, #""into": "\#(way.into)""#,
                #""seconds": \#(median)"#,
                #""ratio_to_whole": \#(median / whole)"#,
                #""bytes_per_second": \#(Double(bytes.count) / median)"#,
                #""elements_per_second": \#(Double(elements) / median)"#,
            ]
            print("{\(fields.joined(separator: ", "))}")
            if way.pieceBytes > 1, median > highestRatio * whole { isLinear = false }
        }
        guard isLinear else {
            fail(
                1,
                "bench-decoder: in pieces the reply cost more than \(highestRatio) times what it cost whole"
            )
        }
    }

    private static func number(_ argument: String?, orElse without: Int, most: Int) -> Int? {
        guard let argument else { return without }
        return Int(argument).flatMap { (1...most).contains($0) ? $0 : nil }
    }

    private static func fail(_ status: Int32, _ words: String) -> Never {
        FileHandle.standardError.write(Data((words + "\n").utf8))
        exit(status)
    }

    private static func keepFreedMemory() {
        typealias Mallopt = @convention(c) (_ parameter: Int32, _ value: Int32) -> Int32
        let (trimThreshold, mmapThreshold): (Int32, Int32) = (-1, -3)
        // Where the C library has no such function its memory is measured along. It has this type where it has it.
        guard let symbol = unsafe dlsym(nil, "mallopt") else { return }
        let mallopt = unsafe unsafeBitCast(symbol, to: Mallopt.self)
        _ = mallopt(trimThreshold, .max)
        _ = mallopt(mmapThreshold, 1 << 30)
    }

    /// An array of bulk strings.
    private static func reply(_ elements: Int, _ length: Int) -> [UInt8] {
        var bytes = Array("*\(elements)\r\n".utf8)
        for number in 0..<elements {
            let digits = String(number)
            let text = String(repeating: "0", count: max(0, length - digits.utf8.count)) + digits
            bytes += Array("$\(text.utf8.count)\r\n\(text)\r\n".utf8)
        }
        return bytes
    }

    private static func measure(_ bytes: [UInt8], _ elements: Int, _ way: Way) throws -> Double {
        let start = ContinuousClock.now
        var decoder = RESPDecoder()
        var offset = 0
        var replies = 0
        while offset < bytes.count {
            let end = way.pieceBytes < bytes.count - offset ? offset + way.pieceBytes : bytes.count
            decoder.append(bytes[offset..<end])
            offset = end
            while let count = try way.next(&decoder) {
                guard count == elements else { throw WrongReply() }
                replies += 1
            }
        }
        guard replies == 1 else { throw WrongReply() }
        return (ContinuousClock.now - start) / .seconds(1)
    }

    private struct WrongReply: Error {}

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}
