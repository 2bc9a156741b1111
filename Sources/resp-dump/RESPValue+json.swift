import Foundation
import RESP

/// How an aggregate's elements are set, and what follows the last one.
private struct JSONLayout {
    var isMap = false
    let closing: String
}

extension RESPValue {
    /// Writes the value as one JSON object, without recursion; bytes in base64.
    func writeJSON(to output: inout some TextOutputStream) {
        var levels = Aggregates<JSONLayout>()
        var next: RESPValue? = self
        while true {
            switch next {
            case .array(let elements):
                output.write(#"{"type":"array","items":["#)
                levels.open(.list(elements), JSONLayout(closing: "]}"))
            case .set(let elements):
                output.write(#"{"type":"set","items":["#)
                levels.open(.list(elements), JSONLayout(closing: "]}"))
            case .push(let elements):
                output.write(#"{"type":"push","items":["#)
                levels.open(.list(elements), JSONLayout(closing: "]}"))
            case .map(let map):
                output.write(#"{"type":"map","entries":["#)
                levels.open(.entries(map), JSONLayout(isMap: true, closing: "]}"))
            case .attribute(let attributed):
                output.write(#"{"type":"attribute","entries":["#)
                levels.open(.value(attributed.value), JSONLayout(closing: "}"))
                levels.open(.entries(attributed.attributes), JSONLayout(isMap: true, closing: #"],"value":"#))
            case .some(let scalar): output.write(scalar.scalarJSON)
            case nil: break
            }
            if levels.isEmpty { return }
            next = levels.next { layout, index, element in
                if case nil = element {
                    output.write((layout.isMap && index > 0 ? "]" : "") + layout.closing)
                } else if layout.isMap, index.isMultiple(of: 2) {
                    output.write(index > 0 ? "],[" : "[")
                } else if index > 0 {
                    output.write(",")
                }
            }
        }
    }

    private var scalarJSON: String {
        switch self {
        case .simpleString(let bytes): #"{"type":"simple","value_b64":"\#(bytes.base64)"}"#
        case .simpleError(let bytes): #"{"type":"error","message_b64":"\#(bytes.base64)"}"#
        case .bulkError(let bytes): #"{"type":"error","message_b64":"\#(bytes.base64)","blob":true}"#
        case .integer(let integer): #"{"type":"integer","value":\#(integer)}"#
        case .bulkString(let bytes): #"{"type":"bulk","value_b64":"\#(bytes.base64)"}"#
        case .null: #"{"type":"null"}"#
        case .boolean(let boolean): #"{"type":"boolean","value":\#(boolean)}"#
        case .double(let double): #"{"type":"double","bits":"\#(double.isNaN ? "nan" : double.hexBits)"}"#
        case .bigNumber(let bytes): #"{"type":"bignumber","value_b64":"\#(bytes.base64)"}"#
        case .verbatimString(let format, let bytes):
            #"{"type":"verbatim","format":\#(format.latin1.jsonQuoted),"#
                + #""value_b64":"\#(bytes.base64)"}"#
        case .array, .map, .set, .push, .attribute: ""
        }
    }
}

extension [UInt8] {
    fileprivate var base64: String { Data(self).base64EncodedString() }
    /// One character for each byte, so that no two formats look the same.
    fileprivate var latin1: String { String(String.UnicodeScalarView(map { UnicodeScalar($0) })) }
}

extension Double {
    /// The bits of the IEEE-754 representation, as 16 hexadecimal digits.
    fileprivate var hexBits: String { String(hex: bitPattern, digits: 16) }
}

extension String {
    /// The text as a JSON string, in ASCII alone: what a format or a reason says reaches no terminal as it is.
    var jsonQuoted: String {
        var text = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case " "..."~": text.unicodeScalars.append(scalar)
            default:
                for unit in String(scalar).utf16 { text += "\\u" + String(hex: unit, digits: 4) }
            }
        }
        return text + "\""
    }
}
