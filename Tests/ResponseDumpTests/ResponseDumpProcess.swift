import Foundation

/// The tool, running.
struct ResponseDumpProcess {
    let input: FileHandle
    let output: FileHandle
    private let process = Process()

    /// Starts it.
    ///
    /// - Parameters:
    ///   - stdin: where it reads from instead of `input`.
    ///   - stdout: where it writes to instead of `output`.
    init(_ arguments: [String], stdin: FileHandle? = nil, stdout: FileHandle? = nil) throws {
        // Beside the tests, where the package's executables are built.
        process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "resp-dump")
        process.arguments = arguments
        let (inputPipe, outputPipe) = (Pipe(), Pipe())
        input = inputPipe.fileHandleForWriting
        output = outputPipe.fileHandleForReading
        if let stdin { process.standardInput = stdin } else { process.standardInput = inputPipe }
        if let stdout { process.standardOutput = stdout } else { process.standardOutput = outputPipe }
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    /// Waits for its end.
    func status() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
}

/// What it printed, and how it ended.
struct DumpResult: Equatable {
    var lines: [String]
    var status: Int32

    init(lines: [String], status: Int32) {
        self.lines = lines
        self.status = status
    }

    /// Runs it on bytes in a file, which it reads in pieces as long as they may be.
    init(_ bytes: [UInt8], _ arguments: [String]) throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "resp-dump-\(UUID().uuidString)")
        try Data(bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let dump = try ResponseDumpProcess(arguments, stdin: FileHandle(forReadingFrom: file))
        let output = try dump.output.readToEnd() ?? Data()
        lines = String(decoding: output, as: UTF8.self).split(
            separator: "\n",
            omittingEmptySubsequences: false
        )
        .map(String.init)
        if lines.last == "" { lines.removeLast() }
        status = dump.status()
    }
}
