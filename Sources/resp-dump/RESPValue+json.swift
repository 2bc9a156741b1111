import Foundation
import RESP

extension RESPValue {
    /// The value as one JSON object, without recursion; bytes in base64.
    var json: String {
        enum Piece { case value(RESPValue), text(String) }
        var text = ""
        var pending = [Piece.value(self)]

        func push(_ opening: String, _ elements: [RESPValue], _ closing: String) {
            text += opening
            pending.append(.text(closing))
            for (index, element) in elements.enumerated().reversed() {
                pending.append(.value(element))
                if index > 0 { pending.append(.text(",")) }
            }
        }

        func push(entries: RESPMap) {
            for (index, entry) in entries.enumerated().reversed() {
                pending.append(.text("]"))
                pending.append(.value(entry.value))
                pending.append(.text(","))
                pending.append(.value(entry.key))
                pending.append(.text(index > 0 ? ",[" : "["))
            }
        }

        while let piece = pending.popLast() {
            switch piece {
            case .text(let literal): text += literal
            case .value(.array(let elements)): push(#"{"type":"array","items":["#, Array(elements), "]}")
            case .value(.set(let elements)): push(#"{"type":"set","items":["#, Array(elements), "]}")
            case .value(.push(let elements)): push(#"{"type":"push","items":["#, Array(elements), "]}")
            case .value(.map(let entries)):
                text += #"{"type":"map","entries":["#
                pending.append(.text("]}"))
                push(entries: entries)
            case .value(.attribute(let attributed)):
                text += #"{"type":"attribute","entries":["#
                pending.append(.text("}"))
                pending.append(.value(attributed.value))
                pending.append(.text(#"],"value":"#))
                push(entries: attributed.attributes)
            case .value(let scalar): text += scalar.scalarJSON
            }
        }
        return text
    }

    private var scalarJSON: String {
        switch self {
        case .simpleString(let bytes): #"{"type":"simple","value_b64":"\#(bytes.base64)"}"#
        case .error(let bytes): #"{"type":"error","message_b64":"\#(bytes.base64)"}"#
        case .bulkError(let bytes): #"{"type":"error","message_b64":"\#(bytes.base64)","blob":true}"#
        case .integer(let integer): #"{"type":"integer","value":\#(integer)}"#
        case .bulkString(let bytes): #"{"type":"bulk","value_b64":"\#(bytes.base64)"}"#
        case .null: #"{"type":"null"}"#
        case .boolean(let boolean): #"{"type":"boolean","value":\#(boolean)}"#
        case .double(let double): #"{"type":"double","bits":"\#(double.isNaN ? "nan" : double.hexBits)"}"#
        case .bigNumber(let bytes): #"{"type":"bignumber","value_b64":"\#(bytes.base64)"}"#
        case .verbatimString(let format, let bytes):
            #"{"type":"verbatim","format":\#(String(decoding: format, as: UTF8.self).jsonQuoted),"#
                + #""value_b64":"\#(bytes.base64)"}"#
        case .array, .map, .set, .push, .attribute: ""
        }
    }
}

extension [UInt8] {
    fileprivate var base64: String { Data(self).base64EncodedString() }
}

extension Double {
    /// The bits of the IEEE-754 representation, as 16 hexadecimal digits.
    fileprivate var hexBits: String {
        let digits = String(bitPattern, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension String {
    /// The text as a JSON string.
    var jsonQuoted: String {
        var text = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            default:
                if scalar.value >= 0x20 {
                    text.unicodeScalars.append(scalar)
                } else {
                    let digits = String(scalar.value, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
        return text + "\""
    }
}
