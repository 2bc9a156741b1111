/// Encodes words that the input spells and decodes them again, as an array of bulk strings.
///
/// Each word is a byte for its kind, a byte for its length, and that many bytes.
func checkEncoding(_ input: FuzzInput) {
    var words: [any RESPEncodable] = []
    var contents: [[UInt8]] = []
    var rest = input.stream[...]
    while let kind = rest.popFirst(), let length = rest.popFirst() {
        let bytes = Array(rest.prefix(Int(length)))
        rest = rest.dropFirst(bytes.count)
        let (word, content) = word(kind, bytes)
        words.append(word)
        contents.append(content)
    }
    do throws(RESPEncodingError) {
        let command = try RESPEncoder.encode(words, limits: input.limits)
        expect(command == wireFormat(contents), "the encoding of \(contents) is \(command)")
        if let fault = fault(contents, input.limits) { fatalError("encoded, although \(fault)") }
        checkDecoding(command, contents)
    } catch {
        expect(fault(contents, input.limits) != nil, "refused without need: \(error)")
    }
    checkCommands(contents, input.limits)
}

/// Why a command is to be refused.
private func fault(_ contents: [[UInt8]], _ limits: RESPLimits) -> String? {
    if contents.isEmpty { return "there are no words" }
    if contents.count > limits.maxWords { return "there are too many words" }
    if contents.contains(where: { $0.count > limits.maxBulkBytes }) { return "a word is too long" }
    if wireFormat(contents).count > limits.maxReplyBytes { return "the command is too long" }
    return nil
}

/// The specification's encoding, in the simplest way there is.
private func wireFormat(_ contents: [[UInt8]]) -> [UInt8] {
    var bytes = Array("*\(contents.count)\r\n".utf8)
    for content in contents { bytes += Array("$\(content.count)\r\n".utf8) + content + Array("\r\n".utf8) }
    return bytes
}

private func checkDecoding(_ command: [UInt8], _ contents: [[UInt8]]) {
    var decoder = RESPDecoder(version: .resp2)
    decoder.append(command)
    guard let value = try? decoder.next() else { fatalError("\(command) does not decode") }
    expect(value == .array(contents.map { .bulkString($0) }), "\(contents) came back as \(value)")
    expect(decoder.bufferedBytes == 0, "\(contents) was encoded to more than one reply")
}

/// The commands of a fixed shape encode as the list of their words does.
private func checkCommands(_ contents: [[UInt8]], _ limits: RESPLimits) {
    let texts = contents.map { String(decoding: $0, as: UTF8.self) }
    guard texts.count >= 3 else { return }
    compare(RESPTextCommand(texts[0], texts[1], texts[2]), RESPWordList(Array(texts[..<3])), limits)
    compare(RESPKeyCommand(texts[0], texts[1]), RESPWordList(Array(texts[..<2])), limits)
    compare(RESPHGet(texts[0], texts[1]), RESPWordList(["HGET", texts[0], texts[1]]), limits)
    compare(RESPHMGet(texts[0], Array(texts[1...])), RESPWordList(["HMGET"] + texts), limits)
    let start = contents[2].reduce(0) { $0 &* 255 &- Int($1) }
    let stop = contents[0].reduce(1) { $0 &* 257 &+ Int($1) }
    compare(
        RESPLRange(texts[0], start, stop),
        RESPWordList(["LRANGE", texts[0], start, stop]),
        limits
    )
}

private func compare(_ command: some RESPCommand, _ words: RESPWordList, _ limits: RESPLimits) {
    let left = encoding(command, limits)
    let right = encoding(words, limits)
    expect(left == right, "\(command) encodes to \(left as Any), its words to \(right as Any)")
}

private func encoding(_ command: some RESPCommand, _ limits: RESPLimits) -> [UInt8]? {
    guard let count = try? command.byteCount(limits) else { return nil }
    let bytes = [UInt8](capacity: count) { output in command.encode(into: &output) }
    expect(bytes.count == count, "\(command) has \(bytes.count) bytes, and said \(count)")
    return bytes
}

// MARK: Words

/// A word of a kind, and what it is to look like.
private func word(_ kind: UInt8, _ bytes: [UInt8]) -> (any RESPEncodable, [UInt8]) {
    let bits = bytes.prefix(8).reduce(UInt64(bytes.count & 1)) { $0 << 8 | UInt64($1) }
    func number(_ number: some FixedWidthInteger & RESPEncodable) -> (any RESPEncodable, [UInt8]) {
        (number, Array(String(number).utf8))
    }
    switch kind % 16 {
    case 0:
        let text = String(decoding: bytes, as: UTF8.self)
        return (text, Array(text.utf8))
    case 1:
        let text = String(decoding: bytes, as: UTF8.self).dropFirst()
        return (text, Array(text.utf8))
    case 2: return (bytes.dropFirst(), Array(bytes.dropFirst()))
    case 3: return number(Int(truncatingIfNeeded: bits))
    case 4: return number(Int8(truncatingIfNeeded: bits))
    case 5: return number(UInt64(bits))
    case 6: return number(Int32(truncatingIfNeeded: bits))
    case 7: return number(UInt16(truncatingIfNeeded: bits))
    case 8:
        let double = Double(bitPattern: bits)
        return (double, Array(double.description.utf8))
    case 9: return number(kind < 0x80 ? Int64.min : Int64.max)
    default: return (bytes, bytes)
    }
}
