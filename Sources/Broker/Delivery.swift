internal import MQTT
public import NIOCore

/// One PUBLISH to one client, not yet encoded.
public struct Delivery: Sendable {
    let message: Message
    /// Subscription identifiers that go with it (MQTT 5.0).
    let subscriptionIDs: [UInt32]
    let packetID: UInt16
    let qos: QoS
    let isV5: Bool
    let retain: Bool
    let duplicate: Bool
    /// The topic's alias at this client (MQTT 5.0 section 3.3.2.3.4); 0 for none.
    let topicAlias: UInt16
    /// Bytes of the listener's mount point, which the client does not see of the topic. No wider than it need be: of
    /// all that the core makes most are deliveries.
    let mountBytes: UInt16
    /// Whether the client knows the alias, so that the topic need not go along.
    let omitsTopic: Bool
    /// Seconds of life left; 0 if the message has no expiry.
    let expirySecondsLeft: UInt32

    /// About the size on the wire.
    public var byteCount: Int { message.byteCount }

    /// Appends the encoded PUBLISH. Total: it cannot fail.
    public func write(to buffer: inout ByteBuffer) {
        if mountBytes > 0 || isV5 && (!subscriptionIDs.isEmpty || message.expires || topicAlias != 0) {
            writeOwn(to: &buffer)
            return
        }
        if message.isFirstWrite() {
            PacketEncoder.encodePublish(
                topic: message.topic,
                payload: message.payload,
                qos: qos,
                retain: retain,
                duplicate: duplicate,
                packetID: packetID,
                properties: isV5 ? message.properties : [],
                version: isV5 ? .v5 : .v3_1_1,
                into: &buffer
            )
            return
        }
        let encoded = message.encoding(isV5: isV5, withPacketID: qos != .atMostOnce)
        let start = buffer.writerIndex
        encoded.withUnsafeReadableBytes { bytes in
            _ = buffer.writeBytes(bytes)
        }
        // The first byte: type 3, DUP, QoS, retain (section 3.3.1).
        let flags: UInt8 = 0x30 | (duplicate ? 0x08 : 0) | (qos.rawValue << 1) | (retain ? 1 : 0)
        buffer.setInteger(flags, at: start)
        guard qos != .atMostOnce else { return }
        // Fixed header, the topic's length and bytes; then the packet identifier.
        let bytesAfterPacketID =
            encoded.readableBytes &- headerByteCount(encoded) &- 2 &- message.topic.bytes.readableBytes
        buffer.setInteger(packetID, at: start &+ encoded.readableBytes &- bytesAfterPacketID)
    }

    /// Bytes of the fixed header: the first byte and a remaining length of one to four bytes.
    private func headerByteCount(_ encoded: ByteBuffer) -> Int {
        switch encoded.readableBytes {
        case ...129: 2
        case ...16_386: 3
        case ...2_097_155: 4
        default: 5
        }
    }

    /// Topic below the mount point, remaining life, alias and subscription identifiers differ from receiver to receiver
    /// [MQTT-3.3.2-6], [MQTT-3.3.2-7], [MQTT-3.3.4-3]. In Mosquitto's order: identifiers, what the publisher said,
    /// life.
    private func writeOwn(to buffer: inout ByteBuffer) {
        var topic = message.topic
        if mountBytes > 0 { topic.bytes.moveReaderIndex(forwardBy: Int(mountBytes)) }
        if omitsTopic { topic = "" }
        var values: [Property] = []
        if isV5 {
            for identifier in subscriptionIDs { values.append(.subscriptionIdentifier(identifier)) }
            if topicAlias != 0 { values.append(.topicAlias(topicAlias)) }
            for property in message.properties.values {
                if case .messageExpiryInterval = property { continue }
                values.append(property)
            }
            if message.expires { values.append(.messageExpiryInterval(expirySecondsLeft)) }
        }
        PacketEncoder.encodePublish(
            topic: topic,
            payload: message.payload,
            qos: qos,
            retain: retain,
            duplicate: duplicate,
            packetID: packetID,
            properties: Properties(values),
            version: isV5 ? .v5 : .v3_1_1,
            into: &buffer
        )
    }
}
