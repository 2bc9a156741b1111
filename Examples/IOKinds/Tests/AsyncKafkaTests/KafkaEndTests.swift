import Glibc
import IOCalls
import KafkaMock
import TestSupport
import Testing

@_spi(Driver) @testable import AsyncKafka
@_spi(Driver) import UVLoop

/// How messages and sequences end early: by their deadline, their task's cancellation, or with their client or loop.
@Suite(.serialized) struct KafkaEndTests: KafkaSuite {
    let cluster: TestCluster

    init() throws {
        cluster = try TestCluster()
        cluster.mock.makeTopic("t", partitions: 1)
    }

    enum Limit: CaseIterable { case policy, call, task, cancellation }

    /// Whatever ends it, a message that is on its way ends within 20 ms of it.
    @Test(arguments: Limit.allCases)
    func earlyEndsAreInTime(limit: Limit) async throws {
        let time = Duration.milliseconds(60)
        let kafka = try cluster.clients(.init(commandTimeout: limit == .policy ? time : nil)).kafka("events")
        cluster.mock.delayAnswers(milliseconds: 3000)
        let noise = SchedulingNoise(besides: "kafka-test")
        let end = await TimedEnd<KafkaError>.of(within: time) {
            switch limit {
            case .policy: try await kafka.produce([1], to: "t")
            case .call: try await kafka.produce([1], to: "t", timeout: time)
            case .task: try await withIOTimeout(time) { _ = try await kafka.produce([1], to: "t") }
            case .cancellation:
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await kafka.produce([1], to: "t") }
                    try await cluster.loop.sleep(for: time)
                    group.cancelAll()
                    try await group.waitForAll()
                }
            }
        }
        let allowance = await noise.stop()
        #expect(end.error?.code == (limit == .cancellation ? .cancelled : .deadlineExceeded))
        #expect(end.error?.outcome == .indeterminate)
        #expect(end.lateness > .milliseconds(-2))
        #expect(end.lateness < .milliseconds(20) + allowance)
        kafka.shutdown()
        await cluster.loop.shutdown()
    }

    @Test func aMessageThatWaitsIsNeverSent() async throws {
        let io = try cluster.clients(
            .init(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)
        )
        let kafka = try io.kafka("events")
        #expect(await failure(of: "first", on: kafka) == nil)
        cluster.mock.delayAnswers(milliseconds: 1000)
        let running = start("second", kafka)
        #expect(await holds(kafka, running: 1))
        let waiting = start("never", kafka)
        #expect(await holds(kafka, running: 1, waiting: 1))
        waiting.cancel()
        let error = await waiting.value
        #expect(error?.code == .cancelled)
        #expect(error?.outcome == .notSent)
        running.cancel()
        #expect(await running.value?.outcome == .indeterminate)
        // The permit comes back with the report of what nobody waits for any more.
        cluster.mock.delayAnswers(milliseconds: 0)
        #expect(await failure(of: "third", on: kafka) == nil)
        var read: [String] = []
        for try await message in kafka.consume("t", from: .beginning) {
            read.append(String(decoding: message.value, as: UTF8.self))
            if read.last == "third" { break }
        }
        #expect(read == ["first", "second", "third"])
        await io.close()
        await cluster.loop.shutdown()
    }

    // MARK: Sequences

    @Test func waitingForAMessageHasALimitAndCanBeCancelled() async throws {
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        let messages = kafka.consume("t", from: .beginning)
        let late = await #expect(throws: KafkaError.self) {
            try await withIOTimeout(.milliseconds(20)) {
                var iterator = messages.makeAsyncIterator()
                _ = try await iterator.next()
            }
        }
        #expect(late?.code == .deadlineExceeded)
        #expect(late?.outcome == .notSent)
        for isBegun in [true, false] {
            let gate = Gate()
            let task = Task {
                if !isBegun { await gate.wait() }
                var iterator = messages.makeAsyncIterator()
                return try await iterator.next()
            }
            if isBegun {
                #expect(
                    await eventually { await cluster.loop.run { messages.lease.consumer.calls.isRunning } }
                )
            }
            task.cancel()
            gate.open()
            let error = await #expect(throws: KafkaError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
        // The sequence goes on, and has lost nothing.
        #expect(await failure(of: "x", on: kafka) == nil)
        var iterator = messages.makeAsyncIterator()
        #expect(try await iterator.next()?.offset == 0)
        await io.close()
        await cluster.loop.shutdown()
    }

    @Test func soManyTasksMayWaitForAMessage() async throws {
        let most = 10
        let policy = EndpointPolicy(maxWaiting: most, connectTimeout: .seconds(3600), commandTimeout: nil)
        let io = try cluster.clients(policy)
        let kafka = try io.kafka("events")
        let messages = kafka.consume("t", from: .beginning)
        @Sendable func next() async -> Result<KafkaMessage?, KafkaError> {
            var iterator = messages.makeAsyncIterator()
            do throws(KafkaError) {
                return .success(try await iterator.next())
            } catch {
                return .failure(error)
            }
        }
        let calls = messages.lease.consumer.calls
        var tasks: [Task<Result<KafkaMessage?, KafkaError>, Never>] = []
        for number in 0...most {
            tasks.append(Task { await next() })
            // One by one: one that is on its way counts twice for a moment.
            #expect(await eventually { await cluster.loop.run { calls.submitted } > number })
        }
        #expect(await eventually { await cluster.loop.run { calls.isRunning && calls.waitingCount == most } })
        guard case .failure(let refused) = await withIOTimeout(.seconds(10), { await next() }) else {
            Issue.record("it was accepted")
            return
        }
        #expect(refused.code == .overloaded)
        #expect(refused.outcome == .notSent)
        for task in tasks.dropLast() { task.cancel() }
        for task in tasks.dropLast() {
            guard case .failure(let error) = await task.value else {
                Issue.record("it was given a message")
                continue
            }
            #expect(error.code == .cancelled)
        }
        #expect(await failure(of: "x", on: kafka) == nil)
        #expect(try await tasks[most].value.get()?.value == Array("x".utf8))
        await io.close()
        // Once over, it stays over.
        var iterator = messages.makeAsyncIterator()
        #expect(try await iterator.next() == nil)
        await cluster.loop.shutdown()
        #expect(try await iterator.next() == nil)
    }

    @Test func aSequenceThatNobodyHoldsEndsItsThread() async throws {
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        for number in 0..<10 { #expect(await failure(of: "\(number)", on: kafka) == nil) }
        weak var consumer: KafkaConsumer?
        try await {
            // Its thread is waiting for a place when it is let go.
            let messages = kafka.consume("t", from: .beginning, buffer: 1)
            var iterator = messages.makeAsyncIterator()
            let first = try await iterator.next()
            #expect(first != nil)
            #expect(await eventually { await isFull(messages.lease.consumer) })
            consumer = messages.lease.consumer
        }()
        #expect(await eventually { await cluster.loop.run { kafka.producer.threadCount } == 1 })
        #expect(await eventually { consumer == nil })
        await io.close()
        #expect(await cluster.loop.run { kafka.producer.threadCount } == 0)
        await cluster.loop.shutdown()
    }

    // MARK: The client's end, and the loop's

    @Test func closeWaitsForWhatWasAcceptedAndRefusesTheRest() async throws {
        let io = try cluster.clients(
            .init(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)
        )
        let kafka = try io.kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        cluster.mock.delayAnswers(milliseconds: 1000)
        let tasks = (0..<3).map { start("\($0)", kafka) }
        #expect(await holds(kafka, running: 1, waiting: 2))
        let closing = Task { await kafka.close(timeout: .seconds(3600)) }
        #expect(await eventually { kafka.hasEnded })
        #expect(await failure(of: "late", on: kafka)?.code == .clientClosed)
        for task in tasks { #expect(await task.value == nil) }
        await closing.value
        await cluster.loop.shutdown()
    }

    @Test func closeGivesUpAtItsTimeoutAndShutdownAtOnce() async throws {
        for isClosed in [true, false] {
            let io = try cluster.clients(.init(maxInflight: 1, commandTimeout: nil))
            let kafka = try io.kafka("events")
            cluster.mock.delayAnswers(milliseconds: 0)
            #expect(await failure(of: "x", on: kafka) == nil)
            cluster.mock.delayAnswers(milliseconds: 3_600_000)
            let (running, waiting) = (start("a", kafka), start("b", kafka))
            #expect(await holds(kafka, running: 1, waiting: 1))
            if isClosed { await kafka.close(timeout: .milliseconds(20)) } else { kafka.shutdown() }
            let errors = [await running.value, await waiting.value]
            #expect(errors.allSatisfy { $0?.code == .clientClosed })
            #expect(Set(errors.map { $0?.outcome }) == [.indeterminate, .notSent])
            // What was on its way is given up with the instance, and its permit is free.
            #expect(await holds(kafka, running: 0))
            #expect(await eventually { await cluster.loop.run { kafka.producer.threadCount } == 0 })
        }
        await cluster.loop.shutdown()
    }

    /// In which order those that live on a loop hear of its shutdown changes from run to run.
    @Test(arguments: 0..<10)
    func whatWasAbandonedBeforeTheEndIsGivenUpWithIt(run: Int) async throws {
        let kafka = try cluster.clients(.init(maxInflight: 1, commandTimeout: nil)).kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        cluster.mock.delayAnswers(milliseconds: 3_600_000)
        let running = start("a", kafka)
        #expect(await holds(kafka, running: 1))
        running.cancel()
        #expect(await running.value?.code == .cancelled)
        if run > 0 { await cluster.loop.shutdown() } else { kafka.shutdown() }
        #expect(await holds(kafka, running: 0))
        #expect(await eventually { await cluster.loop.run { kafka.producer.threadCount } == 0 })
        await cluster.loop.shutdown()
    }

    @Test func theLoopsShutdownEndsEverything() async throws {
        let policy = EndpointPolicy(maxInflight: 1, connectTimeout: .seconds(3600), commandTimeout: nil)
        let kafka = try cluster.clients(policy).kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        let messages = kafka.consume("t", from: .end)
        let reading = Task {
            var iterator = messages.makeAsyncIterator()
            return try await iterator.next()
        }
        cluster.mock.delayAnswers(milliseconds: 3_600_000)
        let (running, waiting) = (start("a", kafka), start("b", kafka))
        #expect(await holds(kafka, running: 1, waiting: 1))
        #expect(await eventually { await cluster.loop.run { messages.lease.consumer.calls.isRunning } })
        await cluster.loop.shutdown()
        let errors = [await running.value, await waiting.value]
        #expect(errors.allSatisfy { $0?.code == .loopShutDown })
        #expect(Set(errors.map { $0?.outcome }) == [.indeterminate, .notSent])
        let error = await #expect(throws: KafkaError.self) { try await reading.value }
        #expect(error?.code == .loopShutDown)
        #expect(await failure(of: "x", on: kafka)?.code == .loopShutDown)
        #expect(await eventually { await cluster.loop.run { kafka.producer.threadCount } == 0 })
        // What was on its way has been reported, and has given its permit back.
        #expect(await cluster.loop.run { !kafka.producer.calls.isRunning })
        await kafka.close(timeout: .seconds(3600))
    }

    @Test func whatWasReportedBeforeTheLoopsShutdownWasDelivered() async throws {
        let (mayBegin, isHeld, mayGoOn) = (Gate(), Gate(), Gate())
        let (loop, count) = (cluster.loop, 1024)
        let policy = EndpointPolicy(maxInflight: count + 1, commandTimeout: nil)
        let kafka = cluster.client(policy) { body throws(IOError) in
            try KafkaClient.startThread {
                mayBegin.waitOnThread()
                body()
            }
        }
        let tasks = (0...count).map { start("\($0)", kafka) }
        #expect(await holds(kafka, running: count + 1))
        let events = await loop.run { kafka.producer.events }
        let shutdown = Task {
            await loop.run {
                isHeld.open()
                mayGoOn.waitOnThread()
                await loop.shutdown()
            }
        }
        await isHeld.wait()
        mayBegin.open()
        // All places are taken, and the loop has not heard of one.
        #expect(await eventually { events?.blockedThreads == 1 })
        mayGoOn.open()
        await shutdown.value
        var delivered = 0
        for task in tasks { delivered += await task.value == nil ? 1 : 0 }
        #expect(delivered >= count)
    }

    // MARK: Threads

    @Test func aThreadThatCannotBeStartedIsAFailureToConnect() async throws {
        let first = cluster.client { _ throws(IOError) in throw IOError(errno: EAGAIN) }
        let calls = Collected(0)
        let second = cluster.client { body throws(IOError) in
            let isFirst = calls.update {
                $0 += 1
                return $0 == 1
            }
            guard isFirst else { throw IOError(errno: EAGAIN) }
            try KafkaClient.startThread(body)
        }
        for error in [
            await failure(of: "x", on: first), await end(of: second.consume("t", from: .beginning)),
        ] {
            #expect(error?.code == .connectFailed)
            #expect(error?.outcome == .notSent)
            #expect(error?.ioError?.name == "EAGAIN")
        }
        #expect(first.hasEnded)
        // It has its thread, and serves on.
        #expect(await failure(of: "x", on: second) == nil)
        for kafka in [first, second] { await kafka.close(timeout: .seconds(3600)) }
        await cluster.loop.shutdown()
    }

    /// To make an instance may take long: the loop goes on meanwhile, and what is handed over waits.
    @Test(arguments: [true, false])
    func theLoopDoesNotWaitForTheInstance(isShutDown: Bool) async throws {
        let mayBegin = Gate()
        let kafka = cluster.client { body throws(IOError) in
            try KafkaClient.startThread {
                mayBegin.waitOnThread()
                body()
            }
        }
        let task = start("x", kafka)
        #expect(await holds(kafka, running: 1))
        if isShutDown { kafka.shutdown() }
        mayBegin.open()
        #expect(await task.value?.code == (isShutDown ? .clientClosed : nil))
        await kafka.close(timeout: .seconds(3600))
        #expect(await cluster.loop.run { kafka.producer.threadCount } == 0)
        #expect(await cluster.loop.run { !kafka.producer.calls.isRunning })
        await cluster.loop.shutdown()
    }

    @Test func aReaderThatLooksForItsPartitionsEndsWhenNobodyHoldsIt() async throws {
        let io = try cluster.clients()
        let kafka = try io.kafka("events")
        #expect(await failure(of: "x", on: kafka) == nil)
        cluster.mock.delayAnswers(milliseconds: 3_600_000)
        // It is let go before it asks, and while it waits for an answer that never comes.
        for moment in 0..<5 {
            do {
                let messages = kafka.consume("t", from: .beginning)
                try await cluster.loop.sleep(for: .milliseconds(5 * moment))
                withExtendedLifetime(messages) {}
            }
            #expect(await eventually { await cluster.loop.run { kafka.producer.threadCount } == 1 })
        }
        kafka.shutdown()
        await cluster.loop.shutdown()
    }

    @Test func shutdownInEveryStateIsClean() async throws {
        for turns in 0..<10 {
            let loop = EventLoop(name: "short-lived")
            let spec = EndpointSpec(
                id: "events",
                kind: .kafka,
                host: "127.0.0.1",
                port: cluster.mock.port,
                policy: .patient
            )
            let kafka = try AsyncIOClients(loop: loop, endpoints: try EndpointRegistry([spec])).kafka(
                "events"
            )
            let messages = kafka.consume("t", from: .beginning)
            let task = Task { await failure(of: "x", on: kafka) }
            for _ in 0..<turns { try await loop.sleep(for: .zero) }
            await loop.shutdown()
            let error = await task.value
            #expect(error == nil || error?.code == .loopShutDown)
            _ = messages
        }
        await cluster.loop.shutdown()
    }
}
