/// SQL, read as far as it takes to know what sort of statement it is; a driver adds what its server's dialect says of that.
package struct SQLText {
    /// Whether a comment may have comments in it.
    private let commentsNest: Bool
    /// What ends a comment that begins with two dashes.
    private let lineEnds: [UInt8]

    /// Describes a dialect.
    package init(commentsNest: Bool, lineEnds: String) {
        self.commentsNest = commentsNest
        self.lineEnds = Array(lineEnds.utf8)
    }

    /// What follows the blanks, semicolons and comments that a text begins with.
    package func afterBlanks(_ text: Substring.UTF8View) -> Substring.UTF8View {
        var (rest, depth) = (text, 0)
        while let first = rest.first {
            if commentsNest || depth == 0, rest.starts(with: "/*".utf8) {
                depth += 1
                rest = rest.dropFirst(2)
            } else if depth > 0, rest.starts(with: "*/".utf8) {
                depth -= 1
                rest = rest.dropFirst(2)
            } else if depth == 0, rest.starts(with: "--".utf8) {
                rest = rest.drop { !lineEnds.contains($0) }
            } else if depth > 0 || " \t\n\u{b}\u{c}\r;".utf8.contains(first) {
                rest = rest.dropFirst()
            } else {
                break
            }
        }
        return rest
    }

    /// Takes the word that a text begins with, behind such blanks, in capitals; empty if it begins with something else.
    package func takeWord(_ text: inout Substring.UTF8View) -> String {
        text = afterBlanks(text)
        let word = text.first == UInt8(ascii: "$") ? text.prefix(0) : text.prefix(while: Self.isOfAWord)
        text = text[word.endIndex...]
        return Substring(word).uppercased()
    }

    /// Whether a byte is of a word: a dollar sign only if others precede it.
    package static func isOfAWord(_ byte: UInt8) -> Bool {
        let scalar = Unicode.Scalar(byte)
        return !scalar.isASCII || scalar.properties.isAlphabetic
            || "0123456789_$".unicodeScalars.contains(scalar)
    }
}
