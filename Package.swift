// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// For the two targets that every message passes through: the release build does not ask at run time whether two accesses
/// to one property overlap. Debug builds, and so all tests, do (ADR 0015).
let hot: [SwiftSetting] = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let deques = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let jwtKit = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "causeway",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "causeway", targets: ["causeway"]),
        .library(name: "HandlerKit", targets: ["HandlerKit"]),
        .library(name: "MQTT", targets: ["MQTT"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // C: header shims, a checksum, and an answer to an assertion of libmosquitto (ADR 0014).
        .systemLibrary(name: "CMosquitto", pkgConfig: "libmosquitto", providers: [.apt(["libmosquitto-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(name: "CCRC32C"),
        .target(name: "CMosquittoGuard", linkerSettings: [.linkedLibrary("gcc_s")]),
        // Pure.
        .target(name: "MQTT", dependencies: [nioCore], swiftSettings: strict),
        // Sans-IO.
        .target(name: "Broker", dependencies: ["MQTT", nioCore, deques], swiftSettings: hot),
        .target(name: "HandlerKit", swiftSettings: strict),
        // I/O.
        .target(name: "Journal", dependencies: ["CCRC32C", crypto], swiftSettings: strict),
        .target(name: "Audit", dependencies: [crypto], swiftSettings: strict),
        .target(
            name: "SiteServer",
            dependencies: [
                "Broker", "Journal", "MQTT", nioCore, nioPosix, nioTLS, nioSSL, logging, crypto, cryptoExtras, x509,
                asn1,
            ],
            swiftSettings: hot
        ),
        .target(
            name: "Access",
            dependencies: ["Broker", "MQTT", nioCore, nioPosix, crypto, cryptoExtras, jwtKit],
            swiftSettings: strict
        ),
        .target(
            name: "MosquittoClient",
            dependencies: ["CMosquitto", "CMosquittoGuard", "COpenSSL"],
            swiftSettings: strict
        ),
        .target(
            name: "HandlerRuntime",
            dependencies: ["HandlerKit", "Broker", "Journal", "MQTT", nioCore, logging],
            swiftSettings: strict
        ),
        // Product.
        .target(name: "SiteHandlers", dependencies: ["HandlerKit", crypto], swiftSettings: strict),
        .target(
            name: "Bridge",
            dependencies: ["MosquittoClient", "Journal", "Broker", "MQTT", nioCore, deques, crypto, logging],
            swiftSettings: strict
        ),
        .target(name: "Cloud", dependencies: ["MosquittoClient", grdb, logging], swiftSettings: strict),
        .target(
            name: "Console",
            dependencies: [hummingbird, hummingbirdCore, lifecycle, logging, nioCore, nioPosix],
            swiftSettings: strict
        ),
        // Not "Configuration": swift-configuration, which Hummingbird brings, has a target of that name.
        .target(
            name: "CausewayConfiguration",
            dependencies: [yams],
            path: "Sources/Configuration",
            swiftSettings: strict
        ),
        .target(name: "CertificateAuthority", dependencies: [x509, asn1, crypto], swiftSettings: strict),
        .target(
            name: "Bench",
            dependencies: ["MQTT", nioCore, nioPosix, nioSSL, histogram],
            swiftSettings: strict
        ),
        // Top: the only place that wires concrete types.
        .executableTarget(
            name: "causeway",
            dependencies: [
                "MQTT", "Broker", "HandlerKit", "Journal", "Audit", "Access", "SiteServer", "MosquittoClient",
                "HandlerRuntime",
                "SiteHandlers", "Bridge", "Cloud", "Console", "CausewayConfiguration", "CertificateAuthority", "Bench",
                "CLinux", arguments, crypto, logging, nioCore, nioPosix, nioSSL,
            ],
            resources: [.copy("Demo/Data")],
            swiftSettings: strict
        ),
        // Tests mirror targets.
        .target(name: "Repeatable", path: "Tests/Repeatable", swiftSettings: strict),
        .target(
            name: "TestSupport",
            dependencies: ["Journal", "Repeatable"],
            path: "Tests/Support",
            swiftSettings: strict
        ),
        .target(name: "MosquittoFixture", path: "Tests/MosquittoFixture", swiftSettings: strict),
        .testTarget(name: "MQTTTests", dependencies: ["Repeatable", "MQTT", nioCore], swiftSettings: strict),
        .testTarget(
            name: "BrokerTests",
            dependencies: ["Repeatable", "Broker", "MQTT", nioCore],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HandlerKitTests",
            dependencies: ["Repeatable", "HandlerKit", crypto],
            swiftSettings: strict
        ),
        .testTarget(
            name: "JournalTests",
            dependencies: ["Repeatable", "Journal", "CCRC32C", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(name: "AuditTests", dependencies: ["Repeatable", "Audit"], swiftSettings: strict),
        .testTarget(
            name: "AccessTests",
            dependencies: ["Repeatable", "Access", "Broker", "MQTT", nioCore, crypto, jwtKit],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SiteServerTests",
            dependencies: [
                "Repeatable", "SiteServer", "Access", "Broker", "Journal", "MQTT", nioCore, nioPosix, logging,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MosquittoClientTests",
            dependencies: ["Repeatable", "MosquittoClient", "CMosquitto", "MosquittoFixture", "TestSupport"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "HandlerRuntimeTests",
            dependencies: [
                "Repeatable", "HandlerRuntime", "HandlerKit", "Journal", "Broker", "MQTT", nioCore, logging,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "SiteHandlersTests",
            dependencies: ["Repeatable", "SiteHandlers", "HandlerKit", crypto],
            swiftSettings: strict
        ),
        .testTarget(
            name: "BridgeTests",
            dependencies: [
                "Bridge", "MosquittoClient", "MosquittoFixture", "Journal", "Broker", "MQTT", "TestSupport", nioCore,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "CloudTests",
            dependencies: ["Repeatable", "Cloud", "MosquittoClient", "MosquittoFixture", grdb, logging],
            swiftSettings: strict
        ),
        .testTarget(name: "ConsoleTests", dependencies: ["Console", logging], swiftSettings: strict),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: ["Repeatable", "CausewayConfiguration"],
            swiftSettings: strict
        ),
        .testTarget(name: "CertificateAuthorityTests", dependencies: ["CertificateAuthority"], swiftSettings: strict),
        .testTarget(
            name: "CausewayTests",
            dependencies: ["causeway", "Broker", "SiteServer", logging],
            swiftSettings: strict
        ),
        .testTarget(name: "TidyTests", swiftSettings: strict),
        .testTarget(name: "BenchTests", dependencies: ["Bench", "MQTT", nioCore], swiftSettings: strict),
        // Counts what the hot paths allocate, with an allocator that counts: an executable, so that it stands in front
        // of nobody else's.
        .target(name: "AllocationCount", path: "Tests/AllocationCount"),
        .executableTarget(
            name: "hot-paths",
            dependencies: ["AllocationCount", "Broker", "MQTT", nioCore],
            path: "Tests/HotPaths",
            exclude: ["allocations.json"],
            swiftSettings: strict
        ),
    ],
    swiftLanguageModes: [.v6]
)
