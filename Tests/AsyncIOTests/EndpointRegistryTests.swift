@_spi(Driver) import AsyncIO
import Testing

/// What an endpoint has to be to be registered, and what is said of one that is not.
struct EndpointRegistryTests {
    private func spec(
        _ id: String = "follows",
        kind: EndpointKind = .fake,
        host: String = "localhost",
        port: Int = 6379,
        policy: EndpointPolicy = .init()
    ) -> EndpointSpec {
        EndpointSpec(id: id, kind: kind, host: host, port: port, policy: policy)
    }

    private func refuses(
        _ specs: [EndpointSpec],
        _ code: EndpointError.Code,
        _ endpoint: String,
        _ sentence: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: EndpointError.self, sourceLocation: sourceLocation) {
            try EndpointRegistry(specs)
        }
        #expect(error?.code == code, sourceLocation: sourceLocation)
        #expect(error?.endpoint == endpoint, sourceLocation: sourceLocation)
        #expect(error?.description == sentence, sourceLocation: sourceLocation)
    }

    // MARK: Found and not found

    @Test func findsEachEndpointByItsID() throws {
        let specs = [spec("b", port: 1), spec("a", port: 65535), spec("é", host: "::1")]
        let registry = try EndpointRegistry(specs)
        #expect(registry.ids == ["a", "b", "é"])
        for spec in specs {
            #expect(try registry.spec(spec.id) == spec)
            #expect(try registry.spec(spec.id, kind: .fake) == spec)
        }
        #expect(try EndpointRegistry([]).ids == [])
    }

    @Test func anUnknownIDIsAnErrorThatNamesTheKnownOnes() throws {
        let registry = try EndpointRegistry([spec("b"), spec("a")])
        for id in ["c", "", "A", "a "] {
            let error = try #require(throws: EndpointError.self) { try registry.spec(id) }
            #expect(error.code == .unknownID && error.endpoint == id)
            #expect(error.description == "endpoint \"\(id)\" is not registered; registered are: a, b")
            #expect(throws: error) { try registry.spec(id, kind: .fake) }
        }
        let none = #expect(throws: EndpointError.self) { try EndpointRegistry([]).spec("a") }
        #expect(none?.description == "endpoint \"a\" is not registered; no endpoint is")
    }

    @Test func anEndpointOfAnotherKindIsAnErrorThatNamesBoth() throws {
        let registry = try EndpointRegistry([spec("a"), spec("b", kind: EndpointKind("other"))])
        let error = #expect(throws: EndpointError.self) { try registry.spec("b", kind: .fake) }
        #expect(error?.code == .wrongKind && error?.endpoint == "b")
        #expect(error?.description == "endpoint \"b\" is of kind other, not fake")
        #expect(try registry.spec("b", kind: EndpointKind("other")).id == "b")
    }

    // MARK: Refused

    @Test func anIDRegisteredTwiceIsRefused() {
        refuses(
            [spec("a"), spec("b"), spec("a", host: "elsewhere")],
            .duplicateID,
            "a",
            "endpoint \"a\" is registered twice: give each endpoint its own id"
        )
    }

    @Test func anEmptyIDIsRefused() {
        refuses(
            [spec("a"), spec("")],
            .invalidID,
            "",
            "endpoint \"\" is an empty id: give the endpoint a name"
        )
    }

    @Test func anAddressThatIsNoneIsRefused() throws {
        refuses([spec(host: "")], .invalidAddress, "follows", "endpoint \"follows\" has an empty host")
        refuses(
            [spec(host: "local\0host")],
            .invalidAddress,
            "follows",
            "endpoint \"follows\" has a NUL byte in its host"
        )
        refuses(
            [EndpointSpec(id: "unix", kind: .fake, socketPath: "")],
            .invalidAddress,
            "unix",
            "endpoint \"unix\" has an empty socket path"
        )
        refuses(
            [EndpointSpec(id: "unix", kind: .fake, socketPath: "/run\0/x")],
            .invalidAddress,
            "unix",
            "endpoint \"unix\" has a NUL byte in its socket path"
        )
        let unix = EndpointSpec(id: "unix", kind: .fake, socketPath: "/run/redis.sock")
        #expect(try EndpointRegistry([unix]).spec("unix").socketPath == "/run/redis.sock")
    }

    @Test(arguments: [0, 65536, -1, Int.min, Int.max])
    func aPortOutsideItsRangeIsRefused(_ port: Int) {
        refuses(
            [spec("a"), spec("b", port: port)],
            .invalidPort,
            "b",
            "endpoint \"b\" has port \(port): a port is 1 to 65535"
        )
    }

    static let impossible: [(policy: EndpointPolicy, sentence: String)] = [
        (.init(maxInflight: 0), "has maxInflight 0: it is at least 1"),
        (.init(maxInflight: -1), "has maxInflight -1: it is at least 1"),
        (.init(maxWaiting: -1), "has maxWaiting -1: it is at least 0"),
        (.init(maxQueuedBytes: 0), "has maxQueuedBytes 0: it is at least 1"),
        (.init(connectTimeout: .zero), "has a timeout that is not above zero"),
        (.init(connectTimeout: .seconds(-1)), "has a timeout that is not above zero"),
        (.init(commandTimeout: .zero), "has a timeout that is not above zero"),
        (.init(commandTimeout: .nanoseconds(-1)), "has a timeout that is not above zero"),
        (.init(livenessTimeout: .zero), "has a timeout that is not above zero"),
        (.init(idleProbeInterval: .zero), "has a timeout that is not above zero"),
    ]

    @Test(arguments: impossible)
    func aPolicyThatCannotBeIsRefused(_ policy: EndpointPolicy, _ sentence: String) {
        refuses([spec(policy: policy)], .invalidPolicy, "follows", "endpoint \"follows\" \(sentence)")
    }

    @Test func theSmallestPolicyThatCanBeIsAccepted() throws {
        let policy = EndpointPolicy(
            maxInflight: 1,
            maxWaiting: 0,
            maxQueuedBytes: 1,
            connectTimeout: .nanoseconds(1),
            commandTimeout: .nanoseconds(1),
            livenessTimeout: .nanoseconds(1),
            idleProbeInterval: .nanoseconds(1)
        )
        #expect(try EndpointRegistry([spec(policy: policy)]).spec("follows").policy == policy)
    }

    @Test func eachMistakeHasItsOwnCode() {
        let codes: [EndpointError.Code] = [
            .invalidID, .duplicateID, .invalidAddress, .invalidPort, .invalidPolicy, .unknownID, .wrongKind,
            .invalidSetting, .clientsClosed,
        ]
        #expect(Set(codes).count == codes.count)
        #expect(Set(codes.map(\.description)).count == codes.count)
    }

    // MARK: Secrets

    @Test(arguments: [nil, "ada"])
    func aPasswordIsNeverShown(_ username: String?) throws {
        let credentials = EndpointCredentials(username: username, password: "hunter2")
        var endpoint = EndpointSpec(id: "a", kind: .fake, host: "h", port: 1, credentials: credentials)
        try hides("hunter2", credentials)
        try hides("hunter2", Optional(credentials))
        try hides("hunter2", endpoint)
        try hides("hunter2", [endpoint])
        try hides("hunter2", EndpointRegistry([endpoint]))
        endpoint.port = 0
        try hides("hunter2", #require(throws: EndpointError.self) { try endpoint.validate() })
        #expect("\(credentials)".contains(username ?? "default user"))
        #expect(credentials.password == "hunter2")
    }

    private func hides(_ secret: String, _ value: some Any) throws {
        var dumped = ""
        dump(value, to: &dumped)
        for text in ["\(value)", String(describing: value), String(reflecting: value), dumped] {
            #expect(!text.isEmpty)
            #expect(!text.contains(secret))
        }
    }
}
