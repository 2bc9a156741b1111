import Foundation
import Testing

/// The tool from outside: bytes in, lines and exit status out.
@Suite struct ResponseDumpTests {
    private struct Result: Equatable {
        var lines: [String]
        var status: Int32
    }

    private func run(_ arguments: [String], _ input: [UInt8] = []) throws -> (output: Data, status: Int32) {
        let process = Process()
        // Beside the tests, where the package's executables are built.
        process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "resp-dump")
        process.arguments = arguments
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = FileHandle.nullDevice
        try process.run()
        try stdin.fileHandleForWriting.write(contentsOf: Data(input))
        try stdin.fileHandleForWriting.close()
        let output = try stdout.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (output, process.terminationStatus)
    }

    private func decode(_ input: String, _ arguments: String...) throws -> Result {
        let (output, status) = try run(arguments, Array(input.utf8))
        let lines = String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
        return Result(lines: lines, status: status)
    }

    private static let everything =
        "+OK\r\n-ERR x\r\n:-5\r\n$3\r\na\u{0}b\r\n*2\r\n$-1\r\n*0\r\n_\r\n#t\r\n,0.5\r\n,nan\r\n(12\r\n!3\r\nE x\r\n=7\r\ntxt:abc\r\n"
        + "%1\r\n+k\r\n:1\r\n~1\r\n:2\r\n>1\r\n+m\r\n|1\r\n+a\r\n:1\r\n+v\r\n"

    @Test func everyNodeIsPrintedOnALine() throws {
        let result = try decode(Self.everything, "--resp", "3")
        #expect(
            result.lines == [
                #"{"type":"simple","value_b64":"T0s="}"#,
                #"{"type":"error","message_b64":"RVJSIHg="}"#,
                #"{"type":"integer","value":-5}"#,
                #"{"type":"bulk","value_b64":"YQBi"}"#,
                #"{"type":"array","items":[{"type":"null"},{"type":"array","items":[]}]}"#,
                #"{"type":"null"}"#,
                #"{"type":"boolean","value":true}"#,
                #"{"type":"double","bits":"3fe0000000000000"}"#,
                #"{"type":"double","bits":"nan"}"#,
                #"{"type":"bignumber","value_b64":"MTI="}"#,
                #"{"type":"error","message_b64":"RSB4","blob":true}"#,
                #"{"type":"verbatim","format":"txt","value_b64":"YWJj"}"#,
                #"{"type":"map","entries":[[{"type":"simple","value_b64":"aw=="},{"type":"integer","value":1}]]}"#,
                #"{"type":"set","items":[{"type":"integer","value":2}]}"#,
                #"{"type":"push","items":[{"type":"simple","value_b64":"bQ=="}]}"#,
                #"{"type":"attribute","entries":[[{"type":"simple","value_b64":"YQ=="},{"type":"integer","value":1}]],"#
                    + #""value":{"type":"simple","value_b64":"dg=="}}"#,
                #"{"status":"complete","consumed":\#(Self.everything.utf8.count)}"#,
            ]
        )
        #expect(result.status == 0)
    }

    @Test(arguments: ["none", "byte", "0", "1", "5,6,7", "100000", "3,3,1"])
    func allCutsPrintTheSame(cut: String) throws {
        let whole = try decode(Self.everything, "--resp", "3")
        #expect(try decode(Self.everything, "--resp", "3", "--cut", cut) == whole)
        let broken = Self.everything + "?"
        #expect(try decode(broken, "--resp", "3", "--cut", cut) == decode(broken, "--resp", "3"))
    }

    @Test func theStatusSaysWhatIsLeft() throws {
        let incomplete = try decode("+OK\r\n$5\r\nab")
        #expect(incomplete.lines.last == #"{"status":"incomplete","consumed":5,"buffered":6}"#)
        #expect(incomplete.status == 3)
        let broken = try decode("+OK\r\n*1\r\n$3\r\nabcd\r\n+never\r\n")
        #expect(broken.lines.count == 2)
        #expect(
            broken.lines.last?.hasPrefix(#"{"status":"protocol_error","consumed":5,"offset":16,"reason":""#)
                == true
        )
        #expect(broken.status == 4)
        #expect(try decode("") == Result(lines: [#"{"status":"complete","consumed":0}"#], status: 0))
        #expect(try decode("%1\r\n").status == 4)
    }

    @Test func limits() throws {
        #expect(try decode("*1\r\n*1\r\n:1\r\n", "--max-depth", "2").status == 0)
        #expect(try decode("*1\r\n*1\r\n:1\r\n", "--max-depth", "1").status == 4)
        #expect(try decode("$3\r\nabc\r\n", "--max-bulk", "3").status == 0)
        #expect(try decode("$3\r\nabc\r\n", "--max-bulk", "2").status == 4)
    }

    @Test func commandsAreEncoded() throws {
        let (output, status) = try run(["--encode", "R0VU", "", "AP8="])
        #expect(
            Array(output) == Array("*3\r\n$3\r\nGET\r\n$0\r\n\r\n$2\r\n".utf8) + [0x00, 0xff, 0x0d, 0x0a]
        )
        #expect(status == 0)
    }

    @Test(arguments: [
        ["--encode"], ["--encode", "not base64!"], ["--resp"], ["--resp", "4"], ["--cut", "x"],
        ["--cut", "1,,2"],
        ["--cut", "-1"], ["--max-depth", "-1"], ["--max-bulk", "many"], ["--unknown"], ["file"],
    ])
    func wrongArgumentsAreRefused(arguments: [String]) throws {
        let (output, status) = try run(arguments)
        #expect(status == 2)
        #expect(output.isEmpty)
    }

    @Test func textForAPerson() throws {
        let result = try decode("*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*0\r\n", "--text")
        #expect(result.lines == [#"1) "a""#, "2) 1) (integer) 1", "   2) (nil)", "(empty array)"])
        #expect(try decode("%1\r\n+k\r\n,1.5\r\n", "--resp", "3", "--text").lines == ["1# k => (double) 1.5"])
    }
}
