import Foundation
import TestSupport
import Testing

@testable import AsyncPostgres

/// What a query gives, and how it fails by its own fault.
@Suite(.enabled(if: PostgresServer.isThere)) struct PostgresTests {
    private let loop = EventLoop(name: "postgres-test")

    @Test func valuesComeBackAsText() async throws {
        let io = try PostgresServer.clients(on: loop)
        let postgres = try io.postgres("orders")
        #expect(try io.postgres("orders") === postgres)
        let sql =
            "SELECT $1::int + 1 AS sum, $2::text AS word, $3::text AS nothing, '' AS empty, $4::bytea AS bytes"
        let rows = try await postgres.query(sql, ["41", "naïve ' \\ $1", nil, "\\x00ff"])
        #expect(rows.map(\.columns) == [["sum", "word", "nothing", "empty", "bytes"]])
        #expect(rows.map(\.values) == [["42", "naïve ' \\ $1", nil, "", "\\x00ff"]])
        #expect(rows.first?["word"] == "naïve ' \\ $1")
        #expect(rows.first?["no such column"] == nil)
        #expect(try await postgres.query("SELECT 1 WHERE false") == [])
        #expect(try await postgres.query("DO $$ BEGIN END $$") == [])
        await io.close()
        await loop.shutdown()
    }

    @Test func largeStatementsAndAnswersComeWholeToTheEdge() async throws {
        let io = try PostgresServer.clients(on: loop)
        let postgres = try io.postgres("orders")
        let sql = "SELECT $1::text AS a, $1::text AS b"
        // More than sockets hold, both ways.
        let text = String(repeating: "x", count: PostgresClient.maxStatementBytes - sql.utf8.count)
        let rows = try await postgres.query(sql, [text])
        #expect(rows.first?["a"] == text)
        #expect(rows.first?["b"] == text)
        let error = await #expect(throws: PostgresError.self) { try await postgres.query(sql, [text + "x"]) }
        #expect(error?.code == .invalidCommand)
        #expect(error?.outcome == .notSent)
        let many = try await postgres.query("SELECT n FROM generate_series(1, 100000) AS n")
        #expect(many.compactMap { $0["n"].flatMap { Int($0) } } == Array(1...100_000))
        await io.close()
        await loop.shutdown()
    }

    @Test func largeStatementsAreMadeReadyWhileTheLoopIsBusy() async throws {
        let io = try PostgresServer.clients(on: loop)
        let postgres = try io.postgres("orders")
        let (isBusy, isFree) = (Gate(), Gate())
        loop.post {
            isBusy.open()
            isFree.waitOnThread()
        }
        await isBusy.wait()
        let text = String(repeating: "x", count: 15 << 20)
        let before = Heap.allocatedBytes()
        let tasks = (0..<8).map { _ in Task { try await postgres.query("SELECT $1::text", [text]) } }
        // Half of it is enough: what other tests leave goes meanwhile. A sanitizer's memory is not counted there.
        if !isSanitized { #expect(await eventually { Heap.allocatedBytes() > before + 60 << 20 }) }
        for task in tasks { task.cancel() }
        isFree.open()
        for task in tasks {
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
        await io.close()
        await loop.shutdown()
    }

    @Test(arguments: ["socket", "localhost"])
    func otherWaysToTheServer(way: String) async throws {
        var spec = PostgresServer.spec(host: way)
        if way == "socket" { spec.socketPath = PostgresServer.socket }
        let io = try PostgresServer.clients(spec, on: loop)
        let rows = try await loop.run { [loop] in
            let rows = try await io.postgres("orders").query("SELECT inet_server_addr() AS address")
            #expect(loop.isOnLoop)
            return rows
        }
        #expect((rows.first?["address"] == nil) == (way == "socket"))
        await io.close()
        await loop.shutdown()
    }

    @Test func whatFailsSaysHow() async throws {
        let io = try PostgresServer.clients(on: loop)
        let postgres = try io.postgres("orders")
        let cases: [(String, [String?], PostgresError.Code, PostgresError.Outcome)] = [
            ("SELEKT", [], .syntaxError, .rejected),
            ("SELECT * FROM nothing_at_all", [], .undefinedTable, .rejected),
            ("SELECT $1::int", ["x"], .server("22P02"), .rejected),
            ("SELECT 1; SELECT 2", [], .syntaxError, .rejected),
            ("SELECT $1::int", [], .server("08P01"), .rejected),
            ("SELECT 1\0", [], .invalidCommand, .notSent),
            ("SELECT $1", ["\0"], .invalidCommand, .notSent),
            ("BEGIN", [], .invalidCommand, .rejected),
            ("SELECT 1; COPY pg_class TO STDOUT", [], .syntaxError, .rejected),
        ]
        for (sql, parameters, code, outcome) in cases {
            let error = await #expect(throws: PostgresError.self, "\(sql)") {
                try await postgres.query(sql, parameters)
            }
            #expect(error?.code == code, "\(sql)")
            #expect(error?.outcome == outcome, "\(sql)")
            #expect(error?.endpoint == "orders")
            // None of them is in the next one's way.
            #expect(try await postgres.query("SELECT 1").count == 1, "after \(sql)")
        }
        await io.close()
        await loop.shutdown()
    }

    /// What would go on after its answer is not sent; what only looks like it is.
    @Test func copyingOverTheConnectionIsRefused() async throws {
        let io = try PostgresServer.clients(on: loop)
        let postgres = try io.postgres("orders")
        let refused = [
            "COPY pg_class TO STDOUT", "copy pg_class from stdin",
            "; /* /* */ */ COPY t (a, b)\nFROM -- '\nSTDIN",
            "COPY t TO/* x */STDOUT WITH (DELIMITER ',')", "COPY public.to TO STDOUT", "COPY t FROM STDOUT",
            "COPY \"a\"\"b from\" TO STDOUT", "COPY BINARY t TO STDOUT",
            "COPY (SELECT ')', E'it\\'s', $a$ ( $a$, $$($$, \"(\") TO STDOUT",
        ]
        for sql in refused {
            let error = await failure(of: sql, on: postgres)
            #expect(error?.code == .invalidCommand, "\(sql)")
            #expect(error?.outcome == .notSent, "\(sql)")
        }
        let (noFile, noTable) = (PostgresError.Code.server("58P01"), PostgresError.Code.undefinedTable)
        let sent: [(String, PostgresError.Code)] = [
            ("COPY pg_class (relname) TO '/no/such/directory/STDOUT'", noFile),
            ("COPY (SELECT 1 AS stdout, ') TO STDOUT') TO '/no/such/file/x'", noFile),
            ("COPY (SELECT stdin FROM (SELECT 1 AS stdin) AS s) TO '/no/such/file/x'", noFile),
            ("COPY stdout FROM '/no/such/file' WHERE n IS DISTINCT FROM stdin", noTable),
            ("COPY public.from (stdin) FROM '/no/such/file' -- FROM STDIN", noTable),
            ("COPY \"FROM STDIN\" TO '/no/such/file/x' /* TO STDOUT */", noTable),
            ("COPYING t TO STDOUT", .syntaxError), ("COPY t TO \"STDOUT\"", .syntaxError),
            ("COPY (SELECT 'TO STDOUT", .syntaxError), ("COPY t TO", .syntaxError),
        ]
        for (sql, code) in sent { #expect(await failure(of: sql, on: postgres)?.code == code, "\(sql)") }
        #expect(try await postgres.query("SELECT 'COPY t TO STDOUT' AS t").count == 1)
        await io.close()
        await loop.shutdown()
    }

    @Test func manyTasksAtOnceEachGetTheirOwn() async throws {
        let io = try PostgresServer.clients(on: loop)
        try await loop.run {
            let postgres = try io.postgres("orders")
            let processes = try await withThrowingTaskGroup(of: String?.self) { group in
                for number in 0..<500 {
                    group.addTask {
                        let rows = try await postgres.query(
                            "SELECT $1 AS n, pg_backend_pid() AS p",
                            ["\(number)"]
                        )
                        #expect(rows.first?["n"] == "\(number)")
                        return rows.first?["p"]
                    }
                }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            // On no more connections than it may have.
            #expect(processes.count <= 8)
        }
        await io.close()
        await loop.shutdown()
    }

    @Test func parametersAreCountedToTheEdge() async throws {
        let io = try PostgresServer.clients(PostgresServer.spec(.patient), on: loop)
        let postgres = try io.postgres("orders")
        let many = [String?](repeating: "1", count: 65_535)
        let list = (1...many.count).map { "$\($0)::int" }.joined(separator: ",")
        let rows = try await postgres.query("SELECT cardinality(ARRAY[\(list)]) AS n", many)
        #expect(rows.first?["n"] == "65535")
        let error = await #expect(throws: PostgresError.self) {
            try await postgres.query("SELECT 1", many + ["1"])
        }
        #expect(error?.code == .invalidCommand)
        #expect(error?.outcome == .notSent)
        #expect(try await postgres.query("SELECT 1").count == 1)
        #expect(!postgres.hasEnded)
        await io.close()
        await loop.shutdown()
    }

    @Test(arguments: [Duration.nanoseconds(1), .seconds(Int64.max)])
    func extremeTimesAreTakenAsFarAsTheyGo(time: Duration) async throws {
        let policy = EndpointPolicy(
            connectTimeout: .seconds(Int64.max),
            commandTimeout: .seconds(Int64.max),
            livenessTimeout: time
        )
        let address = try PostgresAddress(PostgresServer.spec(policy))
        let words = Dictionary(address.parameters) { first, _ in first }
        #expect(words["tcp_user_timeout"] == (time < .seconds(1) ? "1" : "\(Int32.max)"))
        let io = try PostgresServer.clients(PostgresServer.spec(policy), on: loop)
        // A server on this machine answers in less than a millisecond as a rule, and not always.
        if time > .seconds(1) { #expect(try await io.postgres("orders").query("SELECT 1").count == 1) }
        await io.close()
        await loop.shutdown()
    }

    @Test func whatIsNotAServerIsRefused() async throws {
        var spec = PostgresServer.spec(port: 1)
        let io = try PostgresServer.clients(spec, on: loop)
        for (id, code) in [("nope", EndpointError.Code.unknownID), ("other", .wrongKind)] {
            let error = #expect(throws: PostgresError.self) { try io.postgres(id) }
            #expect(error?.code == .invalidEndpoint)
            #expect(error?.endpointError?.code == code)
        }
        // All who wait fail with the connect's own error, and those after them are refused with it.
        let first = try io.postgres("orders")
        await withTaskGroup(of: PostgresError?.self) { group in
            for _ in 0..<20 { group.addTask { await failure(of: "SELECT 1", on: first) } }
            for await error in group {
                #expect(error?.code == .connectFailed)
                #expect(error?.outcome == .notSent)
            }
        }
        #expect(await failure(of: "SELECT 1", on: first)?.code == .connectFailed)
        #expect(first.hasEnded)
        #expect(try io.postgres("orders") !== first)
        await io.close()

        spec.socketPath = "/tmp/not-a-postgres-socket"
        let error = #expect(throws: PostgresError.self) {
            try PostgresServer.clients(spec, on: loop).postgres("orders")
        }
        #expect(error?.endpointError?.code == .invalidSetting)
        for host in ["/tmp", "@abstract", "localhost,elsewhere"] {
            let error = #expect(throws: PostgresError.self) {
                try PostgresServer.clients(PostgresServer.spec(host: host), on: loop).postgres("orders")
            }
            #expect(error?.endpointError?.code == .invalidSetting)
        }
        var nowhere = PostgresServer.spec(host: "no-such-host.invalid")
        nowhere.policy.connectTimeout = .seconds(3600)
        let lost = try PostgresServer.clients(nowhere, on: loop)
        #expect(await failure(of: "SELECT 1", on: try lost.postgres("orders"))?.code == .connectFailed)
        await loop.shutdown()
    }

    @Test func aPasswordThatIsWrongIsSaidByTheServer() async throws {
        var spec = PostgresServer.spec()
        spec.database = "no\0such"
        let other = try PostgresServer.clients(spec, on: loop)
        let truncated = await failure(of: "SELECT 1", on: try other.postgres("orders"))
        #expect(truncated?.code == .connectFailed)
        #expect(truncated?.message.contains("NUL byte") == true)
        spec.database = "no such database"
        let io = try PostgresServer.clients(spec, on: loop)
        let error = await failure(of: "SELECT 1", on: try io.postgres("orders"))
        #expect(error?.code == .connectFailed)
        #expect(error?.message.contains("no such database") == true)
        await io.close()
        await loop.shutdown()
    }
}

/// The error that a query ends with; nil if it is answered.
func failure(of sql: String, on postgres: PostgresClient, timeout: Duration? = nil) async -> PostgresError? {
    do throws(PostgresError) {
        _ = try await postgres.query(sql, timeout: timeout)
        return nil
    } catch {
        return error
    }
}
