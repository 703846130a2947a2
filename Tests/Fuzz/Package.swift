// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer harnesses. They are a package of their own so that neither the instrumentation nor the unsafe flags reach
/// the product. `run.sh` builds and runs them.
/// Each names the products of the causeway package that it reads: what is not there need not be built.
let fuzzers = [
    ("FuzzPackets", ["MQTT"]),
    ("FuzzTopics", ["MQTT"]),
    ("FuzzText", ["MQTT"]),
    ("FuzzCore", ["MQTT", "FuzzedCore"]),
    ("FuzzAccess", ["MQTT", "FuzzedCore", "FuzzedAccess"]),
    ("FuzzConfiguration", ["FuzzedConfiguration"]),
    ("FuzzTransport", ["FuzzedTransport"]),
]

let package = Package(
    name: "fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "causeway", path: "../.."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: fuzzers.map { name, products in
        .executableTarget(
            name: name,
            dependencies: products.map { .product(name: $0, package: "causeway") } + [
                .product(name: "NIOCore", package: "swift-nio")
            ],
            swiftSettings: [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]
        )
    } + [
        .executableTarget(name: "FuzzSeeds", dependencies: [.product(name: "NIOCore", package: "swift-nio")])
    ],
    swiftLanguageModes: [.v6]
)
