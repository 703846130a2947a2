import Foundation
import Glibc
import MQTT
import NIOCore

/// A client of blocking sockets with deadlines, made of the codec alone, so that a test says exactly what goes over the
/// wire.
final class RawClient {
    struct ConnectionClosed: Error {}

    private let descriptor: Int32
    private let version: ProtocolVersion
    private var decoder: PacketDecoder
    private var received = ByteBuffer()

    /// Takes over a connected socket.
    init(descriptor: CInt, version: ProtocolVersion = .v5) {
        self.version = version
        self.descriptor = descriptor
        decoder = PacketDecoder(limits: DecoderLimits(maxPacketBytes: 10_000_000), version: version, role: .client)
        var patience = timeval(tv_sec: 15, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Connects to a Unix socket.
    convenience init(path: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw DeadlinePassed(description: "no socket: errno \(errno)") }
        self.init(descriptor: descriptor)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw DeadlinePassed(description: "cannot connect: errno \(errno)") }
    }

    convenience init(port: Int, version: ProtocolVersion = .v5, receiveBufferBytes: Int32? = nil) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw DeadlinePassed(description: "no socket: errno \(errno)") }
        self.init(descriptor: descriptor, version: version)
        if var bytes = receiveBufferBytes {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw DeadlinePassed(description: "cannot connect: errno \(errno)") }
    }

    deinit { Glibc.close(descriptor) }

    // MARK: - Bytes

    func send(bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw ConnectionClosed() }
            sent += count
        }
    }

    /// Sends what fits without waiting; the number of bytes that did.
    func sendWithoutWaiting(bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes {
            max(0, Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)))
        }
    }

    func encoded(_ packet: Packet) -> [UInt8] {
        var buffer = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &buffer)
        return Array(buffer.readableBytesView)
    }

    func send(_ packet: Packet) throws { try send(bytes: encoded(packet)) }

    /// Reads what is there, at least one byte; nothing at the end.
    func receive(_ countMax: Int = 65_536) throws -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: countMax)
        let count = recv(descriptor, &chunk, countMax, 0)
        guard count >= 0 else {
            guard errno == EAGAIN || errno == EWOULDBLOCK else { return [] }
            throw DeadlinePassed(description: "bytes")
        }
        return Array(chunk[..<count])
    }

    /// Reads exactly so many bytes.
    func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive(count - bytes.count)
            guard !more.isEmpty else { throw ConnectionClosed() }
            bytes += more
        }
        return bytes
    }

    /// Reads to the end.
    func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            guard !more.isEmpty else { return bytes }
            bytes += more
        }
    }

    func shutDownSending() { Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

    // MARK: - Packets

    /// The next packet; throws ``ConnectionClosed`` at the end, or when nothing comes for 15 s.
    func next() throws -> Packet {
        while true {
            if let packet = try decoder.next(&received) { return packet }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else {
                if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
                    throw DeadlinePassed(description: "a packet")
                }
                throw ConnectionClosed()
            }
            received.discardReadBytes()
            received.writeBytes(chunk[..<count])
        }
    }

    /// Reads until the server closes; what came before.
    func untilClosed() throws -> [Packet] {
        var packets: [Packet] = []
        while true {
            do {
                packets.append(try next())
            } catch is ConnectionClosed {
                return packets
            }
        }
    }

    @discardableResult
    func connect(
        _ clientID: String,
        cleanStart: Bool = true,
        username: String? = nil,
        password: String? = nil,
        properties: Properties = []
    ) throws -> Connack {
        try send(
            .connect(
                Connect(
                    version: version,
                    clientID: clientID,
                    cleanStart: cleanStart,
                    username: username,
                    password: password.map { ByteBuffer(string: $0) },
                    properties: properties
                )
            )
        )
        guard case .connack(let connack) = try next() else { throw DeadlinePassed(description: "CONNACK") }
        return connack
    }

    @discardableResult
    func subscribe(_ filter: String, _ qos: QoS = .atMostOnce) throws -> [ReasonCode] {
        try send(
            .subscribe(Subscribe(packetID: 1, requests: [.init(filter: filter, options: .init(qos: qos))]))
        )
        guard case .suback(let suback) = try next() else { throw DeadlinePassed(description: "SUBACK") }
        return suback.reasons
    }

    func publish(_ topic: String, _ payload: String, _ qos: QoS = .atMostOnce, packetID: UInt16 = 0) throws {
        try send(.publish(publication(topic, payload, qos, packetID: packetID)))
    }

    func publication(_ topic: String, _ payload: String, _ qos: QoS = .atMostOnce, packetID: UInt16 = 0) -> Publish {
        Publish(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: topic)),
            payload: ByteBuffer(string: payload),
            qos: qos,
            packetID: packetID
        )
    }

    /// The next PUBLISH; other packets before it are an error.
    func nextPublish() throws -> Publish {
        let packet = try next()
        guard case .publish(let publish) = packet else { throw DeadlinePassed(description: "PUBLISH, not \(packet)") }
        return publish
    }

    /// Whether the server answers a PINGREQ.
    func isAlive() throws -> Bool {
        try send(.pingreq)
        return try next() == .pingresp
    }
}
