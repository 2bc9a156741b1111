/// Which version of the protocol is spoken.
public enum RESPVersion: Hashable, Sendable {
    /// Version 2, which every server speaks at first.
    case resp2
    /// Version 3, which a client asks for with `HELLO 3`.
    case resp3
}

/// The first byte of each kind of reply.
///
/// Source: the RESP specification, "RESP protocol description".
package enum RESPType {
    @inlinable package static var simpleString: UInt8 { UInt8(ascii: "+") }
    @inlinable package static var error: UInt8 { UInt8(ascii: "-") }
    @inlinable package static var integer: UInt8 { UInt8(ascii: ":") }
    @inlinable package static var bulkString: UInt8 { UInt8(ascii: "$") }
    @inlinable package static var array: UInt8 { UInt8(ascii: "*") }

    // RESP3
    static var null: UInt8 { UInt8(ascii: "_") }
    static var boolean: UInt8 { UInt8(ascii: "#") }
    static var double: UInt8 { UInt8(ascii: ",") }
    static var bigNumber: UInt8 { UInt8(ascii: "(") }
    static var bulkError: UInt8 { UInt8(ascii: "!") }
    static var verbatimString: UInt8 { UInt8(ascii: "=") }
    static var map: UInt8 { UInt8(ascii: "%") }
    static var set: UInt8 { UInt8(ascii: "~") }
    static var push: UInt8 { UInt8(ascii: ">") }
    static var attribute: UInt8 { UInt8(ascii: "|") }

    /// Whether a type byte is one that RESP3 added.
    static func isRESP3(_ type: UInt8) -> Bool {
        switch type {
        case null, boolean, double, bigNumber, bulkError, verbatimString, map, set, push, attribute: true
        default: false
        }
    }

    /// Whether a type byte belongs to RESP3's streamed types, which no server sends.
    static func isStreamed(_ type: UInt8) -> Bool { type == UInt8(ascii: ";") || type == UInt8(ascii: ".") }

    /// What the specification calls a type.
    static func name(_ type: UInt8) -> String {
        switch type {
        case simpleString: "simple string"
        case error: "simple error"
        case integer: "integer"
        case bulkString: "bulk string"
        case array: "array"
        case null: "null"
        case boolean: "boolean"
        case double: "double"
        case bigNumber: "big number"
        case bulkError: "bulk error"
        case verbatimString: "verbatim string"
        case map: "map"
        case set: "set"
        case push: "push"
        case attribute: "attribute"
        case UInt8(ascii: ";"): "streamed string's part"
        case UInt8(ascii: "."): "streamed aggregate's end"
        default: "value"
        }
    }

    /// The same with its article.
    static func named(_ type: UInt8) -> String {
        switch type {
        case integer, array, attribute: "an \(name(type))"
        default: "a \(name(type))"
        }
    }

    /// A byte as a person can read it: `"x"`, or `0x0a`.
    static func printable(_ byte: UInt8) -> String {
        if byte > 0x20, byte < 0x7f { return "\"\(Character(UnicodeScalar(byte)))\"" }
        return "0x" + String(hex: byte, digits: 2)
    }
}

enum RESPByte {
    static var cr: UInt8 { UInt8(ascii: "\r") }
    static var lf: UInt8 { UInt8(ascii: "\n") }
    static var zero: UInt8 { UInt8(ascii: "0") }
    static var plus: UInt8 { UInt8(ascii: "+") }
    static var minus: UInt8 { UInt8(ascii: "-") }
    static var t: UInt8 { UInt8(ascii: "t") }
    static var f: UInt8 { UInt8(ascii: "f") }
}
