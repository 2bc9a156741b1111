// Commands of a known shape. Those that the client has functions for keep no name: what fits into four registers is handed on there, and
// costs less than what does not (`docs/PERFORMANCE.md`).

/// `HGET key field`.
package struct RESPHGet: RESPCommand {
    @usableFromInline let key: String
    @usableFromInline let field: String

    @inlinable
    package init(_ key: String, _ field: String) {
        self.key = key
        self.field = field
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        size.add("HGET".utf8.count)
        size.add(key.utf8.count)
        size.add(field.utf8.count)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.append(text: "*3\r\n$4\r\nHGET\r\n")
        output.appendWord(key)
        output.appendWord(field)
    }
}

/// `HMGET key field …`.
package struct RESPHMGet: RESPCommand {
    @usableFromInline let key: String
    @usableFromInline let fields: [String]

    @inlinable
    package init(_ key: String, _ fields: [String]) {
        self.key = key
        self.fields = fields
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        size.add("HMGET".utf8.count)
        size.add(key.utf8.count)
        for field in fields { size.add(field.utf8.count) }
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.append(head: RESPType.array, fields.count + 2)
        output.append(text: "$5\r\nHMGET\r\n")
        output.appendWord(key)
        for field in fields { output.appendWord(field) }
    }
}

/// `LRANGE key start stop`.
package struct RESPLRange: RESPCommand {
    @usableFromInline let key: String
    @usableFromInline let start: Int
    @usableFromInline let stop: Int

    @inlinable
    package init(_ key: String, _ start: Int, _ stop: Int) {
        self.key = key
        self.start = start
        self.stop = stop
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        size.add("LRANGE".utf8.count)
        size.add(key.utf8.count)
        size.add(decimalDigits(start))
        size.add(decimalDigits(stop))
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.append(text: "*4\r\n$6\r\nLRANGE\r\n")
        output.appendWord(key)
        output.appendWord(start)
        output.appendWord(stop)
    }
}

/// A command of two words of text, as those of one key.
package struct RESPKeyCommand: RESPCommand {
    @usableFromInline let name: String
    @usableFromInline let key: String

    @inlinable
    package init(_ name: String, _ key: String) {
        self.name = name
        self.key = key
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        size.add(name.utf8.count)
        size.add(key.utf8.count)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.append(head: RESPType.array, 2)
        output.appendWord(name)
        output.appendWord(key)
    }
}

/// A command of three words of text.
package struct RESPTextCommand: RESPCommand {
    @usableFromInline let first: String
    @usableFromInline let second: String
    @usableFromInline let third: String

    @inlinable
    package init(_ first: String, _ second: String, _ third: String) {
        self.first = first
        self.second = second
        self.third = third
    }

    package func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int {
        var size = CommandSize(limits)
        size.add(first.utf8.count)
        size.add(second.utf8.count)
        size.add(third.utf8.count)
        return try size.total()
    }

    package func encode(into output: inout OutputSpan<UInt8>) {
        output.append(head: RESPType.array, 3)
        output.appendWord(first)
        output.appendWord(second)
        output.appendWord(third)
    }
}
