// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer harnesses; `run.sh` builds and runs them.
///
/// They are a package of their own so that neither the instrumentation nor the unsafe flags reach the product.
/// `Modules` links to its sources, of which each harness compiles what it reads and no more: only that is instrumented,
/// and so a fuzzer builds in a minute and spends its time and its counters on our code.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
// Bodies look at internals, as tests do.
let instrumented = strict + [.unsafeFlags(["-sanitize=fuzzer", "-enable-testing"])]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let deques = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

func module(
    _ name: String,
    _ dependencies: [Target.Dependency],
    without excluded: [String] = []
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Modules/\(name)",
        exclude: excluded,
        swiftSettings: instrumented
    )
}

func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies + ["FuzzMain"],
        swiftSettings: [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
        linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]
    )
}

let package = Package(
    name: "fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        module("MQTT", [nioCore]),
        module("Broker", ["MQTT", nioCore, deques]),
        module("CausewayConfiguration", [yams]),
        // What needs no JWT, no TLS and no sockets.
        module(
            "Access",
            ["Broker", "MQTT", nioCore, nioPosix, crypto, cryptoExtras],
            without: ["Door", "DynamicSecurity", "Tokens"]
        ),
        // What comes before MQTT, and no TLS.
        module("SiteServer", ["Broker", "MQTT", nioCore]),
        .target(name: "Repeatable", path: "Modules/Repeatable"),
        fuzzer("FuzzPackets", ["MQTT", nioCore]),
        fuzzer("FuzzTopics", ["MQTT", nioCore]),
        fuzzer("FuzzText", ["MQTT", nioCore]),
        fuzzer("FuzzCore", ["Broker", "MQTT", "Repeatable", nioCore]),
        fuzzer("FuzzAccess", ["Access", "Broker", "MQTT", nioCore]),
        fuzzer("FuzzConfiguration", ["CausewayConfiguration", "Repeatable"]),
        fuzzer("FuzzTransport", ["SiteServer", nioCore]),
        .target(name: "FuzzMain"),
        .executableTarget(name: "FuzzSeeds", dependencies: [nioCore]),
    ],
    swiftLanguageModes: [.v6]
)
