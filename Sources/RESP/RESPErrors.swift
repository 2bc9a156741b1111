/// Bytes that are not the protocol.
///
/// A decoder that met them stays failed.
public struct RESPProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, in words for a person.
    public let reason: String
    /// Where in the whole stream it was found, in bytes from 0: a byte that cannot be right, or the first of the
    /// number or length that it is part of.
    ///
    /// For a limit it is the element that breaks it, or the number in its header.
    public let offset: UInt64

    package init(_ reason: String, at offset: UInt64) {
        self.reason = reason
        self.offset = offset
    }

    /// The reason and the place.
    public var description: String { "\(reason) (at byte \(offset) of the stream)" }
}

/// A well-formed reply that is not what was asked for.
public struct RESPDecodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was asked for and what came, in words for a person.
    public let reason: String

    /// Makes an error for a type's own `RESPDecodable` conformance.
    ///
    /// - Parameter reason: what was asked for and what came.
    public init(_ reason: String) {
        self.reason = reason
    }

    /// The reason.
    public var description: String { reason }

    /// The same error, told of an array's element.
    @usableFromInline
    func inElement(_ index: Int) -> RESPDecodingError {
        RESPDecodingError("element \(index): \(reason)")
    }

    /// The same error, told of a map's entry.
    @usableFromInline
    func inEntry(_ index: Int) -> RESPDecodingError {
        RESPDecodingError("entry \(index): \(reason)")
    }

    /// A conformance that reads too little.
    @usableFromInline
    static func lessThanOneValue<Value>(_ type: Value.Type) -> RESPDecodingError {
        RESPDecodingError("\(type) read less than one whole value")
    }

    /// A conformance that reads too much.
    @usableFromInline static var noFurtherValue: RESPDecodingError {
        RESPDecodingError("there is no further value in the one being decoded")
    }
}

/// A command that cannot be encoded.
///
/// Nothing of it was written.
public struct RESPEncodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong and what to do, in words for a person.
    public let reason: String

    init(_ reason: String) {
        self.reason = reason
    }

    /// The reason.
    public var description: String { reason }

    static let emptyCommand = RESPEncodingError(
        "the command has no words: a server sends no reply to it; give at least the command's name"
    )
}

/// So many of something, in words.
package func counted(_ count: Int, _ one: String, _ many: String? = nil) -> String {
    count == 1 ? "1 \(one)" : "\(count) \(many ?? one + "s")"
}
