import Foundation
import TestSupport
import Testing

@_spi(Driver) @testable import UVLoop

/// A thread for a driver's library.
@Suite struct LoopThreadTests {
    @Test func aThreadRunsItsBodyUnderAsMuchOfItsNameAsLinuxKeeps() async throws {
        let name = Collected("")
        let isOver = Gate()
        try LoopThread.tryToStart(named: "a-name-longer-than-linux-keeps") {
            let own = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)
            name.update { $0 = own ?? "unknown" }
            isOver.open()
        }
        await isOver.wait()
        #expect(name.value == "a-name-longer-t\n")
    }
}
