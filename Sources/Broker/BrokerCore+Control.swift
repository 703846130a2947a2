import MQTT
public import NIOCore

// `$CONTROL/…`: administration by publish and answer. Such messages are never routed, journalled or retained.
extension BrokerCore {
    /// Takes a PUBLISH to `$CONTROL/…`. It is acknowledged before it is performed: the answer is a message of its own.
    func control(
        _ publish: Publish,
        from session: Session,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        // Never by the short cut of those who may do everything: administration is granted by name.
        guard rights(of: session).mayPublish(publish.topic) else {
            counters.drop(.notAuthorized)
            auditDenial(
                .administrationDenied,
                connection,
                session,
                subject: publish.topic.string,
                now: now,
                effects: &effects
            )
            acknowledge(publish, on: connection, reason: .notAuthorized, effects: &effects)
            return
        }
        if publish.qos == .exactlyOnce {
            session.inboundQoS2.insert(publish.packetID)
            connection.inboundInflight += 1
        }
        let request = ControlRequest(
            identity: session.identity,
            topic: publish.topic.copied(),
            payload: ByteBufferCopy.of(publish.payload)
        )
        acknowledge(publish, on: connection, reason: .success, effects: &effects)
        effects.list.append(.control(connection.id, request))
    }

    /// The answer to ``Effect/control(_:_:)``: a QoS 0 message to the one client that asked, if it is still there and
    /// may receive the topic. It needs no subscription, as in Mosquitto.
    public func reply(
        _ id: ConnectionID,
        topic: String,
        payload: ByteBuffer,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let session = connection(id)?.session, let name = try? TopicName(validating: topic) else { return }
        let message = Message(
            topic: name,
            payload: payload,
            properties: [],
            qos: .atMostOnce,
            retain: false,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: .max,
            origin: .broker,
            publisher: ""
        )
        push(message, to: session, retain: false, [], now: now, effects: &effects)
    }
}

extension TopicName {
    /// Whether it lies below `$CONTROL`.
    var isControl: Bool {
        let prefix: StaticString = "$CONTROL/"
        guard bytes.readableBytes > prefix.utf8CodeUnitCount else { return false }
        return prefix.withUTF8Buffer { bytes.readableBytesView.starts(with: $0) }
    }
}
