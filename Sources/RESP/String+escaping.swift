extension String {
    /// Bytes from a server, for a person: nothing that ends a line, moves a cursor, turns text around, is not seen or ends a
    /// quotation stays as it is.
    ///
    /// The joiners U+200C and U+200D do: words and emoji are written with them.
    ///
    /// UTF-8 is shown as text, with `\n`, `\"`, `\x1b` or `\u{85}` for what must not be written; of other bytes those that are
    /// not ASCII are shown as `\xff`.
    ///
    /// - Parameter kept: what stays as it is.
    package init(escaping bytes: [UInt8], except kept: String = "") {
        let kept = kept.unicodeScalars
        self = ""
        if let text = String(validating: bytes, as: UTF8.self) {
            for scalar in text.unicodeScalars { append(escaped: scalar, except: kept) }
        } else {
            for byte in bytes {
                if byte < 0x80 {
                    append(escaped: UnicodeScalar(byte), except: kept)
                } else {
                    self += "\\x" + String(hex: byte, digits: 2)
                }
            }
        }
    }

    private mutating func append(escaped scalar: UnicodeScalar, except kept: UnicodeScalarView) {
        switch scalar {
        case _ where kept.contains(scalar): unicodeScalars.append(scalar)
        case "\"", "\\":
            unicodeScalars.append("\\")
            unicodeScalars.append(scalar)
        case "\n": self += "\\n"
        case "\r": self += "\\r"
        case "\t": self += "\\t"
        case " "..."~", "\u{200c}", "\u{200d}": unicodeScalars.append(scalar)
        case "\0"..."\u{1f}", "\u{7f}": self += "\\x" + String(hex: scalar.value, digits: 2)
        // The second set of control characters, line separators, and what formats text: marks that turn it around, spaces
        // without width, tags.
        case "\u{80}"..."\u{9f}", "\u{2028}", "\u{2029}", "\u{e0000}"..."\u{e007f}",
            _ where scalar.properties.generalCategory == .format:
            self += "\\u{" + String(hex: scalar.value, digits: 1) + "}"
        default: unicodeScalars.append(scalar)
        }
    }

    /// A number in hexadecimal, with zeros before it up to so many digits.
    package init(hex number: some UnsignedInteger, digits count: Int) {
        let digits = String(number, radix: 16)
        self = String(repeating: "0", count: Swift.max(0, count - digits.count)) + digits
    }
}
