public import NIOCore

/// Where things are in an encoded PUBLISH, counted from its first byte.
public struct PublishLayout: Hashable, Sendable {
    /// The length of the whole packet.
    public let byteCount: Int
    /// The offset of the two bytes of the packet identifier, or nil with QoS 0.
    public let packetIDOffset: Int?
    /// The remaining length.
    let bodyBytes: Int
}

extension PacketEncoder {
    /// Appends a PUBLISH to `buffer`: the fast path for deliveries, without a ``Packet`` in between.
    ///
    /// Whoever sends the same message to many encodes it once, then copies the bytes and patches the packet identifier
    /// at the layout's offset with ``patch(packetID:at:in:)``.
    ///
    /// - Returns: Where things are, or nil if the packet is too large for MQTT; then nothing was written.
    @discardableResult
    public static func encodePublish(
        topic: TopicName,
        payload: ByteBuffer,
        qos: QoS,
        retain: Bool,
        duplicate: Bool = false,
        packetID: UInt16,
        properties: Properties = [],
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) -> PublishLayout? {
        let layout = publishLayout(
            topicBytes: topic.bytes.readableBytes,
            payloadBytes: payload.readableBytes,
            qos: qos,
            properties: properties,
            version: version
        )
        guard let layout else { return nil }
        let firstByte = publishFirstByte(qos: qos, retain: retain, duplicate: duplicate)
        _ = write(firstByte: firstByte, bodyBytes: layout.bodyBytes, into: &buffer) { writer in
            writer.writeField(topic.bytes)
            if qos != .atMostOnce { writer.write(packetID) }
            properties.write(version, to: &writer)
            writer.write(payload)
        }
        return layout
    }

    /// How long a PUBLISH is and where its packet identifier is, without encoding it; nil if it is too large for MQTT.
    public static func publishLayout(
        topicBytes: Int,
        payloadBytes: Int,
        qos: QoS,
        properties: Properties = [],
        version: ProtocolVersion
    ) -> PublishLayout? {
        let topicField = 2 + FieldSize.clamped(topicBytes)
        let packetIDBytes = qos == .atMostOnce ? 0 : 2
        let bodyBytes = topicField + packetIDBytes + properties.wireBytes(version) + payloadBytes
        guard bodyBytes <= FieldSize.variableIntegerMax else { return nil }
        let headerBytes = 1 + FieldSize.variableInteger(bodyBytes)
        return PublishLayout(
            byteCount: headerBytes + bodyBytes,
            packetIDOffset: qos == .atMostOnce ? nil : headerBytes + topicField,
            bodyBytes: bodyBytes
        )
    }

    /// The first byte of a PUBLISH: its type and flags (section 3.3.1).
    @inlinable
    public static func publishFirstByte(qos: QoS, retain: Bool, duplicate: Bool) -> UInt8 {
        0x30 | (duplicate ? 0b1000 : 0) | qos.rawValue << 1 | (retain ? 0b0001 : 0)
    }

    /// Overwrites the packet identifier of an encoded PUBLISH; `index` is the packet's first byte plus the layout's
    /// ``PublishLayout/packetIDOffset``.
    @inlinable
    public static func patch(packetID: UInt16, at index: Int, in buffer: inout ByteBuffer) {
        buffer.setInteger(packetID, at: index)
    }

    static func encode(_ publish: Publish, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        let layout = encodePublish(
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            duplicate: publish.duplicate,
            packetID: publish.packetID,
            properties: publish.properties,
            version: version,
            into: &buffer
        )
        return layout != nil
    }
}
