import Glibc
import Synchronization

/// The program that started this one, has the server and makes the faults.
///
/// It is told words on the standard output, on lines that begin with an at sign, and answers each with a line.
final class Harness: Sendable {
    private let turn = Mutex(0)

    /// Tells it a word, and waits for its answer.
    ///
    /// `begin` and `calm` begin and end the faults; `stop` and `go` stop the server and let it go on; `counts` asks for the
    /// faults so far, as `kind=count` with blanks between.
    @discardableResult
    func tell(_ word: String) -> String {
        turn.withLock { tells in
            tells += 1
            say("@\(word)")
            guard let answer = readLine() else {
                say("soak: the harness has gone away")
                exit(1)
            }
            return answer
        }
    }

    /// The faults so far, one line for each kind.
    func faults() -> [String] {
        let counts = tell("counts").split(separator: " ").map { $0.split(separator: "=") }
        let total = counts.compactMap { $0.last.flatMap { Int($0) } }.reduce(0, +)
        return ["faults injected: \(total)"] + counts.map { "  \($0.joined(separator: ": "))" }
    }
}
