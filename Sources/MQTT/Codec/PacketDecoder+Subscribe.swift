extension PacketDecoder {
    /// SUBSCRIBE (section 3.8). Whether a filter is valid is for the server to say, filter by filter.
    func decodeSubscribe(_ body: inout ByteCursor) throws(MQTTError) -> Subscribe {
        let (packetID, properties) = try readHead(.subscribe, &body)
        var requests: [Subscribe.Request] = []
        while !body.isAtEnd {
            try checkFilterCount(requests.count)
            let filter = try body.readString()
            let options = try decodeOptions(try body.readByte())
            guard !options.noLocal || !filter.utf8.starts(with: TopicFilter.sharePrefix) else {
                throw MQTTError(.protocolError, "MQTT-3.8.3-4", "A shared subscription has the No Local option")
            }
            requests.append(.init(filter: filter, options: options))
        }
        guard !requests.isEmpty else {
            throw MQTTError(
                .protocolError,
                "MQTT-3.8.3-2",
                "A SUBSCRIBE holds no topic filter",
                mosquitto: .reason(.malformedPacket)
            )
        }
        return Subscribe(packetID: packetID, requests: requests, properties: properties)
    }

    /// Packet identifier and properties. Mosquitto calls the packet malformed whatever is wrong with them, except for a
    /// property that comes twice.
    private func readHead(
        _ allowed: PropertySet,
        _ body: inout ByteCursor
    ) throws(MQTTError) -> (packetID: UInt16, properties: Properties) {
        do {
            return (try body.readPacketID(), try readProperties(allowed, &body))
        } catch {
            guard error != .repeatedProperty else { throw error }
            throw MQTTError(
                error.reason,
                error.statement,
                error.message,
                mosquitto: .reason(.malformedPacket)
            )
        }
    }

    private func decodeOptions(_ byte: UInt8) throws(MQTTError) -> SubscriptionOptions {
        guard let qos = QoS(rawValue: byte & 0b11) else {
            throw MQTTError(
                .protocolError,
                "3.8.3.1",
                "A subscription asks for QoS 3",
                mosquitto: .reason(.malformedPacket)
            )
        }
        guard version == .v5 else {
            // 3.1 calls the upper bits unused and asks nothing of them.
            guard byte & 0b1111_1100 == 0 || version == .v3_1 else {
                throw MQTTError(.malformedPacket, "MQTT-3.8.3-5", "Reserved bits of the subscription options are set")
            }
            return SubscriptionOptions(qos: qos)
        }
        guard byte & 0b1100_0000 == 0 else {
            throw MQTTError(.malformedPacket, "MQTT-3.8.3-5", "Reserved bits of the subscription options are set")
        }
        guard let retainHandling = RetainHandling(rawValue: byte >> 4 & 0b11) else {
            throw MQTTError(
                .protocolError,
                "3.8.3.1",
                "A subscription asks for retain handling 3",
                mosquitto: .reason(.malformedPacket)
            )
        }
        return SubscriptionOptions(
            qos: qos,
            noLocal: byte & 0b0100 != 0,
            retainAsPublished: byte & 0b1000 != 0,
            retainHandling: retainHandling
        )
    }

    /// UNSUBSCRIBE (section 3.10).
    func decodeUnsubscribe(_ body: inout ByteCursor) throws(MQTTError) -> Unsubscribe {
        let (packetID, properties) = try readHead(.unsubscribe, &body)
        var filters: [String] = []
        while !body.isAtEnd {
            try checkFilterCount(filters.count)
            filters.append(try body.readString())
        }
        guard !filters.isEmpty else {
            throw MQTTError(
                .protocolError,
                "MQTT-3.10.3-2",
                "An UNSUBSCRIBE holds no topic filter",
                mosquitto: .reason(.malformedPacket)
            )
        }
        return Unsubscribe(packetID: packetID, filters: filters, properties: properties)
    }

    private func checkFilterCount(_ count: Int) throws(MQTTError) {
        guard count < limits.maxFilters else {
            throw MQTTError(.quotaExceeded, "3.8.3", "The packet holds more topic filters than the server allows")
        }
    }

    /// SUBACK (section 3.9).
    func decodeSuback(_ body: inout ByteCursor) throws(MQTTError) -> Suback {
        let packetID = try body.readPacketID()
        let properties = try readProperties(.acknowledgement, &body)
        let reasons = try readReasons(&body)
        if version != .v5 {
            guard reasons.allSatisfy({ $0.rawValue <= 2 || $0 == .unspecifiedError }) else {
                throw MQTTError(.protocolError, "MQTT-3.9.3-2", "A SUBACK holds a reserved return code")
            }
        }
        return Suback(packetID: packetID, reasons: reasons, properties: properties)
    }

    /// UNSUBACK (section 3.11).
    func decodeUnsuback(_ body: inout ByteCursor) throws(MQTTError) -> Unsuback {
        let packetID = try body.readPacketID()
        guard version == .v5 else { return Unsuback(packetID: packetID) }
        let properties = try readProperties(.acknowledgement, &body)
        return Unsuback(packetID: packetID, reasons: try readReasons(&body), properties: properties)
    }

    /// At least one reason code, up to the end.
    private func readReasons(_ body: inout ByteCursor) throws(MQTTError) -> [ReasonCode] {
        let count = body.remaining
        guard count > 0 else {
            throw MQTTError(.protocolError, "MQTT-3.8.4-6", "An acknowledgement of a subscription holds no reason code")
        }
        guard count <= limits.maxFilters else {
            throw MQTTError(.quotaExceeded, "3.9.3", "The packet holds more reason codes than allowed")
        }
        var reasons: [ReasonCode] = []
        reasons.reserveCapacity(count)
        while !body.isAtEnd { reasons.append(ReasonCode(rawValue: try body.readByte())) }
        return reasons
    }
}
