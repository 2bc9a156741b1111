// swift-tools-version: 6.2
import PackageDescription

// A package of its own: what these drivers link never reaches a user of the main package.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// What a driver's author needs of the main package.
let house: [Target.Dependency] = [
    .product(name: "UVLoop", package: "swift-async-redis"),
    .product(name: "AsyncIO", package: "swift-async-redis"),
]

let package = Package(
    name: "IOKinds",
    products: [
        .library(name: "AsyncSQLite", targets: ["AsyncSQLite"]),
        .library(name: "AsyncPostgres", targets: ["AsyncPostgres"]),
        .library(name: "AsyncKafka", targets: ["AsyncKafka"]),
    ],
    dependencies: [
        // Named, because a path dependency otherwise takes the name of whatever folder the clone is in.
        .package(name: "swift-async-redis", path: "../..")
    ],
    targets: [
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .target(name: "IOCalls", dependencies: house, swiftSettings: strict),
        .target(name: "AsyncSQLite", dependencies: house + ["IOCalls", "CSQLite"], swiftSettings: strict),
        .target(
            name: "AsyncPostgres",
            dependencies: house + ["IOCalls", "CPostgres"],
            swiftSettings: strict
        ),
        .target(name: "AsyncKafka", dependencies: house + ["IOCalls", "CKafka"], swiftSettings: strict),
        .target(name: "KafkaMock", dependencies: ["CKafka"], swiftSettings: strict),
        .executableTarget(name: "kafka-mock", dependencies: ["KafkaMock"], swiftSettings: strict),
        // Its Process.swift is the quickstart's, by a link.
        .executableTarget(
            name: "fanout",
            dependencies: [
                .product(name: "AsyncRedis", package: "swift-async-redis"),
                "AsyncSQLite", "AsyncPostgres", "AsyncKafka",
            ],
            swiftSettings: strict
        ),
        // The main package's own, by a link: gates, and how long this machine lets a task wait.
        .target(name: "TestSupport", dependencies: house, path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "IOCallsTests",
            dependencies: house + ["IOCalls", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "AsyncSQLiteTests",
            dependencies: house + ["AsyncSQLite", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "AsyncPostgresTests",
            dependencies: house + ["AsyncPostgres", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "AsyncKafkaTests",
            dependencies: house + ["AsyncKafka", "KafkaMock", "TestSupport"],
            swiftSettings: strict
        ),
    ]
)
