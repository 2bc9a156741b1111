/// Why a stream could not be connected.
package struct ConnectFailure: Error {
    package enum Step: Sendable {
        /// The name was being looked up.
        case resolving
        /// An address was being tried.
        case connecting
    }

    package let step: Step
    /// The failure; of several addresses' failures the last.
    package let cause: IOError
    /// Each address that was tried, in figures, with its failure.
    package let attempts: [(address: String, cause: IOError)]
}

/// Looks a target's name up and tries its addresses one after the other, within one deadline.
///
/// An address that stays silent gets its share of the time that is left, so that the ones behind it are tried too. It
/// belongs to its loop's thread.
package final class StreamConnector {
    private let driver: LoopDriver
    private let target: StreamTarget
    private let deadline: UInt64
    private var completion: ((Result<ByteStream, ConnectFailure>) -> Void)?

    private var timer: LoopTimer?
    private var lookup: AddressLookup?
    private var candidates: ArraySlice<SocketAddress> = []
    private var attempt: ByteStream?
    /// The address of `attempt`, in figures.
    private var attemptName = ""
    private var attempts: [(address: String, cause: IOError)] = []

    /// Prepares to connect.
    ///
    /// - Parameters:
    ///   - deadline: for the lookup and all addresses together, on `LoopClock`.
    ///   - completion: called once, possibly before `start()` returns, unless the connector is cancelled.
    package init(
        on driver: LoopDriver,
        to target: StreamTarget,
        deadline: UInt64,
        completion: @escaping (Result<ByteStream, ConnectFailure>) -> Void
    ) {
        self.driver = driver
        self.target = target
        self.completion = completion
        self.deadline = deadline
    }

    /// Begins to connect.
    package func start() {
        makeTimer()
        switch target {
        case .unix(let path):
            let failure = tryOne(named: path) { connected throws(IOError) in
                try ByteStream.connecting(on: driver, toSocketAt: path, connected: connected)
            }
            if let failure { fail(.connecting, failure) }
        case .tcp(let host, let port):
            if let address = SocketAddress(literal: host, port: port) {
                candidates = [address]
                tryNext(after: nil)
            } else {
                resolve(host, port)
            }
        }
    }

    /// Begins with addresses that need no lookup.
    func start(with addresses: [SocketAddress]) {
        makeTimer()
        candidates = addresses[...]
        tryNext(after: nil)
    }

    private func makeTimer() {
        timer = LoopTimer(on: driver, fired: { [self] in timedOut() })
    }

    /// Gives up without a word.
    package func cancel() {
        completion = nil
        cleanUp()
    }

    // MARK: Steps

    private func resolve(_ host: String, _ port: UInt16) {
        startTimer(sharing: 1)
        do throws(IOError) {
            lookup = try AddressLookup(on: driver, host: host, port: port) { [self] result in
                lookup = nil
                switch result {
                case .success(let addresses):
                    candidates = addresses[...]
                    tryNext(after: nil)
                case .failure(let cause):
                    fail(.resolving, cause)
                }
            }
        } catch {
            fail(.resolving, error)
        }
    }

    /// Tries addresses until one neither connects nor fails at once.
    private func tryNext(after failure: IOError?) {
        var failure = failure
        while let address = candidates.popFirst() {
            failure = tryOne(named: address.description) { connected throws(IOError) in
                try ByteStream.connecting(on: driver, to: address, connected: connected)
            }
            if failure == nil { return }
        }
        fail(.connecting, failure ?? .nameNotFound)
    }

    /// Tries one address.
    ///
    /// - Returns: nil if the attempt is under way, or why it failed at once.
    private func tryOne(
        named name: String,
        _ connect: (_ connected: @escaping (IOError?) -> Void) throws(IOError) -> ByteStream
    ) -> IOError? {
        startTimer(sharing: UInt64(candidates.count) + 1)
        attemptName = name
        do throws(IOError) {
            guard LoopClock.now < deadline else { throw .timedOut }
            attempt = try connect { [self] failure in
                if let failure { return failed(failure) }
                guard let stream = attempt else { return }
                attempt = nil
                finish(.success(stream))
            }
            return nil
        } catch {
            attempts.append((attemptName, error))
            return error
        }
    }

    private func failed(_ cause: IOError) {
        attempt?.close()
        attempt = nil
        attempts.append((attemptName, cause))
        tryNext(after: cause)
    }

    private func timedOut() {
        if lookup != nil { return fail(.resolving, .timedOut) }
        if attempt != nil { failed(.timedOut) }
    }

    private func startTimer(sharing parts: UInt64) {
        let now = LoopClock.now
        let left = deadline > now ? deadline - now : 0
        // A started millisecond does not count. libuv adds its own time to a timeout: leave it room.
        timer?.start(after: min(left / parts / 1_000_000 + 1, UInt64.max / 4))
    }

    // MARK: End

    private func fail(_ step: ConnectFailure.Step, _ cause: IOError) {
        finish(.failure(ConnectFailure(step: step, cause: cause, attempts: attempts)))
    }

    private func finish(_ result: Result<ByteStream, ConnectFailure>) {
        let tell = completion
        completion = nil
        cleanUp()
        tell?(result)
    }

    private func cleanUp() {
        timer?.close()
        timer = nil
        lookup?.cancel()
        lookup = nil
        attempt?.close()
        attempt = nil
        candidates = []
    }
}
