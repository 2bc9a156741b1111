import RESP
import Testing

/// Optionals, arrays and types of one's own, read from a reply's bytes.
struct RESPDecodableAggregateTests {
    private func decode<Value: RESPDecodable>(
        _ reply: String,
        as type: Value.Type = Value.self
    ) throws(RESPDecodingError) -> Value {
        let bytes = Array(reply.utf8)
        var reader = RESPReader(bytes.span)
        let value = try reader.decode(type)
        let isAtEnd = reader.isAtEnd
        #expect(isAtEnd, "bytes are left over")
        return value
    }

    private func reason<Value: RESPDecodable>(_ reply: String, as type: Value.Type) -> String {
        let bytes = Array(reply.utf8)
        let error = #expect(throws: RESPDecodingError.self) {
            var reader = RESPReader(bytes.span)
            _ = try reader.decode(type)
        }
        return error?.reason ?? ""
    }

    // MARK: Optionals

    @Test(arguments: ["$-1\r\n", "*-1\r\n"])
    func nullIsNilOfEveryOptional(_ null: String) throws {
        #expect(try decode(null, as: String?.self) == nil)
        #expect(try decode(null, as: [UInt8]?.self) == nil)
        #expect(try decode(null, as: Int?.self) == nil)
        #expect(try decode(null, as: Double?.self) == nil)
        #expect(try decode(null, as: Bool?.self) == nil)
        #expect(try decode(null, as: [String]?.self) == nil)
        #expect(try decode(null, as: [String?]?.self) == nil)
        #expect(try decode(null, as: RESPValue.self) == .null)
    }

    @Test func anOptionalThatIsThereIsReadAsTheWrappedType() throws {
        #expect(try decode("$0\r\n\r\n", as: String?.self) == "")
        #expect(try decode(":-1\r\n", as: Int?.self) == -1)
        #expect(try decode("$2\r\n-1\r\n", as: Int?.self) == -1)
        #expect(try decode("+-1\r\n", as: String?.self) == "-1")
        #expect(try decode("*0\r\n", as: [String]?.self) == [])
        let integer = reason(":1\r\n", as: String?.self)
        #expect(integer.contains("the integer 1"))
        let error = reason("--1\r\n", as: String?.self)
        #expect(error.contains("the error reply \"-1\""))
    }

    // MARK: Arrays

    @Test func anArrayIsReadElementByElement() throws {
        #expect(try decode("*2\r\n$1\r\na\r\n+b\r\n") == ["a", "b"])
        #expect(try decode("*0\r\n", as: [String].self) == [])
        #expect(try decode("*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n") == ["a", nil, ""])
        #expect(try decode("*3\r\n*-1\r\n:1\r\n$-1\r\n") == [nil, 1, nil] as [Int?])
        #expect(try decode("*2\r\n$1\r\na\r\n$2\r\nbc\r\n") == [[0x61], [0x62, 0x63]] as [[UInt8]])
        #expect(try decode("*3\r\n*2\r\n:1\r\n:2\r\n*0\r\n*1\r\n:3\r\n") == [[1, 2], [], [3]])
        #expect(try decode("*2\r\n*1\r\n*1\r\n+x\r\n*0\r\n") == [[["x"]], []])
        #expect(try decode("*2\r\n*-1\r\n*1\r\n$-1\r\n") == [nil, [nil]] as [[String?]?])
    }

    @Test func anElementOfTheWrongTypeIsAnErrorThatNamesIt() {
        let strings = reason("*3\r\n$1\r\na\r\n:7\r\n$1\r\nb\r\n", as: [String].self)
        #expect(strings.contains("element 1:") && strings.contains("the integer 7"))
        let null = reason("*2\r\n$1\r\na\r\n$-1\r\n", as: [String].self)
        #expect(null.contains("element 1:") && null.contains("null"))
        let optionals = reason("*2\r\n$-1\r\n*1\r\n:1\r\n", as: [String?].self)
        #expect(optionals.contains("element 1:") && optionals.contains("an array of 1 element"))
        let error = reason("*2\r\n-ERR a\r\n$1\r\nb\r\n", as: [String].self)
        #expect(error.contains("element 0:") && error.contains("the error reply \"ERR a\""))
        let small = reason("*3\r\n:1\r\n:2\r\n:256\r\n", as: [UInt8?].self)
        #expect(small.contains("element 2:") && small.contains("256"))
    }

    @Test func anElementInsideANestedArrayIsNamedByItsPath() {
        let nested = reason("*2\r\n*1\r\n:1\r\n*3\r\n:2\r\n:3\r\n+x\r\n", as: [[Int]].self)
        #expect(nested.contains("element 1: element 2:") && nested.contains("the simple string \"x\""))
    }

    @Test func anArrayIsReadFromNothingElse() {
        #expect(
            reason("$1\r\na\r\n", as: [String].self).contains(
                "expected an array, got a bulk string of 1 byte"
            )
        )
        #expect(reason("$-1\r\n", as: [String].self).contains("expected an array, got null"))
        #expect(reason("*-1\r\n", as: [String].self).contains("expected an array, got null"))
        #expect(reason(":1\r\n", as: [Int].self).contains("expected an array, got the integer 1"))
    }

    @Test func longTextIsShownInPart() {
        let text = String(repeating: "x", count: 201)
        let shown = "\"" + text.prefix(200) + "\"…"
        #expect(reason("+\(text)\r\n", as: Int.self).contains(shown))
        #expect(reason("-\(text.dropLast())\r\n", as: Int.self).hasSuffix("\"\(text.dropLast())\""))
    }

    // MARK: Types of one's own

    struct Point: RESPDecodable, Equatable {
        var x: Double
        var y: Double

        init(x: Double, y: Double) {
            self.x = x
            self.y = y
        }

        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            guard try reader.decodeArrayHead() == 2 else {
                throw RESPDecodingError("expected two coordinates")
            }
            x = try reader.decode(Double.self)
            y = try reader.decode(Double.self)
        }
    }

    /// Three elements: a name, something of any shape that is stepped over, and a number.
    struct Labelled: RESPDecodable, Equatable {
        var label: String
        var number: Int

        init(label: String, number: Int) {
            self.label = label
            self.number = number
        }

        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            guard try reader.decodeArrayHead() == 3 else {
                throw RESPDecodingError("expected three elements")
            }
            label = try reader.decode(String.self)
            try reader.skip()
            number = try reader.decode(Int.self)
        }
    }

    /// Asks for one value more than there is.
    struct Greedy: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            try reader.skip()
            try reader.skip()
        }
    }

    @Test func aTypeOfOnesOwnIsRead() throws {
        let point = "*2\r\n$3\r\n1.5\r\n:-2\r\n"
        #expect(try decode(point) == Point(x: 1.5, y: -2))
        #expect(try decode("$-1\r\n", as: Point?.self) == nil)
        #expect(
            try decode("*3\r\n\(point)$-1\r\n\(point)") == [Point(x: 1.5, y: -2), nil, Point(x: 1.5, y: -2)]
        )
    }

    @Test func aTypeOfOnesOwnSaysWhatIsWrong() {
        #expect(reason("*1\r\n:1\r\n", as: Point.self) == "expected two coordinates")
        #expect(reason("+OK\r\n", as: Point.self).contains("expected an array, got the simple string \"OK\""))
        #expect(
            reason("*1\r\n*2\r\n:1\r\n+x\r\n", as: [Point].self).hasPrefix("element 0: expected a number")
        )
        #expect(reason("$-1\r\n", as: Point.self).contains("null"))
    }

    @Test(arguments: [
        ":1\r\n", "$3\r\n\r\n\r\r\n", "$-1\r\n", "*0\r\n", "*-1\r\n", "-ERR\r\n",
        "*2\r\n*1\r\n+a\r\n*2\r\n*0\r\n$0\r\n\r\n",
    ])
    func aValueOfAnyShapeIsSteppedOver(_ value: String) throws {
        #expect(try decode("*3\r\n+name\r\n\(value):9\r\n") == Labelled(label: "name", number: 9))
    }

    @Test func aTypeThatReadsPastTheEndGetsAnError() {
        #expect(reason(":1\r\n", as: Greedy.self).contains("no further value"))
    }

    /// Reads nothing.
    struct Modest: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) {}
    }

    /// Reads a head, and leaves the elements.
    struct Headlong: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) { _ = try reader.decodeArrayHead() }
    }

    @Test func aTypeThatReadsMoreOrLessThanOneValueGetsAnError() {
        let words = "less than one whole value"
        let noFurther = "there is no further value in the one being decoded"
        let two = "*2\r\n:1\r\n:2\r\n"
        #expect(reason(two, as: [Greedy].self).hasPrefix("element 0: \(noFurther)"))
        #expect(reason(two, as: [Modest].self).hasPrefix("element 0: Modest read \(words)"))
        #expect(reason("*1\r\n\(two)", as: [Headlong].self).hasPrefix("element 0: Headlong read \(words)"))
        #expect(reason(two, as: Headlong.self).contains(words))
        #expect(reason(two, as: Optional<Modest>.self).contains(words))
        #expect(reason(two, as: [Int: Modest].self).hasPrefix("entry 0: Modest read \(words)"))
        #expect(reason(two, as: RESPTuple<Int, Modest>.self).hasPrefix("element 1: Modest read \(words)"))
    }

    /// Reads its value, and then the head of what is behind it: as many values as before are still to be read.
    struct Reaching: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            try reader.skip()
            _ = try reader.decodeArrayHead()
        }
    }

    /// Reads its value and tries for whatever may be behind it.
    struct Curious: RESPDecodable {
        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            try reader.skip()
            if (try? reader.skip()) != nil || (try? reader.decodeMapHead()) != nil
                || (try? reader.decode(Modest.self)) != nil || (try? reader.decode(Int?.self)) != nil
            {
                throw RESPDecodingError("there was more")
            }
        }
    }

    @Test func aTypeCannotReadWhatIsBehindItsValue() throws {
        let noFurther = "there is no further value in the one being decoded"
        #expect(reason("*2\r\n:1\r\n*1\r\n:2\r\n", as: [Reaching].self) == "element 0: \(noFurther)")
        #expect(reason("*2\r\n*1\r\n:1\r\n*1\r\n:2\r\n", as: [Reaching].self) == "element 0: \(noFurther)")
        for behind in ["$-1\r\n", ":2\r\n", "*0\r\n", "*1\r\n:2\r\n"] {
            #expect(try decode("*3\r\n*2\r\n:1\r\n*0\r\n\(behind)\(behind)", as: [Curious].self).count == 3)
        }
    }

    /// Whatever fails, the reader stands before the value again.
    enum Either: RESPDecodable, Equatable {
        case numbers([Int]), table([String: Int]), text(String), pairs([[String]])

        init(from reader: inout RESPReader) throws(RESPDecodingError) {
            if let numbers = try? reader.decode([Int].self) {
                self = .numbers(numbers)
            } else if let table = try? reader.decode([String: Int].self) {
                self = .table(table)
            } else if (try? reader.decodeMapHead()) == nil, let text = try? reader.decode(String.self) {
                self = .text(text)
            } else {
                self = .pairs(try reader.decode([[String]].self))
            }
        }
    }

    @Test func aTypeMayTryOneTypeAfterTheOther() throws {
        #expect(
            try decode("*4\r\n*2\r\n:1\r\n:2\r\n*2\r\n+a\r\n:2\r\n+text\r\n*1\r\n*1\r\n+a\r\n")
                == [.numbers([1, 2]), .table(["a": 2]), .text("text"), .pairs([["a"]])] as [Either]
        )
    }
}
