extension PacketDecoder {
    /// CONNACK (section 3.2).
    func decodeConnack(_ body: inout ByteCursor) throws(MQTTError) -> Connack {
        let flags = try body.readByte()
        let code = try body.readByte()
        // In 3.1 the first byte is unused.
        guard flags & 0xFE == 0 || version == .v3_1 else {
            throw MQTTError(.malformedPacket, "MQTT-3.2.2-1", "Reserved flags of CONNACK are set")
        }
        let sessionPresent = flags & 1 != 0 && version != .v3_1
        guard !sessionPresent || code == 0 else {
            throw MQTTError(.protocolError, "MQTT-3.2.2-6", "A CONNACK refuses and yet has a session")
        }
        guard version != .v5 else {
            let properties = try readProperties(.connack, &body)
            return Connack(
                sessionPresent: sessionPresent,
                reason: ReasonCode(rawValue: code),
                properties: properties
            )
        }
        guard let reason = ReasonCode(connectReturnCode: code) else {
            throw MQTTError(.protocolError, "3.2.2.3", "A CONNACK holds a reserved return code")
        }
        return Connack(sessionPresent: sessionPresent, reason: reason)
    }

    /// PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).
    ///
    /// - Parameter answer: Which of them it is. What a server says is taken as it is.
    func decodeAcknowledgement(
        _ body: inout ByteCursor,
        _ answer: AnswerReasons
    ) throws(MQTTError) -> Acknowledgement {
        let packetID = try body.readPacketID()
        guard !body.isAtEnd else { return Acknowledgement(packetID: packetID) }
        let reason = ReasonCode(rawValue: try body.readByte())
        guard reason == .success || role == .client || answer.known.contains(reason) else {
            throw MQTTError(
                .protocolError,
                answer.statement,
                "An acknowledgement holds a reason code of another packet"
            )
        }
        let properties = body.isAtEnd ? Properties() : try readProperties(.acknowledgement, &body)
        return Acknowledgement(packetID: packetID, reason: reason, properties: properties)
    }

    /// DISCONNECT (section 3.14).
    func decodeDisconnect(_ body: inout ByteCursor) throws(MQTTError) -> Disconnect {
        guard !body.isAtEnd else { return Disconnect() }
        let reason = ReasonCode(rawValue: try body.readByte())
        guard role == .client || ReasonCode.ofDeparture.contains(reason) else {
            throw MQTTError(
                .protocolError,
                "MQTT-3.14.2-1",
                "A DISCONNECT holds a reason code that clients do not have",
                mosquitto: .nothing
            )
        }
        guard !body.isAtEnd else { return Disconnect(reason: reason) }
        var decoder = PropertyDecoder(allowed: .disconnect, maxCount: limits.maxProperties)
        let properties = try decoder.read(&body)
        if role == .client, decoder.saw(.sessionExpiryInterval) {
            throw MQTTError(.protocolError, "MQTT-3.14.2-2", "A server's DISCONNECT holds a session expiry interval")
        }
        if role == .server, decoder.saw(.serverReference) {
            throw MQTTError(
                .protocolError,
                "3.14.2.2.5",
                "A client's DISCONNECT holds a server reference",
                mosquitto: .nothing
            )
        }
        return Disconnect(reason: reason, properties: properties)
    }

    /// AUTH (section 3.15).
    func decodeAuth(_ body: inout ByteCursor) throws(MQTTError) -> Auth {
        guard !body.isAtEnd else { return Auth(reason: .success) }
        let reason = ReasonCode(rawValue: try body.readByte())
        guard [.success, .continueAuthentication, .reauthenticate].contains(reason) else {
            throw MQTTError(.protocolError, "MQTT-3.15.2-1", "An AUTH holds a reason code that AUTH does not have")
        }
        guard reason != .reauthenticate || role == .server else {
            throw MQTTError(.protocolError, "MQTT-3.15.2-1", "Only a client asks to authenticate again")
        }
        var decoder = PropertyDecoder(allowed: .auth, maxCount: limits.maxProperties)
        let properties = body.isAtEnd ? Properties() : try decoder.read(&body)
        guard decoder.saw(.authenticationMethod) else {
            throw MQTTError(.protocolError, "3.15.2.2.2", "An AUTH holds no authentication method")
        }
        return Auth(reason: reason, properties: properties)
    }
}

/// What an acknowledgement may say.
struct AnswerReasons {
    let known: Set<ReasonCode>
    let statement: String

    static let puback = AnswerReasons(known: ofReceipt, statement: "MQTT-3.4.2-1")
    static let pubrec = AnswerReasons(known: ofReceipt, statement: "MQTT-3.5.2-1")
    static let pubrel = AnswerReasons(known: ofRelease, statement: "MQTT-3.6.2-1")
    static let pubcomp = AnswerReasons(known: ofRelease, statement: "MQTT-3.7.2-1")

    /// Sections 3.4.2.1, 3.5.2.1.
    private static let ofReceipt: Set<ReasonCode> = [
        .success, .noMatchingSubscribers, .unspecifiedError, .implementationSpecificError, .notAuthorized,
        .topicNameInvalid, .packetIdentifierInUse, .quotaExceeded, .payloadFormatInvalid,
    ]
    /// Sections 3.6.2.1, 3.7.2.1.
    private static let ofRelease: Set<ReasonCode> = [.success, .packetIdentifierNotFound]
}

extension ReasonCode {
    /// What a client's DISCONNECT may say (section 3.14.2.1).
    fileprivate static let ofDeparture: Set<ReasonCode> = [
        .success, .disconnectWithWill, .unspecifiedError, .malformedPacket, .protocolError,
        .implementationSpecificError, .topicNameInvalid, .receiveMaximumExceeded, .topicAliasInvalid, .packetTooLarge,
        .messageRateTooHigh, .quotaExceeded, .administrativeAction, .payloadFormatInvalid,
    ]
}
