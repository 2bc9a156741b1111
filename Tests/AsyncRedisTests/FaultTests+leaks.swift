import Foundation
import TestSupport
import Testing

@testable import AsyncRedis

extension FaultTests {
    /// In a process of its own, whose descriptors, threads and memory are nobody else's.
    @Test func nothingIsLeftOfAnyFault() async {
        await #expect(processExitsWith: .success) {
            let loop = EventLoop(name: "fault")
            // The first times round everything is made that stays: pools of memory, threads of the runtime.
            for _ in 0..<20 { try await FaultTests.playAll(loop) }
            let descriptors = openDescriptors()
            let threads = threadNames().count
            let memory = Heap.allocatedBytes()
            for _ in 0..<40 { try await FaultTests.playAll(loop) }
            // A script's thread ends a moment after its connection.
            let isBack = await eventually {
                openDescriptors() <= descriptors && threadNames().count <= threads
            }
            #expect(
                isBack,
                "\(openDescriptors()) descriptors were \(descriptors), \(threadNames()) were \(threads)"
            )
            let handles = await loop.run { loop.core.driver.residentCount }
            #expect(handles == 0)
            let growth = Heap.allocatedBytes() - memory
            // Twelve hundred connections: half a kilobyte of each would be more.
            #expect(isSanitized || growth < 1 << 19, "\(growth) bytes more than before")
        }
    }

    /// Each fault twice, all at the same time: on a loop that stays, and on one that is made and ended for it.
    private static func playAll(_ common: EventLoop) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for fault in Fault.allCases {
                group.addTask { _ = try await FaultScene(fault, on: common, isHeavy: false).play() }
                group.addTask {
                    let loop = EventLoop(name: "fault")
                    _ = try await FaultScene(fault, on: loop, isHeavy: false).play()
                    await loop.shutdown()
                }
            }
            try await group.waitForAll()
        }
    }
}
