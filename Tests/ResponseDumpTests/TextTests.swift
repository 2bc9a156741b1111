import Foundation
import Testing

/// `--text`, held against what `redis-cli` 7.0 prints for the same bytes.
struct TextTests {
    @Test(arguments: [
        (
            "*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*0\r\n",
            ["1) \"a\"", "2) 1) (integer) 1", "   2) (nil)", "(empty array)"]
        ),
        (
            ",1.5\r\n,10\r\n,1.10\r\n,1e20\r\n,-0\r\n",
            ["1.5", "10", "1.10", "1e20", "-0"].map { "(double) " + $0 }
        ),
        ("%1\r\n+k\r\n,1.50\r\n", ["1# k => (double) 1.50"]),
        (
            "%2\r\n+a\r\n*2\r\n:1\r\n*1\r\n:2\r\n$2\r\nbb\r\n%1\r\n+k\r\n+v\r\n",
            ["1# a => ", "   1) (integer) 1", "   2) 1) (integer) 2", "2# \"bb\" => 1# k => v"]
        ),
        ("%1\r\n*2\r\n:1\r\n:2\r\n*0\r\n", ["1# 1) (integer) 1", "   2) (integer) 2 => (empty array)"]),
        (
            "%1\r\n+a\r\n%1\r\n*2\r\n:1\r\n:2\r\n+s\r\n",
            ["1# a => 1# 1) (integer) 1", "      2) (integer) 2 => s"]
        ),
        (
            "%1\r\n+a\r\n%1\r\n+s\r\n*2\r\n:1\r\n:2\r\n",
            ["1# a => ", "   1# s => ", "      1) (integer) 1", "      2) (integer) 2"]
        ),
        (
            "%1\r\n+a\r\n*1\r\n%1\r\n*2\r\n:1\r\n:2\r\n+s\r\n",
            ["1# a => 1) 1# 1) (integer) 1", "         2) (integer) 2 => s"]
        ),
        (
            "*2\r\n%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n:3\r\n",
            ["1) 1# a => ", "      1~ (integer) 1", "      2~ (integer) 2", "2) (integer) 3"]
        ),
        (
            "~0\r\n%0\r\n*0\r\n>0\r\n_\r\n#t\r\n",
            ["(empty set)", "(empty hash)", "(empty array)", "(empty push)", "(nil)", "(true)"]
        ),
        ("*2\r\n=7\r\ntxt:a\nb\r\n:1\r\n", ["1) a", "b", "2) (integer) 1"]),
        ("$8\r\n\u{7}\u{8}é\"\\\u{1b}\t\r\n", [#""\a\b\xc3\xa9\"\\\x1b\t""#]),
        ("-ERR x\"y\r\n+a\"b\\é\r\n", ["(error) ERR x\"y", "a\"b\\é"]),
        (
            "*10\r\n" + String(repeating: ":1\r\n", count: 9) + "*2\r\n+a\r\n+b\r\n",
            (1...9).map { " \($0)) (integer) 1" } + ["10) 1) a", "    2) b"]
        ),
    ])
    func asRedisCLI(_ stream: String, _ lines: [String]) throws {
        #expect(
            try DumpResult(Array(stream.utf8), ["--resp", "3", "--text"])
                == DumpResult(lines: lines, status: 0)
        )
    }

    /// What `redis-cli` does not know.
    @Test(arguments: [
        ("(12\r\n", ["(big number) 12"]), ("!3\r\nE x\r\n", ["(error) E x"]),
        ("|0\r\n:1\r\n", ["(integer) 1"]),
        ("|1\r\n+k\r\n+v\r\n*2\r\n:1\r\n:2\r\n", ["1| k => v", "1) (integer) 1", "2) (integer) 2"]),
        (
            "*1\r\n|2\r\n+k\r\n+v\r\n+l\r\n*2\r\n:1\r\n:2\r\n:3\r\n",
            ["1) 1| k => v", "   2| l => ", "      1) (integer) 1", "      2) (integer) 2", "   (integer) 3"]
        ),
    ])
    func whatIsNotInRedisCLI(_ stream: String, _ lines: [String]) throws {
        #expect(
            try DumpResult(Array(stream.utf8), ["--resp", "3", "--text"])
                == DumpResult(lines: lines, status: 0)
        )
    }

    @Test(arguments: ["+%\r\n", "-%\r\n", "=12\r\ntxt:%\r\n", "!8\r\n%\r\n", "$8\r\n%\r\n"])
    func nothingThatATerminalObeysIsPrinted(_ template: String) throws {
        let stream = template.replacing("%", with: "\u{1b}[m\u{9b}\u{202e}")
        let result = try DumpResult(Array(stream.utf8), ["--resp", "3", "--text"])
        #expect(result.status == 0)
        let text = result.lines.joined(separator: "\n")
        for scalar in ["\u{1b}", "\u{9b}", "\u{202e}"] {
            #expect(!text.contains(scalar), "\(text.debugDescription)")
        }
    }
}
