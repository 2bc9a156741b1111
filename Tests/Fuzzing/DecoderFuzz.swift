/// Decodes one stream in several cuts and holds the outcomes against each other; see README.md.
@_cdecl("LLVMFuzzerTestOneInput")
public func decoderFuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // libFuzzer's promise: `count` bytes at `data`, until this function returns.
    guard let input = FuzzInput(unsafe Array(UnsafeBufferPointer(start: data, count: count))) else {
        return 0
    }
    if input.isCommand {
        checkEncoding(input)
        return 0
    }
    let outcome = Outcome(input, .none)
    for cuts in FuzzInput.Cuts.allCases {
        let other = Outcome(input, cuts)
        expect(
            other.error == outcome.error,
            "\(cuts): error \(other.error as Any), whole: \(outcome.error as Any)"
        )
        expect(other.values == outcome.values, "\(cuts): \(other.values), whole: \(outcome.values)")
        expect(
            other.buffered == outcome.buffered,
            "\(cuts): buffered \(other.buffered), whole \(outcome.buffered)"
        )
    }
    for value in outcome.values { checkValue(value, input.version, input.limits) }
    for (value, next) in zip(outcome.values, outcome.values.dropFirst()) {
        expect((value == next) == (next == value), "== depends on which side a value is")
        expect(value != next || value.hashValue == next.hashValue, "equal values, different hashes")
    }
    checkFramer(input, outcome)
    return 0
}

/// What a stream came to.
private struct Outcome {
    var values: [RESPValue] = []
    var error: RESPProtocolError?
    var buffered: Int

    init(_ input: FuzzInput, _ cuts: FuzzInput.Cuts) {
        var decoder = RESPDecoder(version: input.version, limits: input.limits)
        for piece in input.pieces(cuts) {
            decoder.append(piece)
            do throws(RESPProtocolError) {
                while let value = try decoder.next() {
                    expect(error == nil, "a value came after the error \(error as Any)")
                    values.append(value)
                }
                expect(error == nil, "the error \(error as Any) was forgotten")
            } catch {
                expect(self.error == nil || self.error == error, "\(self.error as Any) became \(error)")
                self.error = error
            }
        }
        buffered = decoder.bufferedBytes
    }
}

// MARK: Values

/// What holds for every value that was decoded.
private func checkValue(_ value: RESPValue, _ version: RESPVersion, _ limits: RESPLimits) {
    guard let bytes = try? value.encoded() else { fatalError("\(value) was decoded and cannot be encoded") }
    var decoder = RESPDecoder(version: version)
    decoder.append(bytes)
    guard let again = try? decoder.next() else { fatalError("\(value) was encoded to what does not decode") }
    expect(decoder.bufferedBytes == 0, "\(value) was encoded to more than one reply")
    expect(again == value, "\(value) was encoded and decoded to \(again)")
    expect(again.hashValue == value.hashValue, "\(value) has two hashes")
    expect(again.description == value.description, "\(value) has two descriptions")
    expect(value != .array([value]), "\(value) equals an array of it")

    // How many attributes stand before the reply itself.
    var topAttributes = 0
    var whole = value
    while case .attribute(let attributed) = whole {
        whole = attributed.value
        topAttributes += 1
    }
    // Depth and counts, on a stack of our own.
    var pending = [(value, 0)]
    while let (value, above) = pending.popLast() {
        let elements: [RESPValue]
        switch value {
        case .array(let values), .set(let values): elements = Array(values)
        case .push(let values):
            elements = Array(values)
            expect(above == topAttributes, "a push inside another value")
        case .map(let map): elements = map.flatMap { [$0.key, $0.value] }
        case .attribute(let attributed):
            elements = attributed.attributes.flatMap { [$0.key, $0.value] } + [attributed.value]
        case .bulkString(let content), .bulkError(let content):
            expect(content.count <= limits.maxBulkBytes, "a bulk string over the limit")
            continue
        case .simpleString(let text), .simpleError(let text), .bigNumber(let text):
            expect(text.count <= limits.maxLineBytes, "a line over the limit")
            continue
        default: continue
        }
        expect(above < limits.maxDepth, "nested deeper than the limit")
        expect(elements.count / 2 <= limits.maxElements, "more elements than the limit")
        pending.append(contentsOf: elements.map { ($0, above + 1) })
    }
}

// MARK: Framer and typed decoding

/// The framer alone, whose view of the buffer grows a piece at a time; then every reply's bytes as other types.
private func checkFramer(_ input: FuzzInput, _ outcome: Outcome) {
    var framer = RESPFramer(version: input.version, limits: input.limits)
    var given = 0
    var start = 0
    var lengths: [Int] = []
    var hasFailed = false
    for piece in input.pieces(.random) where !hasFailed {
        given += piece.count
        do throws(RESPProtocolError) {
            // An allocation of its own: AddressSanitizer sees a read past its end.
            while let length = try framer.next(Array(input.stream[start..<given]).span) {
                expect(length > 0 && length <= input.limits.maxReplyBytes, "a reply of \(length) bytes")
                lengths.append(length)
                start += length
            }
        } catch {
            expect(
                error == outcome.error,
                "the framer fails with \(error), the decoder with \(outcome.error as Any)"
            )
            hasFailed = true
        }
        #if DEBUG
            expect(framer.bytesSearched <= given, "\(framer.bytesSearched) bytes searched of \(given) given")
        #endif
    }
    expect(lengths.count == outcome.values.count, "the framer finds \(lengths.count) replies")
    start = 0
    for (length, value) in zip(lengths, outcome.values) {
        checkTypes(Array(input.stream[start..<(start + length)]), value)
        start += length
    }
}

private func checkTypes(_ reply: [UInt8], _ value: RESPValue) {
    checkType(RESPValue.self, reply, value)
    checkType(RESPValue?.self, reply, value)
    checkType([RESPValue].self, reply, value)
    checkType([RESPValue?].self, reply, value)
    checkType([[RESPValue?]]?.self, reply, value)
    checkType([RESPValue: RESPValue].self, reply, value)
    checkType([String?: [RESPValue]?].self, reply, value)
    checkType(String.self, reply, value)
    checkType(String?.self, reply, value)
    checkType([String].self, reply, value)
    checkType([UInt8].self, reply, value)
    checkType([[UInt8]?].self, reply, value)
    checkType([String: [UInt8]].self, reply, value)
    checkType(Int.self, reply, value)
    checkType(Int8.self, reply, value)
    checkType(UInt64.self, reply, value)
    checkType(UInt8?.self, reply, value)
    checkType([Int?].self, reply, value)
    checkType(Bool.self, reply, value)
    checkType([Bool].self, reply, value)
    checkType(Number.self, reply, value)
    checkType([Number?].self, reply, value)
    checkType(Pair.self, reply, value)
    checkType([Pair?].self, reply, value)
}

/// Decodes a type from a reply's bytes and from its value: both, or neither, and exactly one value is read.
private func checkType<Value: RESPDecodable & Equatable>(_: Value.Type, _ reply: [UInt8], _ value: RESPValue)
{
    var reader = RESPReader(reply.span)
    let direct: Result<Value, RESPDecodingError>
    do throws(RESPDecodingError) {
        direct = .success(try reader.decode(Value.self))
        expect(!hasMore(&reader), "\(Value.self) left some of \(value)")
    } catch {
        direct = .failure(error)
        // The reader stands before the value again.
        expect(
            (try? reader.decode(RESPValue.self)) == value,
            "\(Value.self) left its reader in the middle of \(value)"
        )
    }
    let indirect: Result<Value, RESPDecodingError>
    do throws(RESPDecodingError) { indirect = .success(try value.decode(as: Value.self)) } catch {
        indirect = .failure(error)
    }
    switch (direct, indirect) {
    case (.success(let left), .success(let right)): expect(left == right, "\(left) is not \(right)")
    case (.failure, .failure): break
    default: fatalError("\(Value.self): \(direct) from the bytes of \(value), \(indirect) from the value")
    }
}

private func hasMore(_ reader: inout RESPReader) -> Bool {
    do throws(RESPDecodingError) {
        try reader.skip()
        return true
    } catch {
        return false
    }
}

/// A double that equals itself.
private struct Number: RESPDecodable, Equatable {
    let value: Double
    init(from reader: inout RESPReader) throws(RESPDecodingError) { value = try Double(from: &reader) }
    static func == (left: Number, right: Number) -> Bool {
        left.value.bitPattern == right.value.bitPattern || left.value.isNaN && right.value.isNaN
    }
}

/// Two values by position, the second of which may be null.
private struct Pair: RESPDecodable, Equatable {
    let first: Int
    let second: [String]?
    init(from reader: inout RESPReader) throws(RESPDecodingError) {
        (first, second) = try reader.decode(RESPTuple<Int, [String]?>.self).values
    }
}
