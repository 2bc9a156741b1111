import CUV

/// A failure that libuv reported: an operating-system error or a name-resolution error.
///
/// Source: libuv's error numbers, see "Error handling" in libuv's documentation.
public struct IOError: Error, Hashable, Sendable, CustomStringConvertible {
    /// libuv's number for the error: a negated `errno`, or one of libuv's own `UV_EAI_…` and `UV_EOF`.
    public let number: Int32

    package init(_ number: Int32) {
        self.number = number
    }

    /// The operating system's error of that number, for a driver whose library tells it.
    @_spi(Driver) public init(errno: Int32) {
        // libuv negates them on every system but Windows.
        self.init(-errno)
    }

    /// libuv's name for the error, for example `ECONNREFUSED`.
    public var name: String {
        // 64 bytes hold every name that libuv has; the buffer outlives the call.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return "UNKNOWN" }
            return unsafe String(cString: uv_err_name_r(number, base, buffer.count))
        }
    }

    /// libuv's sentence for the error, for example `connection refused`.
    public var message: String {
        // 256 bytes hold every sentence that libuv has; the buffer outlives the call.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let base = buffer.baseAddress else { return "unknown error" }
            return unsafe String(cString: uv_strerror_r(number, base, buffer.count))
        }
    }

    /// The name and the sentence together, for example `ECONNREFUSED: connection refused`.
    public var description: String { "\(name): \(message)" }

    package static var cancelled: IOError { IOError(UV_ECANCELED.rawValue) }
    package static var timedOut: IOError { IOError(UV_ETIMEDOUT.rawValue) }
    package static var nameNotFound: IOError { IOError(UV_EAI_NONAME.rawValue) }
    package static var loopShutDown: IOError { IOError(UV_ESHUTDOWN.rawValue) }
}
