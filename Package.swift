// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "swift-async-redis",
    products: [
        .library(name: "AsyncRedis", targets: ["AsyncRedis"]),
        .library(name: "RESP", targets: ["RESP"]),
        // For authors of drivers: what they need beyond the public parts is `@_spi(Driver)`. See docs/NEW_KIND.md.
        .library(name: "UVLoop", targets: ["UVLoop"]),
        .library(name: "AsyncIO", targets: ["AsyncIO"]),
    ],
    targets: [
        .systemLibrary(
            name: "CUV",
            pkgConfig: "libuv",
            providers: [.apt(["libuv1-dev"])]
        ),
        .target(name: "RESP", swiftSettings: strict),
        .target(
            name: "UVLoop",
            dependencies: ["CUV"],
            swiftSettings: strict + [.enableExperimentalFeature("BuiltinModule")]
        ),
        .target(name: "AsyncIO", dependencies: ["UVLoop"], swiftSettings: strict),
        .target(name: "AsyncRedis", dependencies: ["RESP", "UVLoop", "AsyncIO"], swiftSettings: strict),
        .executableTarget(name: "resp-dump", dependencies: ["RESP"], swiftSettings: strict),
        .executableTarget(name: "quickstart", dependencies: ["AsyncRedis"], swiftSettings: strict),
        .executableTarget(
            name: "soak",
            dependencies: ["AsyncRedis", "TestSupport"],
            path: "Tests/Soak",
            exclude: ["Faults"],
            swiftSettings: strict
        ),
        .target(
            name: "TestSupport",
            dependencies: ["UVLoop", "AsyncIO"],
            path: "Tests/TestSupport",
            swiftSettings: strict
        ),
        .testTarget(name: "RESPTests", dependencies: ["RESP", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "ResponseDumpTests", dependencies: ["resp-dump"], swiftSettings: strict),
        .testTarget(name: "UVLoopTests", dependencies: ["UVLoop", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "AsyncIOTests",
            dependencies: ["AsyncIO", "UVLoop", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "AsyncRedisTests",
            dependencies: ["AsyncRedis", "AsyncIO", "RESP", "UVLoop", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "AsyncRedisIntegrationTests",
            dependencies: ["AsyncRedis", "AsyncIO", "UVLoop", "TestSupport"],
            swiftSettings: strict
        ),
    ]
)
