import CUV
import Glibc

/// Where a stream connects to.
package enum StreamTarget: Sendable, Hashable, CustomStringConvertible {
    case tcp(host: String, port: UInt16)
    case unix(path: String)

    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}

/// One address of the internet family, version 4 or 6, with its port.
struct SocketAddress: CustomStringConvertible {
    private var storage: sockaddr_storage

    /// An address written in figures, or nil if `host` is a name.
    init?(literal host: String, port: UInt16) {
        storage = sockaddr_storage()
        // `sockaddr_storage` is large and aligned enough for every address family.
        let isLiteral = unsafe withUnsafeMutablePointer(to: &storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                unsafe uv_ip4_addr(host, Int32(port), address) == 0
            }
                || storage.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                    unsafe uv_ip6_addr(host, Int32(port), address) == 0
                }
        }
        guard isLiteral else { return nil }
    }

    /// An address that the resolver found.
    init?(_ info: addrinfo) {
        guard unsafe info.ai_family == AF_INET || info.ai_family == AF_INET6,
            let address = unsafe info.ai_addr
        else {
            return nil
        }
        storage = sockaddr_storage()
        let byteCount = unsafe min(Int(info.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) { target in
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: address, count: byteCount))
        }
    }

    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
        // Every family's address begins as `sockaddr` does; the copy lives until `body` returns.
        unsafe withUnsafePointer(to: storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
        }
    }

    /// The address in figures, for messages.
    var description: String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN) + 1) { text in
            guard let base = text.baseAddress else { return "?" }
            let failed = unsafe withSockaddr { address in
                if unsafe Int32(address.pointee.sa_family) == AF_INET6 {
                    return unsafe address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                        unsafe uv_ip6_name(address, base, text.count)
                    }
                }
                return unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                    unsafe uv_ip4_name(address, base, text.count)
                }
            }
            return unsafe failed == 0 ? String(cString: base) : "?"
        }
    }
}

/// One `uv_getaddrinfo` request: a name looked up on libuv's thread pool, its answer delivered on the loop.
@safe final class AddressLookup: LoopResident {
    private let driver: LoopDriver
    private let request: UnsafeMutablePointer<uv_getaddrinfo_t>
    private var completion: ((Result<[SocketAddress], IOError>) -> Void)?

    /// Starts the lookup.
    ///
    /// `completion` is called once, later, on the loop's thread, unless the lookup is cancelled.
    @discardableResult
    init(
        on driver: LoopDriver,
        host: String,
        port: UInt16,
        completion: @escaping (Result<[SocketAddress], IOError>) -> Void
    ) throws(IOError) {
        guard driver.isOpen else { throw .loopShutDown }
        self.driver = driver
        self.completion = completion
        unsafe request = .allocate(capacity: 1)
        // Released in the request's callback, which libuv always makes once the request has been accepted.
        unsafe request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV
        let result = unsafe uv_getaddrinfo(
            driver.uvLoop,
            request,
            { request, status, answer in
                guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
                let lookup = unsafe Unmanaged<AddressLookup>.fromOpaque(data).takeRetainedValue()
                unsafe lookup.answered(status, answer)
                unsafe request.deallocate()
            },
            host,
            String(port),
            &hints
        )
        guard result == 0 else {
            unsafe Unmanaged.passUnretained(self).release()
            unsafe request.deallocate()
            throw IOError(result)
        }
        driver.moveIn(self)
    }

    private func answered(_ status: Int32, _ answer: UnsafeMutablePointer<addrinfo>?) {
        var addresses: [SocketAddress] = []
        var next = unsafe answer
        while let info = unsafe next?.pointee {
            if let address = unsafe SocketAddress(info) { addresses.append(address) }
            unsafe next = info.ai_next
        }
        unsafe uv_freeaddrinfo(answer)
        if status < 0 {
            finish(.failure(IOError(status)))
        } else {
            finish(addresses.isEmpty ? .failure(.nameNotFound) : .success(addresses))
        }
        driver.moveOut(self)
    }

    private func finish(_ result: Result<[SocketAddress], IOError>) {
        let tell = completion
        completion = nil
        tell?(result)
    }

    /// Forgets the answer.
    ///
    /// The request itself ends when the resolver lets go of it.
    func cancel() {
        completion = nil
        unsafe request.withMemoryRebound(to: uv_req_t.self, capacity: 1) { request in
            _ = unsafe uv_cancel(request)
        }
    }

    func loopWillShutDown() {
        let tell = completion
        cancel()
        tell?(.failure(.loopShutDown))
    }
}
