/// The first byte of each kind of reply.
///
/// Source: the RESP specification, "RESP protocol description".
package enum RESPType {
    package static var simpleString: UInt8 { UInt8(ascii: "+") }
    package static var error: UInt8 { UInt8(ascii: "-") }
    package static var integer: UInt8 { UInt8(ascii: ":") }
    package static var bulkString: UInt8 { UInt8(ascii: "$") }
    package static var array: UInt8 { UInt8(ascii: "*") }

    /// What a type byte that only RESP3 has stands for.
    static func resp3Name(_ type: UInt8) -> String? {
        switch type {
        case UInt8(ascii: "_"): "null"
        case UInt8(ascii: "#"): "boolean"
        case UInt8(ascii: ","): "double"
        case UInt8(ascii: "("): "big number"
        case UInt8(ascii: "!"): "bulk error"
        case UInt8(ascii: "="): "verbatim string"
        case UInt8(ascii: "%"): "map"
        case UInt8(ascii: "~"): "set"
        case UInt8(ascii: ">"): "push"
        case UInt8(ascii: "|"): "attribute"
        default: nil
        }
    }

    /// A byte as a person can read it: `"x"`, or `0x0a`.
    static func printable(_ byte: UInt8) -> String {
        if byte > 0x20, byte < 0x7f { return "\"\(Character(UnicodeScalar(byte)))\"" }
        return byte < 0x10 ? "0x0\(String(byte, radix: 16))" : "0x\(String(byte, radix: 16))"
    }
}

package enum RESPByte {
    package static var cr: UInt8 { UInt8(ascii: "\r") }
    package static var lf: UInt8 { UInt8(ascii: "\n") }
    package static var zero: UInt8 { UInt8(ascii: "0") }
    package static var minus: UInt8 { UInt8(ascii: "-") }
}
