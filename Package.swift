// swift-tools-version: 6.1
// The package: Server -> Gather -> Engine -> CKernels, CLua, CZstd, CLinux, Gather -> Coordination, and their tests.
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "cacheismo",
    products: [.executable(name: "cacheismo", targets: ["Server"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    ],
    targets: [
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CLinux"),
        .target(name: "CKernels"),
        .target(name: "CLua", linkerSettings: [.linkedLibrary("lua5.4")]),
        .target(
            name: "Engine",
            dependencies: [
                "CKernels", "CLua", "CZstd", "CLinux",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            // The built-in object types are part of the binary: nothing to find at run time.
            resources: [
                .embedInCode("Objects/Types"), .embedInCode("Objects/prelude.lua"), .embedInCode("Objects/testing.lua"),
                .embedInCode("LowLevel/lowlevel.lua"),
            ],
            swiftSettings: strict),
        // What nodes decide about each other: nothing that it imports has a clock, a thread, a socket or chance in it.
        .target(
            name: "Coordination",
            dependencies: [.product(name: "Crypto", package: "swift-crypto")],
            path: "Sources/Gather/Coordination", swiftSettings: strict),
        .target(
            name: "Gather",
            dependencies: [
                "Engine", "Coordination", "CKernels",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Coordination"],
            swiftSettings: strict),
        .executableTarget(
            name: "Server",
            dependencies: [
                "Engine", "Gather", "Coordination", "CLinux",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
            ],
            // The page and the description of the interface are part of the binary.
            resources: [.embedInCode("Page"), .embedInCode("HTTP/openapi.json")],
            swiftSettings: strict),
        .executableTarget(
            name: "Replay", dependencies: ["Engine"], path: "Benchmarks/Replay", swiftSettings: strict),
        .executableTarget(
            name: "Scaling", dependencies: ["Engine", "CLinux"], path: "Benchmarks/Scaling", swiftSettings: strict),
        // Whole clusters in one process, on a clock and a network of their own (`make simulate`).
        .executableTarget(
            name: "Simulation",
            dependencies: [
                "Engine", "Gather", "Coordination", "CLinux",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Simulation",
            // They belong to the transport, which has sockets.
            exclude: ["Memcached/MemcachedConnection.swift", "Memcached/MemcachedListener.swift"],
            swiftSettings: strict),
        .testTarget(
            name: "EngineTests", dependencies: ["Engine", "CKernels", "CLinux"], swiftSettings: strict),
        .testTarget(
            name: "GatherTests",
            dependencies: [
                "Gather", "Engine", "Coordination",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(name: "CAllocations", path: "Tests/CAllocations"),
        .testTarget(
            name: "ServerTests",
            dependencies: [
                "Server", "Gather", "Engine", "Coordination", "CAllocations",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(name: "EndToEndTests", dependencies: ["Server"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

// Fuzzers, on demand only (`make fuzz`): they want a compiler's sanitizers, and a main of their own.
if Context.environment["CACHEISMO_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "Engine", "Gather", "Coordination", "CLinux",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/Fuzz/Sources",
            // They belong to the transport, which has sockets.
            exclude: ["Memcached/MemcachedConnection.swift", "Memcached/MemcachedListener.swift"],
            swiftSettings: strict + [.define("FUZZING")]))
}
