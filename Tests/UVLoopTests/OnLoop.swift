import Foundation
import TestSupport

@testable import UVLoop

/// Holds what belongs to a loop's thread, for a test that runs elsewhere.
final class OnLoop<Value>: @unchecked Sendable {
    // Safe to share: `value` is touched inside `run` of one loop only.
    var value: Value

    init(_ value: Value) { self.value = value }
}

/// A thread of its own, as a C library would have one.
func onForeignThread(_ body: @escaping @Sendable () -> Void) {
    Thread.detachNewThread(body)
}

/// Something that can be seen to have been let go.
final class Token: Sendable {}
