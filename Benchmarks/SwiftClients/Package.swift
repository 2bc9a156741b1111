// swift-tools-version: 6.2
import PackageDescription

// bench-client once more, built with other Redis clients. A package of its own: whoever does not compare with them fetches none of
// them, not even for a moment.
let package = Package(
    name: "SwiftClients",
    dependencies: [
        // Named, because a path dependency otherwise takes the name of whatever folder the clone is in.
        .package(name: "swift-async-redis", path: "../.."),
        // What is measured is one version. Without its default traits, of which one traces every command.
        .package(url: "https://github.com/valkey-io/valkey-swift.git", exact: "1.4.0", traits: []),
        .package(url: "https://github.com/swift-server/RediStack.git", exact: "1.6.3"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.93.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.6.3"),
    ],
    targets: [
        .executableTarget(
            name: "bench-client",
            dependencies: [
                .product(name: "AsyncRedis", package: "swift-async-redis"),
                .product(name: "Valkey", package: "valkey-swift"),
                .product(name: "RediStack", package: "RediStack"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: [
                .define("SwiftClients"),
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ]
        )
    ]
)
