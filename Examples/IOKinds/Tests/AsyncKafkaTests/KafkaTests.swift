import CKafka
import IOCalls
import KafkaMock
import TestSupport
import Testing

@_spi(Driver) @testable import AsyncKafka
@_spi(Driver) import UVLoop

/// What is delivered and what is read.
@Suite(.serialized) struct KafkaTests: KafkaSuite {
    let cluster: TestCluster

    init() throws { cluster = try TestCluster() }

    @Test func whatIsProducedIsConsumed() async throws {
        cluster.mock.makeTopic("t", partitions: 1)
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        #expect(try io.kafka("events") === kafka)
        let values: [(key: [UInt8]?, value: [UInt8])] = [
            (nil, Array("naïve".utf8)), ([], [0, 255]), ([1, 0], []),
            (Array("key".utf8), Array(repeating: 7, count: 100_000)),
        ]
        for (offset, message) in values.enumerated() {
            let receipt = try await kafka.produce(message.value, to: "t", key: message.key)
            #expect(receipt == KafkaReceipt(partition: 0, offset: offset))
        }
        var read: [KafkaMessage] = []
        for try await message in kafka.consume("t", from: .beginning) {
            read.append(message)
            if read.count == values.count { break }
        }
        #expect(read.map(\.offset) == [0, 1, 2, 3])
        #expect(read.map(\.key) == values.map(\.key))
        #expect(read.map(\.value) == values.map(\.value))
        #expect(read.allSatisfy { $0.topic == "t" && $0.partition == 0 })
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func manyTasksProduceAndEveryPartitionIsRead() async throws {
        cluster.mock.makeTopic("t", partitions: 4)
        let io = try cluster.clients(
            .init(maxInflight: 50, connectTimeout: .seconds(3600), commandTimeout: nil)
        )
        let loop = cluster.loop
        try await loop.run {
            let kafka = try io.kafka("events")
            let receipts = try await withThrowingTaskGroup(of: KafkaReceipt.self) { group in
                for number in 0..<1000 {
                    group.addTask {
                        let receipt = try await kafka.produce(
                            Array("\(number)".utf8),
                            to: "t",
                            key: Array("\(number)".utf8)
                        )
                        #expect(loop.isOnLoop)
                        return receipt
                    }
                }
                return try await group.reduce(into: Set<KafkaReceipt>()) { $0.insert($1) }
            }
            // Each has a place of its own.
            #expect(receipts.count == 1000)
            #expect(Set(receipts.map(\.partition)).count == 4)
            var values = Set<[UInt8]>()
            // Few places: the poll thread waits again and again.
            for try await message in kafka.consume("t", from: .beginning, buffer: 3) {
                #expect(loop.isOnLoop)
                #expect(values.insert(message.value).inserted)
                if values.count == 1000 { break }
            }
        }
        await io.close()
        await loop.shutdown()
    }

    @Test func readingFromTheEndGivesWhatComesAfterwards() async throws {
        cluster.mock.makeTopic("t", partitions: 1)
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        #expect(await failure(of: "before", on: kafka) == nil)
        let messages = kafka.consume("t", from: .end)
        let first = Task { () -> [UInt8]? in
            var iterator = messages.makeAsyncIterator()
            return try await iterator.next()?.value
        }
        // When the reading has begun is not to be seen from outside: one of these comes after it.
        let hasCome = Collected(false)
        let producing = Task {
            while !hasCome.value { _ = await failure(of: "after", on: kafka) }
        }
        #expect(try await first.value == Array("after".utf8))
        hasCome.update { $0 = true }
        await producing.value
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func whatIsNotTakenIsNotRead() async throws {
        cluster.mock.makeTopic("t", partitions: 1)
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        for number in 0..<50 { #expect(await failure(of: "\(number)", on: kafka) == nil) }
        let messages = kafka.consume("t", from: .beginning, buffer: 5)
        var iterator = messages.makeAsyncIterator()
        #expect(try await iterator.next()?.offset == 0)
        let consumer = messages.lease.consumer
        // Five more are there, and the thread waits with a sixth in its hands.
        #expect(await eventually { await isFull(consumer) })
        for offset in 1..<50 { #expect(try await iterator.next()?.offset == offset) }
        #expect(await !isFull(consumer))
        await io.close()
        // Its client is closed: the sequence is over.
        #expect(try await iterator.next() == nil)
        await cluster.loop.shutdown()
    }

    @Test func extremeTimesAndBuffersAreTakenAsFarAsTheyGo() async throws {
        cluster.mock.makeTopic("t", partitions: 1)
        let most = Duration.seconds(Int64.max)
        let io = try cluster.clients(.init(connectTimeout: most, commandTimeout: most))
        let kafka = try io.kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        var iterator = kafka.consume("t", from: .beginning, buffer: 0).makeAsyncIterator()
        #expect(try await iterator.next()?.offset == 0)
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func addressesOfVersion6AreInBrackets() {
        for (host, broker) in [("::1", "[::1]:9092"), ("[::1]", "[::1]:9092"), ("h", "h:9092")] {
            let spec = EndpointSpec(id: "events", kind: .kafka, host: host, port: 9092)
            #expect(KafkaInstance.broker(spec) == broker)
        }
    }

    @Test func whatLibrdkafkaSaysHasACodeAndAnOutcome() {
        let (sent, unsent) = (RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED, RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        for (error, status, code, outcome) in [
            // The broker's word, and librdkafka's for what the broker said before.
            (
                RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, unsent, KafkaError.Code.unknownTopic,
                KafkaError.Outcome.rejected
            ),
            (RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, unsent, .unknownTopic, .notSent),
            (RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, unsent, .unknownTopic, .notSent),
            (RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, unsent, .deadlineExceeded, .notSent),
            (RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, sent, .deadlineExceeded, .indeterminate),
            (RD_KAFKA_RESP_ERR__PURGE_QUEUE, unsent, .connectionLost, .notSent),
            (RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, sent, .connectionLost, .indeterminate),
        ] {
            let failure = KafkaError(error, status, endpoint: "events")
            #expect(failure.code == code)
            #expect(failure.outcome == outcome)
        }
    }

    /// librdkafka makes no handle for some of them, and reads others up to their NUL.
    @Test func aTopicThatKafkaDoesNotAllowIsRefused() async throws {
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        let longest = String(repeating: "x", count: 249)
        for topic in [
            "", ".", "..", "a b", "a\0b", "\0", "naïve", "a/b", longest + "x",
            String(repeating: "x", count: 600),
        ] {
            for error in [
                await failure(of: "x", on: kafka, to: topic),
                await end(of: kafka.consume(topic, from: .beginning)),
            ] {
                #expect(error?.code == .invalidCommand)
                #expect(error?.outcome == .notSent)
            }
        }
        for topic in [longest, "a.B-9_z", "..."] {
            #expect(await failure(of: "x", on: kafka, to: topic) == nil)
            var iterator = kafka.consume(topic, from: .beginning).makeAsyncIterator()
            #expect(try await iterator.next()?.topic == topic)
        }
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func whatCannotBeSetUpIsSaidInLibrdkafkasWords() {
        let spec = EndpointSpec(id: "events", kind: .kafka, host: "h", port: 1)
        let error = #expect(throws: KafkaError.self) {
            try KafkaInstance(RD_KAFKA_PRODUCER, spec, ["nonsense": "1"])
        }
        #expect(error?.code == .connectFailed)
        #expect(error?.message.contains("nonsense") == true)
    }

    /// One that librdkafka does not accept, and one of which it makes an instance without a cluster.
    @Test(arguments: [(-1, "test.mock.num.brokers"), (0, "no broker")])
    func aClusterThatCannotBeStartedSaysWhy(brokers: Int, reason: String) {
        let error = #expect(throws: MockClusterError.self) { try MockCluster(brokers: brokers) }
        #expect(error?.description.contains(reason) == true)
    }

    @Test func whatIsRefusedSaysHow() async throws {
        let io = try cluster.clients()
        for (id, code) in [
            ("nope", EndpointError.Code.unknownID), ("other", .wrongKind), ("unix", .invalidSetting),
            ("secret", .invalidSetting), ("numbered", .invalidSetting),
        ] {
            let error = #expect(throws: KafkaError.self) { try io.kafka(id) }
            #expect(error?.code == .invalidEndpoint)
            #expect(error?.endpointError?.code == code)
        }
        let kafka = try io.kafka("events")
        let large = await failure(of: String(repeating: "x", count: 2_000_000), on: kafka)
        #expect(large?.code == .messageTooLarge)
        #expect(large?.outcome == .notSent)
        cluster.mock.refuseNextMessage(isTooLarge: true)
        let largeForBroker = await failure(of: "x", on: kafka)
        #expect(largeForBroker?.code == .messageTooLarge)
        #expect(largeForBroker?.outcome == .rejected)
        cluster.mock.refuseNextMessage()
        let refused = await failure(of: "x", on: kafka)
        #expect(refused?.code == .server("TOPIC_AUTHORIZATION_FAILED"))
        #expect(refused?.outcome == .rejected)
        cluster.mock.makeTopic("secret", partitions: 1)
        cluster.mock.hide("secret")
        var iterator = kafka.consume("secret", from: .beginning).makeAsyncIterator()
        do throws(KafkaError) {
            _ = try await iterator.next()
            Issue.record("it was read")
        } catch {
            #expect(error.code == .server("TOPIC_AUTHORIZATION_FAILED"))
        }
        // The client remembers for a while what the broker said of that topic, and serves on.
        #expect(await failure(of: "x", on: kafka, to: "another") == nil)
        await io.close()
        await cluster.loop.shutdown()
    }
}
