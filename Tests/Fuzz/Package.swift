// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer harnesses. They are a package of their own so that neither the instrumentation nor the unsafe flags reach
/// the product. `run.sh` builds and runs them.
let fuzzers = [
    "FuzzPackets", "FuzzTopics", "FuzzText", "FuzzCore", "FuzzAccess", "FuzzConfiguration", "FuzzTransport",
]

let package = Package(
    name: "fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "causeway", path: "../.."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: fuzzers.map { name in
        .executableTarget(
            name: name,
            dependencies: [
                .product(name: "FuzzedParts", package: "causeway"), .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]
        )
    } + [
        .executableTarget(name: "FuzzSeeds", dependencies: [.product(name: "NIOCore", package: "swift-nio")])
    ],
    swiftLanguageModes: [.v6]
)
