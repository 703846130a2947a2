import Foundation
import MosquittoClient
import Synchronization

/// A dashboard on the site: subscribes to what handlers decide, and keeps a few decisions to tell.
final class DemoWitness: Sendable {
    private static let keptMax = 400

    private let kept = Mutex<[(topic: String, payload: [UInt8])]>([])
    private let connection: Mutex<MosquittoConnection?> = Mutex(nil)

    func start(port: Int, folder: String) throws {
        var configuration = MosquittoConfiguration(
            host: "localhost",
            port: UInt16(clamping: port),
            clientID: DemoWorkspace.witness
        )
        configuration.tls = try MosquittoTLSContext(
            options: MosquittoTLSOptions(
                cafile: folder + "/ca.pem",
                certfile: folder + "/witness.pem",
                keyfile: folder + "/witness.key"
            ),
            host: "localhost"
        )
        let made = try MosquittoConnection(configuration: configuration) { [weak self] event in
            self?.received(event)
        }
        connection.withLock { $0 = made }
        try made.start()
    }

    private func received(_ event: MosquittoEvent) {
        switch event {
        case .connected:
            // Should it fail, the connection is gone, and the demo ends without words but with its proof.
            _ = try? connection.withLock { $0 }?.subscribe(["hnd/#"], qos: 1)
        case .message(let message):
            kept.withLock { if $0.count < Self.keptMax { $0.append((message.topic, message.payload)) } }
        default: break
        }
    }

    func stop() { connection.withLock { $0 }?.stop() }

    /// A few decisions in words, of each kind some.
    func decisions(_ perKind: Int) -> [String] {
        var coupons: [String] = []
        var proposals: [String] = []
        for (topic, payload) in kept.withLock({ $0 }) {
            guard let object = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any] else {
                continue
            }
            if topic.hasSuffix("/coupon"), coupons.count < perKind {
                coupons.append(
                    "coupon \(object["couponId"] ?? "?") for customer \(object["customer"] ?? "?"): "
                        + "\(object["offer"] ?? "?"), valid until \(object["expires"] ?? "?")"
                )
            } else if topic.hasSuffix("/proposal"), proposals.count < perKind {
                let rate = (object["rate"] as? [String: Any])?["value"] ?? object["rate"] ?? "?"
                proposals.append(
                    "bed \(topic.split(separator: "/").dropFirst(2).first ?? "?"): basal \(rate) U/h, \(object["reason"] ?? "")"
                )
            }
        }
        return coupons + proposals
    }
}
