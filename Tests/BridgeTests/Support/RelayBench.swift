import Foundation
import Glibc
import MQTT
import MosquittoFixture
import NIOCore
import Synchronization

@testable import Bridge

/// A relay between two servers that a test plays itself, packet by packet, or between real ones.
final class RelayBench {
    let relay: Relay
    private let box = Box()

    /// What the operator was told.
    var reports: [BridgeReport] { box.reports.withLock { $0 } }

    /// - Parameter localPort: where this side's broker listens.
    init(_ settings: RelaySettings, localPort: UInt16) throws {
        let box = box
        relay = try Relay(
            settings: settings,
            attach: { _ in
                guard let descriptor = connectToLoopback(localPort) else {
                    throw DeadlinePassed(description: "the local broker is away")
                }
                return descriptor
            },
            log: { report in box.reports.withLock { $0.append(report) } }
        )
        try relay.start()
    }

    deinit { relay.stop() }

    private final class Box: Sendable {
        let reports = Mutex<[BridgeReport]>([])
    }
}

extension RelaySettings {
    /// A connection `sample` to a port of this machine that tries again quickly.
    static func sample(
        _ port: UInt16,
        _ topics: [RelayTopic],
        version: ProtocolVersion = .v3_1_1,
        _ change: (inout RelaySettings) -> Void = { _ in }
    ) -> RelaySettings {
        var settings = RelaySettings(
            name: "sample",
            hostName: "host",
            addresses: [.init(host: "127.0.0.1", port: port)],
            topics: topics
        )
        settings.protocolVersion = version
        settings.restart = .constant(milliseconds: 20)
        settings.publishesState = false
        change(&settings)
        return settings
    }
}

/// A server that a test plays, in packets.
final class PacketServer {
    let server: FakeServer
    var version: ProtocolVersion
    /// What came in the last packet, byte by byte.
    private(set) var lastBytes: [UInt8] = []

    init(version: ProtocolVersion) throws {
        server = try FakeServer()
        self.version = version
    }

    var port: UInt16 { server.port }

    /// Takes a client's connection and CONNECT, and answers with success.
    @discardableResult
    func accept(sessionPresent: Bool = false, properties: Properties = []) throws -> Connect {
        try server.accept()
        let connect = try expectConnect()
        send(.connack(Connack(sessionPresent: sessionPresent, properties: properties)))
        return connect
    }

    func expectConnect() throws -> Connect {
        guard let bytes = server.readPacket() else { throw DeadlinePassed(description: "no CONNECT came") }
        lastBytes = bytes
        var decoder = PacketDecoder()
        var buffer = ByteBuffer(bytes: bytes)
        guard case .connect(let connect) = try decoder.next(&buffer) else {
            throw DeadlinePassed(description: "the first packet is no CONNECT")
        }
        return connect
    }

    /// The next packet that is no PINGREQ.
    func next(seconds: Double = 10) throws -> Packet {
        while true {
            guard let bytes = server.readPacket(seconds: seconds) else {
                throw DeadlinePassed(description: "no packet came")
            }
            lastBytes = bytes
            var decoder = PacketDecoder(version: version, role: .server)
            var buffer = ByteBuffer(bytes: bytes)
            guard let packet = try decoder.next(&buffer) else {
                throw DeadlinePassed(description: "half a packet came")
            }
            if packet != .pingreq { return packet }
            send(.pingresp)
        }
    }

    func send(_ packet: Packet) {
        var buffer = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &buffer)
        server.send(Array(buffer.readableBytesView))
    }

    /// Whether nothing comes for a moment.
    func isSilent(seconds: Double = 0.2) -> Bool { !server.isReadable(seconds: seconds) }

    func hangUp() { server.hangUp() }
}

/// A server that stands where the core does: it takes the relay's session and answers what a test does not ask about.
final class CoreSide {
    let packets: PacketServer
    private(set) var connect: Connect?

    init() throws { packets = try PacketServer(version: .v5) }

    var port: UInt16 { packets.port }

    /// Takes the relay's session and its first subscription.
    func accept(sessionPresent: Bool = false, subscribes: Bool = true, properties: Properties = []) throws {
        connect = try packets.accept(sessionPresent: sessionPresent, properties: properties)
        if subscribes { _ = try answerSubscribe() }
    }

    @discardableResult
    func answerSubscribe() throws -> Subscribe {
        guard case .subscribe(let subscribe) = try packets.next() else {
            throw DeadlinePassed(description: "no SUBSCRIBE came")
        }
        let reasons = subscribe.requests.map { ReasonCode(rawValue: $0.options.qos.rawValue) }
        packets.send(.suback(Suback(packetID: subscribe.packetID, reasons: reasons)))
        return subscribe
    }
}

extension Publish {
    static func text(
        _ topic: String,
        _ payload: String = "",
        qos: QoS = .atMostOnce,
        id: UInt16 = 0,
        retain: Bool = false,
        duplicate: Bool = false,
        properties: Properties = []
    ) -> Publish {
        Publish(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
            payload: ByteBuffer(string: payload),
            qos: qos,
            retain: retain,
            duplicate: duplicate,
            packetID: id,
            properties: properties
        )
    }
}

extension Acknowledgement {
    static func id(_ id: UInt16) -> Acknowledgement { Acknowledgement(packetID: id) }
}
