import Foundation
import Testing

/// The tool from outside: bytes in, lines and exit status out.
@Suite struct ResponseDumpTests {
    private func run(_ arguments: [String]) throws -> (output: Data, status: Int32) {
        let dump = try ResponseDumpProcess(arguments)
        try dump.input.close()
        return (try dump.output.readToEnd() ?? Data(), dump.status())
    }

    private func decode(_ input: String, _ arguments: String...) throws -> DumpResult {
        try DumpResult(Array(input.utf8), arguments)
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
        #expect(try decode("") == DumpResult(lines: [#"{"status":"complete","consumed":0}"#], status: 0))
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
        ["--encode"], ["--encode", "not base64!"], ["--encode", "===="], ["--encode", "aG=k"],
        ["--encode", "aGl="],
        ["--encode", "aGk"], ["--encode", "aGk=", "aGk=\n"], ["--resp"], ["--resp", "4"], ["--cut", "x"],
        ["--cut", "1,,2"],
        ["--cut", "-1"], ["--cut", "-0"], ["--cut", "+1"], ["--max-depth", "-0"], ["--max-depth", "-1"],
        ["--max-bulk", "many"], ["--unknown"], ["file"],
    ])
    func wrongArgumentsAreRefused(arguments: [String]) throws {
        let (output, status) = try run(arguments)
        #expect(status == 2)
        #expect(output.isEmpty)
    }

    /// A format is three bytes of any kind; different ones are printed differently.
    @Test func formatsAreToldApart() throws {
        let formats: [[UInt8]] = [
            [0xff, 0xfe, 0xfd], [0xff, 0xfd, 0xfe], [0xc3, 0xa9, 0x61], [0x22, 0x5c, 0x1b],
        ]
        let lines = try formats.map { format in
            try DumpResult(Array("=4\r\n".utf8) + format + Array(":\r\n".utf8), ["--resp", "3"]).lines[0]
        }
        #expect(Set(lines).count == formats.count)
        #expect(lines[0] == #"{"type":"verbatim","format":"\u00ff\u00fe\u00fd","value_b64":""}"#)
        #expect(lines[3] == #"{"type":"verbatim","format":"\"\\\u001b","value_b64":""}"#)
    }

    @Test func aLongerBulkStringNeedsALongerReply() throws {
        #expect(try decode("$1073741825\r\n", "--max-bulk", "1073741825").status == 3)
        #expect(try decode("$1073741825\r\n", "--max-bulk", "1073741824").status == 4)
        #expect(try decode("$1073741825\r\n", "--max-bulk", "9223372036854775807").status == 3)
    }
}
