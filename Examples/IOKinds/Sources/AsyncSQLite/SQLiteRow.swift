/// A value of SQLite's, as parameter or in a row.
public enum SQLiteValue: Hashable, Sendable {
    /// NULL.
    case null
    /// An INTEGER.
    case integer(Int64)
    /// A REAL; as a parameter never NaN.
    case real(Double)
    /// A TEXT.
    case text(String)
    /// A BLOB.
    case blob([UInt8])
}

extension SQLiteValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
    ExpressibleByNilLiteral
{
    /// An INTEGER.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// A REAL.
    public init(floatLiteral value: Double) { self = .real(value) }
    /// A TEXT.
    public init(stringLiteral value: String) { self = .text(value) }
    /// NULL.
    public init(nilLiteral: ()) { self = .null }
}

/// A row of an answer.
public struct SQLiteRow: Hashable, Sendable {
    /// The columns' names, in their order.
    public let columns: [String]
    /// The values, one for each column.
    public let values: [SQLiteValue]

    /// The value in the first column of that name; nil if there is none.
    public subscript(_ column: String) -> SQLiteValue? {
        columns.firstIndex(of: column).map { values[$0] }
    }
}
