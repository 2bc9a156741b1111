import Foundation
import Testing

/// The tool in a pipe: when it prints, what it does at errors, and that no cut changes what it prints.
struct StreamTests {
    private func dump(_ text: String, _ arguments: String...) throws -> DumpResult {
        try DumpResult(Array(text.utf8), arguments)
    }

    /// One line, however many reads it takes.
    private func readLine(_ handle: FileHandle) throws -> String {
        var line = Data()
        while let byte = try handle.read(upToCount: 1), !byte.isEmpty, byte[0] != 0x0a { line += byte }
        return String(decoding: line, as: UTF8.self)
    }

    @Test(arguments: [[], ["--cut", "byte"], ["--text"]])
    func aReplyIsPrintedAsItCompletes(_ arguments: [String]) throws {
        let dump = try ResponseDumpProcess(arguments)
        for number in 1...3 {
            try dump.input.write(contentsOf: Data(":\(number)\r\n+pa".utf8))
            let line = try readLine(dump.output)
            #expect(
                line
                    == (arguments == ["--text"]
                        ? "(integer) \(number)" : #"{"type":"integer","value":\#(number)}"#)
            )
            try dump.input.write(contentsOf: Data("rt\r\n".utf8))
            #expect(try !readLine(dump.output).isEmpty)
        }
        try dump.input.close()
        _ = try dump.output.readToEnd()
        #expect(dump.status() == 0)
    }

    /// Nor does it wait for the stream to end before it says that it is none.
    @Test func aBrokenStreamEndsIt() throws {
        let dump = try ResponseDumpProcess([])
        try dump.input.write(contentsOf: Data("?".utf8))
        #expect(try readLine(dump.output).contains("protocol_error"))
        #expect(dump.status() == 4)
        try dump.input.close()
    }

    @Test func inputThatCannotBeReadIsAnError() throws {
        let dump = try ResponseDumpProcess([], stdin: FileHandle(forReadingFrom: URL(filePath: "/")))
        #expect(try dump.output.readToEnd() == nil)
        #expect(dump.status() == 2)
    }

    /// As whoever shares a terminal or a socket with it may have set them.
    @Test func streamsThatDoNotBlockAreWaitedFor() throws {
        let (input, output) = (Pipe(), Pipe())
        for handle in [input.fileHandleForReading, output.fileHandleForWriting] {
            try #require(fcntl(handle.fileDescriptor, F_SETFL, O_NONBLOCK) == 0)
        }
        let dump = try ResponseDumpProcess(
            [],
            stdin: input.fileHandleForReading,
            stdout: output.fileHandleForWriting
        )
        try output.fileHandleForWriting.close()
        for number in 1...3 {
            try input.fileHandleForWriting.write(contentsOf: Data(":\(number)\r\n".utf8))
            #expect(try readLine(output.fileHandleForReading).contains("\(number)"))
        }
        // Its text is longer than any pipe.
        let long = 3 << 20
        let text = String(repeating: "x", count: long)
        try input.fileHandleForWriting.write(contentsOf: Data("$\(long)\r\n\(text)\r\n".utf8))
        try input.fileHandleForWriting.close()
        let rest = try output.fileHandleForReading.readToEnd() ?? Data()
        #expect(rest.count > long)
        #expect(dump.status() == 0)
    }

    @Test(arguments: [[], ["--text"], ["--encode", "R0VU"]])
    func outputThatCannotBeWrittenIsAnError(_ arguments: [String]) throws {
        let dump = try ResponseDumpProcess(
            arguments,
            stdout: FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        )
        try dump.input.write(contentsOf: Data("+OK\r\n".utf8))
        try dump.input.close()
        #expect(dump.status() == 5)
    }

    /// With pieces as long as one read gives, and cuts on both sides of where these end.
    @Test(arguments: [
        "none", "65535", "65536", "65537", "1,65535,65536,65537,131071,131072,131073", "200000",
    ])
    func aStreamLongerThanOneReadIsCutWhereAsked(_ cut: String) throws {
        let text = String(repeating: "x", count: 999)
        let stream = Array((String(repeating: "*2\r\n$999\r\n\(text)\r\n:1\r\n", count: 160) + "+\r").utf8)
        #expect(stream.count > 2 << 16)
        let result = try DumpResult(stream, ["--cut", cut])
        #expect(result.lines.count == 161)
        #expect(Set(result.lines.dropLast()).count == 1)
        #expect(result.lines.last == #"{"status":"incomplete","consumed":\#(stream.count - 2),"buffered":2}"#)
        #expect(result.status == 3)
        #expect(try result == DumpResult(stream, ["--cut", "none"]))
    }

    @Test(arguments: [
        "+OK\r\n$4\r\n\r\n\r\n\r\n*2\r\n:-1\r\n*0\r\n",
        "|1\r\n+k\r\n,1.5\r\n%1\r\n=5\r\ntxt:x\r\n!1\r\nE\r\n",
        "*1\r\n$1\r\na\rx", "+a\rb\nc\r\n",
    ])
    func allCutsPrintTheSame(_ stream: String) throws {
        let whole = try dump(stream, "--resp", "3")
        for cut in ["byte"] + (0...stream.utf8.count).map({ "\($0)" }) {
            #expect(try dump(stream, "--resp", "3", "--cut", cut) == whole, "cut at \(cut)")
        }
    }

    /// As deep as allowed; and so deep that recursion would need more stack than there is.
    @Test(
        arguments: [1024, 60_000],
        [("*1\r\n", "]}"), ("%1\r\n:1\r\n", "]]}"), ("|0\r\n", "}")]
    )
    func deepValuesArePrintedWithoutRecursion(_ depth: Int, _ level: (head: String, closing: String)) throws {
        let stream = String(repeating: level.head, count: depth) + ":7\r\n"
        let json = try dump(stream, "--resp", "3", "--max-depth", "\(depth)")
        let end = #"{"type":"integer","value":7}"# + String(repeating: level.closing, count: depth)
        #expect(json.status == 0 && json.lines.count == 2)
        #expect(json.lines[0].utf8.suffix(end.utf8.count).elementsEqual(end.utf8))
        let text = try dump(stream, "--resp", "3", "--max-depth", "\(depth)", "--text")
        #expect(text.status == 0 && text.lines.count == 1)
        #expect(text.lines[0].utf8.suffix(11).elementsEqual("(integer) 7".utf8))
    }
}
