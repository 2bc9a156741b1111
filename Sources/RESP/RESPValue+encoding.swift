extension RESPValue {
    /// The value's bytes on the wire: exactly one reply, which decodes to an equal value.
    ///
    /// Null is sent as RESP2's `$-1`, which both versions know; doubles as the shortest decimal that reads back the same.
    ///
    /// No limit is looked at. A value made by hand may be over those of whoever decodes it: with ``RESPLimits/default`` a line
    /// over 64 KiB, a nesting deeper than 1024, a string over 512 MiB and a reply over 1 GiB are refused.
    ///
    /// - Throws: ``RESPEncodingError`` for a value made by hand that no reply can be: CR or LF in a simple string or error, a
    ///   big number that is none, a format that has not three bytes, a push inside another value.
    public func encoded() throws(RESPEncodingError) -> [UInt8] {
        var bytes: [UInt8] = []
        var pending = [self]
        // Until the reply itself has come, its attributes before it: it is the last that is pending.
        var isBeforeReply = true
        while let value = pending.popLast() {
            let type = value.typeByte
            let isReply = isBeforeReply && pending.isEmpty
            if let fault = value.fault(isReply: isReply) { throw RESPEncodingError(fault) }
            if isReply, type != RESPType.attribute { isBeforeReply = false }
            switch value {
            case .simpleString(let text), .simpleError(let text), .bigNumber(let text):
                bytes.appendLine(type, text)
            case .integer(let integer): bytes.appendLine(type, String(integer).utf8)
            case .bulkString(let content), .bulkError(let content): bytes.appendBulk(type, content)
            case .verbatimString(let format, let content):
                bytes.appendBulk(type, format + [UInt8(ascii: ":")] + content)
            case .null: bytes.appendLine(RESPType.bulkString, "-1".utf8)
            case .boolean(let boolean): bytes.appendLine(type, [boolean ? RESPByte.t : RESPByte.f])
            case .double(let double): bytes.appendLine(type, (double.isNaN ? "nan" : double.description).utf8)
            case .array(let elements), .set(let elements), .push(let elements):
                bytes.appendLine(type, String(elements.count).utf8)
                pending.append(contentsOf: elements.reversed())
            case .map(let map):
                bytes.appendLine(type, String(map.count).utf8)
                pending.append(contentsOf: map.elements.reversed())
            case .attribute(let attributed):
                let attributes = attributed.attributes
                bytes.appendLine(type, String(attributes.count).utf8)
                pending.append(attributed.value)
                pending.append(contentsOf: attributes.elements.reversed())
            }
        }
        return bytes
    }

    /// Why the value, its elements aside, can be no reply, or no part of one.
    private func fault(isReply: Bool) -> String? {
        switch self {
        case .simpleString(let text), .simpleError(let text):
            let isLine = !text.contains { $0 == RESPByte.cr || $0 == RESPByte.lf }
            return isLine ? nil : "the value has CR or LF in a \(RESPType.name(typeByte)), which no reply can"
        case .bigNumber(let text):
            let isNumber = bigNumberFault(text.span, text.indices) == nil
            return isNumber ? nil : "the value has a big number that is not an integer"
        case .verbatimString(let format, _):
            return format.count == 3
                ? nil : "the value has a verbatim string whose format has not three bytes"
        case .push:
            return isReply ? nil : "the value has a push inside another value, which no reply can"
        default:
            return nil
        }
    }
}

extension [UInt8] {
    fileprivate mutating func appendLine(_ type: UInt8, _ body: some Collection<UInt8>) {
        append(type)
        append(contentsOf: body)
        append(RESPByte.cr)
        append(RESPByte.lf)
    }

    fileprivate mutating func appendBulk(_ type: UInt8, _ content: [UInt8]) {
        appendLine(type, String(content.count).utf8)
        append(contentsOf: content)
        append(RESPByte.cr)
        append(RESPByte.lf)
    }
}
