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

let package = Package(
    name: "Benchmarks",
    dependencies: [
        // Named, because a path dependency otherwise takes the name of whatever folder the clone is in.
        .package(name: "swift-async-redis", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "bench-client",
            dependencies: [.product(name: "AsyncRedis", package: "swift-async-redis")],
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
