public import NIOCore

/// Cuts a stream of bytes into packets and checks all that the standard says of one packet by itself.
///
/// It holds no bytes: the caller accumulates, and ``next(_:)`` takes whole packets off the front. Payloads and topics
/// are slices of the caller's buffer. A value belongs to one connection, and after the first error it is finished.
/// Statement ids in errors are those of MQTT 5.0, or of 3.1.1 where only that has the rule.
public struct PacketDecoder: Sendable {
    /// Which end of the connection the decoder stands on, and with it which packets it may be sent.
    public enum Role: Sendable, Hashable {
        /// It reads what clients send.
        case server
        /// It reads what a server sends.
        case client
    }

    /// What it accepts at most. May change between packets.
    public var limits: DecoderLimits
    /// Which end it stands on.
    public let role: Role
    /// The version of the connection. On a server it is nil until a CONNECT has said it, and known even where the rest
    /// of that CONNECT is wrong, so that the answer can be written in the client's version.
    public internal(set) var version: ProtocolVersion?

    private var expectsConnect: Bool
    private var failure: MQTTError?
    /// Whether packets may come by ``plainPacket(in:at:)``: CONNECT has come, and nothing was wrong.
    var mayBePlain: Bool { !expectsConnect && failure == nil && version != nil }

    /// Makes a decoder.
    ///
    /// - Parameters:
    ///   - limits: What it accepts at most.
    ///   - version: The version, where it is known. A server that gives none expects CONNECT first and learns it; a
    ///     client that gives none speaks 5.0.
    ///   - role: Which end of the connection it stands on.
    public init(limits: DecoderLimits = .init(), version: ProtocolVersion? = nil, role: Role = .server) {
        self.limits = limits
        self.role = role
        self.version = version ?? (role == .client ? .v5 : nil)
        self.expectsConnect = role == .server && version == nil
    }

    /// Takes the next packet off the front of `buffer`, or returns nil if it is not complete yet.
    ///
    /// The reader index moves past whole packets only. A packet that is wrong in its first bytes, or too large, is
    /// refused without awaiting the rest, and nothing is allocated by its advertised size.
    ///
    /// - Throws: What the peer did wrong; from then on always the same.
    public mutating func next(_ buffer: inout ByteBuffer) throws(MQTTError) -> Packet? {
        if let failure { throw failure }
        do {
            guard let header = try readHeader(buffer) else { return nil }
            let total = header.bodyOffset + header.bodyBytes
            guard buffer.readableBytes >= total else { return nil }
            let packet = try buffer.withUnsafeReadableBytes { bytes throws(MQTTError) in
                var body = ByteCursor(bytes, of: buffer, from: header.bodyOffset, to: total)
                return try decode(header, &body)
            }
            buffer.moveReaderIndex(forwardBy: total)
            return packet
        } catch {
            failure = error
            throw error
        }
    }
}

/// The fixed header (section 2.1).
struct FixedHeader {
    let type: PacketType
    let flags: UInt8
    /// Where the body begins, counted from the first byte.
    let bodyOffset: Int
    /// The remaining length.
    let bodyBytes: Int
}

extension PacketDecoder {
    /// Reads the fixed header and checks what can be checked before the body is there; nil if it is not complete.
    private func readHeader(_ buffer: ByteBuffer) throws(MQTTError) -> FixedHeader? {
        try buffer.withUnsafeReadableBytes { bytes throws(MQTTError) in
            guard let first = bytes.first else { return nil }
            let type = try checkedType(first)
            var bodyBytes = 0
            var offset = 1
            while true {
                guard offset < bytes.count else { return nil }
                let byte = bytes[offset]
                bodyBytes |= Int(byte & 0x7F) << (7 * (offset - 1))
                offset += 1
                if byte < 0x80 {
                    guard byte != 0 || offset == 2 else { throw .badRemainingLength }
                    break
                }
                guard offset < 5 else { throw .badRemainingLength }
            }
            try checkSize(type, bodyBytes: bodyBytes, total: offset + bodyBytes)
            return FixedHeader(type: type, flags: first & 0x0F, bodyOffset: offset, bodyBytes: bodyBytes)
        }
    }

    /// The type of the first byte, if it may come now.
    @inline(__always)
    private func checkedType(_ first: UInt8) throws(MQTTError) -> PacketType {
        guard let type = PacketType(rawValue: first >> 4) else {
            throw MQTTError(
                .malformedPacket,
                "2.1.2",
                "The packet type is 0, which is reserved",
                mosquitto: .reason(.protocolError)
            )
        }
        // Flags of a PUBLISH are looked at with its body.
        if type == .publish, !expectsConnect { return type }
        try checkTurn(type)
        // Those of a CONNECT are looked at when its version is known: 3.1 asks nothing of them.
        if type == .connect { return type }
        // In 3.1 a SUBSCRIBE, UNSUBSCRIBE or PUBREL that is sent again carries the DUP flag.
        let flags = version == .v3_1 ? first & 0b0111 : first & 0b1111
        guard flags == type.flags else {
            throw type == .auth ? .badAuthFlags : .badFlags
        }
        return type
    }

    /// Whether a packet of this type may come at this point from this peer.
    private func checkTurn(_ type: PacketType) throws(MQTTError) {
        if expectsConnect {
            guard type == .connect else {
                throw MQTTError(.protocolError, "MQTT-3.1.0-1", "The first packet is not CONNECT")
            }
            return
        }
        switch (type, role) {
        case (.connect, .server):
            throw MQTTError(.protocolError, "MQTT-3.1.0-2", "A second CONNECT came", mosquitto: .nothing)
        case (.connack, .server), (.suback, .server), (.unsuback, .server), (.pingresp, .server):
            throw MQTTError(.protocolError, "2.1.2", "A packet came that only a server sends")
        case (.connect, .client), (.subscribe, .client), (.unsubscribe, .client), (.pingreq, .client):
            throw MQTTError(.protocolError, "2.1.2", "A packet came that only a client sends")
        case (.auth, _) where version != .v5:
            throw MQTTError(.malformedPacket, "2.1.2", "Packet type 15 is reserved before MQTT 5.0")
        case (.disconnect, .client) where version != .v5:
            throw MQTTError(.protocolError, "2.1.2", "Before MQTT 5.0 only a client sends DISCONNECT")
        default:
            return
        }
    }

    /// Whether a packet of this type may be as long as that.
    @inline(__always)
    private func checkSize(_ type: PacketType, bodyBytes: Int, total: Int) throws(MQTTError) {
        let limit = type == .connect ? min(limits.maxConnectBytes, limits.maxPacketBytes) : limits.maxPacketBytes
        guard total <= limit else {
            throw MQTTError(.packetTooLarge, "MQTT-3.1.2-24", "The packet is larger than allowed")
        }
        switch type {
        case .pingreq, .pingresp:
            guard bodyBytes == 0 else { throw .pingWithBody }
        case .puback, .pubrec, .pubrel, .pubcomp:
            guard bodyBytes >= 2 else { throw .truncated }
            guard bodyBytes == 2 || version == .v5 else { throw .trailingBytes }
        case .disconnect:
            guard bodyBytes == 0 || version == .v5 else { throw .trailingBytes }
        default:
            return
        }
    }

    @inline(__always)
    private mutating func decode(_ header: FixedHeader, _ body: inout ByteCursor) throws(MQTTError) -> Packet {
        if header.type == .publish { return .publish(try decodePublish(header.flags, &body)) }
        let packet = try decodeControl(header.type, header.flags, &body)
        try body.expectEnd()
        return packet
    }

    private mutating func decodeControl(
        _ type: PacketType,
        _ flags: UInt8,
        _ body: inout ByteCursor
    ) throws(MQTTError) -> Packet {
        switch type {
        case .connect:
            let connect = try decodeConnect(flags, &body)
            expectsConnect = false
            return .connect(connect)
        case .connack: return .connack(try decodeConnack(&body))
        case .publish: return .publish(try decodePublish(0, &body))
        case .puback: return .puback(try decodeAcknowledgement(&body, .puback))
        case .pubrec: return .pubrec(try decodeAcknowledgement(&body, .pubrec))
        case .pubrel: return .pubrel(try decodeAcknowledgement(&body, .pubrel))
        case .pubcomp: return .pubcomp(try decodeAcknowledgement(&body, .pubcomp))
        case .subscribe: return .subscribe(try decodeSubscribe(&body))
        case .suback: return .suback(try decodeSuback(&body))
        case .unsubscribe: return .unsubscribe(try decodeUnsubscribe(&body))
        case .unsuback: return .unsuback(try decodeUnsuback(&body))
        case .pingreq: return .pingreq
        case .pingresp: return .pingresp
        case .disconnect: return .disconnect(try decodeDisconnect(&body))
        case .auth: return .auth(try decodeAuth(&body))
        }
    }

    /// Reads properties on 5.0; there are none on 3.1 and 3.1.1.
    func readProperties(_ allowed: PropertySet, _ body: inout ByteCursor) throws(MQTTError) -> Properties {
        guard version == .v5 else { return Properties() }
        var decoder = PropertyDecoder(allowed: allowed, maxCount: limits.maxProperties)
        return try decoder.read(&body)
    }
}
