import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// All simulated devices of the demo, on an event loop of their own.
final class DeviceFleet: Sendable {
    /// What a device shows: its certificate and key, PEM.
    struct Credentials: Sendable {
        var certificatePEM: String
        var keyPEM: String
    }

    let counters = FleetCounters()
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let stopped = Atomic<Bool>(false)

    /// Connects one device after the other; returns when all have tried.
    func start(
        scripts: [any DeviceScript & Sendable],
        credentials: (String) throws -> Credentials,
        authorityPEM: String,
        port: Int,
        speed: Double
    ) async throws {
        let authorities = try NIOSSLCertificate.fromPEMBytes(Array(authorityPEM.utf8))
        for (index, script) in scripts.enumerated() {
            let shown = try credentials(script.name)
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(authorities)
            tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(shown.certificatePEM.utf8)).map {
                .certificate($0)
            }
            tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(shown.keyPEM.utf8), format: .pem))
            let context = try NIOSSLContext(configuration: tls)
            try await connect(script, context, seed: UInt64(index), port: port, speed: speed)
        }
    }

    private func connect(
        _ script: any DeviceScript & Sendable,
        _ tls: NIOSSLContext,
        seed: UInt64,
        port: Int,
        speed: Double
    ) async throws {
        let counters = counters
        _ = try await ClientBootstrap(group: group)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLClientHandler(context: tls, serverHostname: "localhost"),
                        DeviceClient(
                            script: script,
                            seed: seed,
                            speed: speed,
                            counters: counters,
                            isStopped: { self.isStopped }
                        )
                    )
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .get()
    }

    private var isStopped: Bool { stopped.load(ordering: .relaxed) }

    /// The devices fall silent; what is in flight is still acknowledged.
    func fallSilent() { stopped.store(true, ordering: .relaxed) }

    /// Cuts all connections.
    func stop() async {
        fallSilent()
        try? await group.shutdownGracefully()
    }
}
