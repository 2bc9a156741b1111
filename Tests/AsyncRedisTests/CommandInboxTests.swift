@_spi(Driver) import AsyncIO
import RESP
import TestSupport
import Testing
@_spi(Driver) import UVLoop

@testable import AsyncRedis

/// The way in for tasks elsewhere, where it meets the end of its connection.
@Suite struct CommandInboxTests {
    private let backlog = Backlog(most: .init(commands: 10, bytes: 1 << 30), mostToBeSent: 1)

    /// A command too large to be encoded under the inbox's lock, in whose encoding something happens.
    private struct Large: RESPCommand {
        let happens: @Sendable () -> Void
        static let byteCount = 1 << 20

        func byteCount(_ limits: RESPLimits) throws(RESPEncodingError) -> Int { Self.byteCount }

        func encode(into output: inout OutputSpan<UInt8>) {
            happens()
            output.append(repeating: 0x61, count: Self.byteCount)
        }
    }

    private func submit(_ command: some RESPCommand, to inbox: CommandInbox, byteCount: Int) async -> String {
        let word = Collected("")
        _ = await CommandWaiter.suspend(servedBy: .shared) { waiter in
            let request = RedisConnection.Request(byteCount: byteCount, deadline: .max)
            switch inbox.submit(command, request, waiter) {
            case .accepted: word.update { $0 = "accepted" }
            case .first: word.update { $0 = "first" }
            case .tooMany, .tooManyBytes: word.update { $0 = "overloaded" }
            case .refused(let error): word.update { $0 = "\(error.code)" }
            }
            waiter.resume(.failure(.closed("test")))
        }
        return word.value
    }

    @Test func aCloseDuringTheEncodingGivesTheRoomBack() async {
        let inbox = CommandInbox(backlog)
        let command = Large { inbox.close(.closed("test")) }
        #expect(await submit(command, to: inbox, byteCount: Large.byteCount) == "clientClosed")
        #expect(backlog.all == .init())
        #expect(inbox.take().entries.isEmpty)
    }

    @Test func onlyMemoryThatNothingLiesInIsGivenBack() async {
        let inbox = CommandInbox(backlog)
        let command = RESPWordList(["PING"])
        #expect(await submit(command, to: inbox, byteCount: 14) == "first")
        inbox.giveMemoryBack()
        let batch = inbox.take()
        #expect(batch.entries.count == 1 && batch.bytes.count == 14)
        inbox.recycle(batch)
        inbox.giveMemoryBack()
        // Neither what is filled next nor what was spare.
        for _ in 0..<2 { #expect(inbox.take().bytes.heldBytes == 0) }
    }

    /// One module measures a word's size, another leaves it where it is: they do not know each other.
    @Test func wordsAreLargeFromTheSameSizeOn() {
        #expect(RESPLargeWord.minBytes == OutputQueue.minLargeBytes)
    }

    @Test func theFirstCauseStays() async {
        let inbox = CommandInbox(backlog)
        inbox.close(RedisError(loopShutDownAt: "test"))
        inbox.close(.closed("test"))
        let command = RESPWordList(["PING"])
        #expect(await submit(command, to: inbox, byteCount: 14) == "loopShutDown")
        #expect(backlog.all == .init())
    }

    @Test func aBatchIsTakenOnceWithItsBytes() async {
        let inbox = CommandInbox(backlog)
        #expect(await submit(RESPWordList(["PING"]), to: inbox, byteCount: 14) == "first")
        #expect(await submit(Large {}, to: inbox, byteCount: Large.byteCount) == "accepted")
        let batch = inbox.take()
        #expect(batch.entries.map(\.request.byteCount) == [14, Large.byteCount])
        #expect(batch.byteCount == 14 + Large.byteCount)
        inbox.recycle(batch)
        #expect(await submit(RESPWordList(["PING"]), to: inbox, byteCount: 14) == "first")
        #expect(inbox.take().byteCount == 14, "nothing is left in the memory of an earlier batch")
    }
}
