import CPostgres
import IOCalls
@_spi(Driver) import UVLoop

/// A row of an answer.
public struct PostgresRow: Hashable, Sendable {
    /// The columns' names, in their order.
    public let columns: [String]
    /// The values as Postgres writes them in text, one for each column; nil for NULL.
    public let values: [String?]

    /// The value in the first column of that name; nil if there is none, or if it is NULL.
    public subscript(_ column: String) -> String? {
        columns.firstIndex(of: column).flatMap { values[$0] }
    }
}

/// An answer as libpq holds it; it is decoded on its task's own side, then let go.
@safe final class PostgresReply: @unchecked Sendable {
    // Safe to share: libpq does not change a result once it has given it out, and frees it when it is told to, in `deinit`.
    private let result: OpaquePointer

    init(_ result: OpaquePointer) { unsafe self.result = unsafe result }

    deinit { unsafe PQclear(result) }

    var status: ExecStatusType { unsafe PQresultStatus(result) }
    var isError: Bool { status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE }
    /// The server's code for an error; nil for an error of libpq's own.
    var sqlState: String? { field("C") }

    /// A field of an error, by libpq's letter for it.
    func field(_ letter: Unicode.Scalar) -> String? {
        // The text lives as long as the result; it is copied here.
        unsafe PQresultErrorField(result, Int32(letter.value)).map { unsafe String(cString: $0) }
    }

    /// From how many bytes on an answer is not decoded on the loop.
    private static let largeBytes = 64 << 10

    /// After how many bytes of text it is looked whether the task is cancelled, or its time over; a value counts for some itself.
    private static let bytesPerLook = 256 << 10
    private static let bytesPerValue = 64

    /// Decodes the rows, those of a large answer beside the loop, on which its task may run.
    func rows(endpoint: String, deadline: UInt64) async throws(PostgresError) -> [PostgresRow] {
        let decode: @concurrent @Sendable () async throws(PostgresError) -> [PostgresRow] = {
            () async throws(PostgresError) in try self.decoded(endpoint, deadline)
        }
        guard unsafe PQresultMemorySize(result) > Self.largeBytes else {
            return try decoded(endpoint, deadline)
        }
        return try await withTaskExecutorPreference(globalConcurrentExecutor, operation: decode)
    }

    private func decoded(_ endpoint: String, _ deadline: UInt64) throws(PostgresError) -> [PostgresRow] {
        let columns = unsafe (0..<PQnfields(result)).map { column in
            // The name lives as long as the result; it is copied here.
            unsafe PQfname(result, column).map { unsafe String(cString: $0) } ?? ""
        }
        var rows: [PostgresRow] = []
        var bytes = 0
        for row in unsafe 0..<PQntuples(result) {
            var values: [String?] = []
            for column in 0..<Int32(columns.count) {
                let value = try value(row, column, endpoint)
                values.append(value)
                bytes += Self.bytesPerValue + (value?.utf8.count ?? 0)
                guard bytes >= Self.bytesPerLook else { continue }
                bytes = 0
                try look(endpoint, deadline)
            }
            rows.append(PostgresRow(columns: columns, values: values))
        }
        return rows
    }

    /// Throws if nobody wants the rest any more.
    private func look(_ endpoint: String, _ deadline: UInt64) throws(PostgresError) {
        if Task.isCancelled {
            throw PostgresError(.cancelled, .answered, endpoint: endpoint, "the task was cancelled")
        }
        if deadline <= LoopClock.now {
            let message = "the call's time ran out while its rows were being decoded"
            throw PostgresError(.deadlineExceeded, .answered, endpoint: endpoint, message)
        }
    }

    private func value(_ row: Int32, _ column: Int32, _ endpoint: String) throws(PostgresError) -> String? {
        guard unsafe PQgetisnull(result, row, column) == 0 else { return nil }
        // So many bytes live there as long as the result; they are copied here.
        let count = unsafe Int(PQgetlength(result, row, column))
        let bytes = unsafe UnsafeRawBufferPointer(start: PQgetvalue(result, row, column), count: count)
        guard let text = unsafe String(validating: bytes, as: UTF8.self) else {
            let message = "a value of the answer is not UTF-8"
            throw PostgresError(.unexpectedReply, .answered, endpoint: endpoint, message)
        }
        return text
    }
}
