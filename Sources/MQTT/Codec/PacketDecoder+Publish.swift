internal import NIOCore

extension PacketDecoder {
    /// PUBLISH (section 3.3). Without properties it allocates nothing: topic and payload are slices.
    func decodePublish(_ flags: UInt8, _ body: inout ByteCursor) throws(MQTTError) -> Publish {
        guard let qos = QoS(rawValue: flags >> 1 & 0b11) else {
            throw MQTTError(.malformedPacket, "MQTT-3.3.1-4", "Both QoS bits of a PUBLISH are set")
        }
        let duplicate = flags & 0b1000 != 0
        guard qos != .atMostOnce || !duplicate else {
            throw MQTTError(.malformedPacket, "MQTT-3.3.1-2", "A PUBLISH of QoS 0 has the DUP flag")
        }
        let topicLength = Int(try body.readUInt16())
        let topicOffset = body.offset
        let topic = TopicName(uncheckedBytes: try body.readSlice(topicLength))
        if topicLength > 0 {
            guard topicLength <= limits.maxTopicBytes else {
                throw MQTTError(.topicNameInvalid, "4.7.3", "The topic name is longer than the server allows")
            }
            let raw = UnsafeRawBufferPointer(rebasing: body.bytes[topicOffset..<(topicOffset + topicLength)])
            if let error = TopicName.firstError(in: raw, maxLevels: limits.maxTopicLevels) { throw error }
        } else if version != .v5 {
            throw .topicIsEmpty
        }
        let packetID = qos == .atMostOnce ? 0 : try body.readPacketID()
        let properties =
            version == .v5 ? try readPublishProperties(&body, topicIsEmpty: topicLength == 0) : Properties()
        return Publish(
            topic: topic,
            payload: try body.readRest(),
            qos: qos,
            retain: flags & 0b0001 != 0,
            duplicate: duplicate,
            packetID: packetID,
            properties: properties
        )
    }

    @inline(__always)
    private func readPublishProperties(
        _ body: inout ByteCursor,
        topicIsEmpty: Bool
    ) throws(MQTTError) -> Properties {
        // Most have none: then there is nothing to set up.
        if !topicIsEmpty, body.skipByte(0) { return Properties() }
        // A subscription identifier goes only to clients [MQTT-3.3.4-6].
        var decoder = PropertyDecoder(
            allowed: .publish,
            maxCount: limits.maxProperties,
            allowsManySubscriptionIdentifiers: role == .client
        )
        let properties = try decoder.read(&body)
        if role == .server, decoder.saw(.subscriptionIdentifier) {
            throw MQTTError(.protocolError, "MQTT-3.3.4-6", "A client's PUBLISH holds a subscription identifier")
        }
        guard !topicIsEmpty || decoder.saw(.topicAlias) else {
            throw MQTTError(
                .protocolError,
                "MQTT-4.7.3-1",
                "There is neither a topic name nor a topic alias",
                mosquitto: .reason(.malformedPacket)
            )
        }
        return properties
    }
}
