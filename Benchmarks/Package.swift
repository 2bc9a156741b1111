// swift-tools-version: 6.2
import PackageDescription

// A package of its own: what a benchmark is compared with never becomes a dependency of the library.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

// Other clients are fetched only for those who compare with them.
let withSwiftClients = TargetDependencyCondition.when(traits: ["SwiftClients"])

let package = Package(
    name: "Benchmarks",
    traits: [
        .trait(
            name: "SwiftClients",
            description: "bench-client measures other Redis clients written in Swift, too."
        )
    ],
    dependencies: [
        // Named, because a path dependency otherwise takes the name of whatever folder the clone is in.
        .package(name: "swift-async-redis", path: ".."),
        .package(url: "https://github.com/valkey-io/valkey-swift.git", from: "1.4.0"),
        .package(url: "https://github.com/swift-server/RediStack.git", from: "1.6.3"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.93.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.6.3"),
    ],
    targets: [
        .executableTarget(
            name: "bench-client",
            dependencies: [
                .product(name: "AsyncRedis", package: "swift-async-redis"),
                .product(name: "Valkey", package: "valkey-swift", condition: withSwiftClients),
                .product(name: "RediStack", package: "RediStack", condition: withSwiftClients),
                .product(name: "NIOCore", package: "swift-nio", condition: withSwiftClients),
                .product(name: "NIOPosix", package: "swift-nio", condition: withSwiftClients),
                .product(name: "Logging", package: "swift-log", condition: withSwiftClients),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "bench-footprint",
            dependencies: [.product(name: "AsyncRedis", package: "swift-async-redis")],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "bench-decoder",
            dependencies: [.product(name: "RESP", package: "swift-async-redis")],
            swiftSettings: strict
        ),
    ]
)
