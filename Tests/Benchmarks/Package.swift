// swift-tools-version: 6.2
import PackageDescription

/// Benchmarks against a running broker. A package of its own without dependencies, so that building it costs seconds.
/// `run.sh` builds it, starts the brokers and prints the table.
let package = Package(
    name: "benchmarks",
    targets: [
        // C on raw sockets: one core has to drive and count more messages than any broker on the other core can pass.
        .executableTarget(name: "broker-load", cSettings: [.unsafeFlags(["-O2", "-Wall", "-Wextra"])])
    ]
)
