/// Several values of types of their own, by their places in an array.
///
/// ```swift
/// let (cursor, keys) = try await redis.send("SCAN", 0, as: RESPTuple<Int, [String]>.self).values
/// ```
public struct RESPTuple<each Element: RESPDecodable>: RESPDecodable {
    /// The values.
    public let values: (repeat each Element)

    /// Reads an array of exactly as many elements as there are types.
    ///
    /// - Throws: ``RESPDecodingError`` if the value is not an array of that count, or an element is of another type: the error
    ///   names its position, from 0.
    public init(from reader: inout RESPReader) throws(RESPDecodingError) {
        let count = try reader.decodeArrayHead()
        var expected = 0
        for _ in repeat (each Element).self { expected += 1 }
        guard count == expected else {
            throw RESPDecodingError(
                "expected an array of \(counted(expected, "element")), got one of \(count)"
            )
        }
        var index = 0
        values = (repeat try Self.read((each Element).self, &reader, &index))
    }

    private static func read<Value: RESPDecodable>(
        _ type: Value.Type,
        _ reader: inout RESPReader,
        _ index: inout Int
    ) throws(RESPDecodingError) -> Value {
        defer { index += 1 }
        do throws(RESPDecodingError) { return try reader.decode(type) } catch {
            throw error.inElement(index)
        }
    }
}

extension RESPTuple: Sendable where repeat each Element: Sendable {}
