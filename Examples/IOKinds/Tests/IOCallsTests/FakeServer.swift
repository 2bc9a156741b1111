@_spi(Driver) import AsyncIO
import TestSupport
import Testing
@testable import IOCalls
@_spi(Driver) import UVLoop

enum Fake: IOKind { static let name = "Fake" }

/// A server whose calls end when the test says so.
final class FakeServer: CallServer, @unchecked Sendable {
    // Safe to share: touched on the loop's thread only.
    typealias Kind = Fake
    typealias Request = String
    typealias Value = String
    typealias Running = Never

    let calls: Calls<FakeServer>
    var started: [CallOf<FakeServer>] = []
    var log: [String] = []
    var answersAtOnce = false
    /// The test says when it has stopped.
    var stopsLater = false

    init(_ policy: EndpointPolicy, lanes: Int, _ limiter: InflightLimiter, _ loop: EventLoop) {
        let spec = EndpointSpec(id: "fake", kind: EndpointKind("fake"), host: "h", port: 1, policy: policy)
        calls = Calls(spec, lanes: lanes, limiter: limiter, loop: loop)
        calls.server = self
    }

    static func byteCount(of request: String) -> Int { request.utf8.count }

    func start(_ call: CallOf<FakeServer>) {
        log.append("start \(call.request)")
        started.append(call)
        if answersAtOnce { finish(call.request) }
    }

    func abandon(_ call: CallOf<FakeServer>) -> CallOutcome {
        log.append("abandon \(call.request)")
        return .indeterminate
    }

    func tick(_ now: UInt64) -> Bool { false }

    func stop() {
        log.append("stop")
        if !stopsLater { calls.stopped() }
    }

    func finish(_ request: String) {
        guard let index = started.firstIndex(where: { $0.request == request }) else { return }
        let call = started.remove(at: index)
        calls.finish(call, .success("answer to \(request)"))
        calls.finish(call, .success("a second answer"))
    }
}

/// What the suites of `Calls` begin with.
protocol CallsSuite {
    var loop: EventLoop { get }
    var limiter: InflightLimiter { get }
}

extension CallsSuite {
    func server(
        _ policy: EndpointPolicy = .patient,
        seats: [Int] = [.max],
        limiter: InflightLimiter? = nil
    ) async -> FakeServer {
        await loop.run { [limiter = limiter ?? self.limiter, loop] in
            let server = FakeServer(policy, lanes: seats.count, limiter, loop)
            for (lane, count) in seats.enumerated() { server.calls.addSeats(count, lane: lane) }
            return server
        }
    }

    func call(
        _ name: String,
        _ server: FakeServer,
        lane: Int = 0,
        timeout: Duration? = nil
    ) async -> Task<Result<String, KindError<Fake>>, Never> {
        let before = await loop.run { server.calls.submitted }
        let task = Task { () -> Result<String, KindError<Fake>> in
            do throws(KindError<Fake>) {
                return .success(try await server.calls.perform(name, lane: lane, timeout: timeout))
            } catch {
                return .failure(error)
            }
        }
        // In, waiting or started or refused, before the next one comes.
        #expect(await eventually { await loop.run { server.calls.submitted } > before })
        return task
    }
}
