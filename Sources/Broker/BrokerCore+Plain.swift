public import MQTT
public import NIOCore

// The short way of plain messages: from the bytes that came to the bytes that go, without a packet or a message made of
// them. Most messages are such; whatever needs more than a look takes the long way, which decides everything here as
// well.
extension BrokerCore {
    /// Packets beyond this take the long way, which copies a payload once for each client instead of twice.
    static let plainPacketBytesMax = 4 << 10

    /// Takes all whole packets off the front of what came from a client, up to its DISCONNECT.
    ///
    /// The same as decoding them one by one and handing each to ``received(_:_:now:effects:)``.
    ///
    /// - Throws: What the peer did wrong; call ``violated(_:error:now:effects:)`` with it.
    public func received(
        _ id: ConnectionID,
        bytes: inout ByteBuffer,
        decoder: inout PacketDecoder,
        now: BrokerTime,
        effects: inout Effects
    ) throws(MQTTError) {
        while true {
            if let connection = connection(id), connection.state == .connected, let session = connection.session {
                let taken = bytes.withUnsafeReadableBytes { bytes in
                    takePlain(bytes, decoder, from: session, on: connection, now: now, effects: &effects)
                }
                if taken > 0 {
                    connection.lastReceivedNanoseconds = now.monotonicNanoseconds
                    bytes.moveReaderIndex(forwardBy: taken)
                }
            }
            guard let packet = try decoder.next(&bytes) else { return }
            received(id, packet, now: now, effects: &effects)
            if case .disconnect = packet { return }
        }
    }

    /// Takes plain packets as far as there are any; gives how many bytes they were.
    private func takePlain(
        _ bytes: UnsafeRawBufferPointer,
        _ decoder: PacketDecoder,
        from session: Session,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) -> Int {
        var taken = 0
        // Most clients publish to one topic: its routes are looked up once.
        var previous: (topic: Range<Int>, list: RouteList)?
        var age = knownRoutes.age
        while connection.state == .connected,
            let packet = decoder.plainPacket(in: bytes, at: taken, previous: previous?.topic)
        {
            switch packet {
            case .publish(let publish):
                guard publish.byteCount <= Self.plainPacketBytesMax else { return taken }
                if !publish.hasSameTopic || previous == nil || age != knownRoutes.age {
                    age = knownRoutes.age
                    let topic = UnsafeRawBufferPointer(rebasing: bytes[publish.topic])
                    guard let list = knownRoutes.list(topic) else { return taken }
                    previous = (publish.topic, list)
                }
                guard let list = previous?.list, mayTakePlain(publish, list, from: session, on: connection) else {
                    return taken
                }
                distribute(publish, of: bytes, to: list, from: session, on: connection, now: now, effects: &effects)
                taken = publish.end
            case .puback(let packetID, let start):
                counters.packetsReceived &+= 1
                handlePuback(packetID, of: session, on: connection, now: now, effects: &effects)
                taken = start &+ 4
            }
        }
        return taken
    }

    /// Whether nothing has to be done with the message but to hand it to whoever is there.
    private func mayTakePlain(
        _ publish: PlainPublish,
        _ list: RouteList,
        from session: Session,
        on connection: Connection
    ) -> Bool {
        guard list.isPlain, !connection.grants.restrictsPublish, !keepsQoS0,
            publish.payloadBytes <= configuration.payloadBytesMax
        else { return false }
        if publish.qos != .atMostOnce {
            guard !list.hasPersistentSession else { return false }
            guard !connection.isV5 || connection.inboundInflight < connection.grants.receiveMaximum else {
                return false
            }
        }
        return isUnrestricted(session) || rights(of: session).mayPublish(list.topic)
    }

    private func distribute(
        _ publish: PlainPublish,
        of bytes: UnsafeRawBufferPointer,
        to list: RouteList,
        from sender: Session,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        counters.received(payloadBytes: publish.payloadBytes)
        if publish.qos != .atMostOnce {
            let isMatched = !connection.isV5 || !list.routes.isEmpty
            let reason = isMatched ? ReasonCode.success : .noMatchingSubscribers
            effects.list.append(.acknowledge(connection.id, .puback, packetID: publish.packetID, reason: reason))
        }
        var layouts = PlainLayouts(publish, of: bytes, isV5: connection.isV5)
        var message: Message?
        let routes = list.routes
        for index in routes.indices {
            let receiver = routes[index].session
            if routes[index].noLocal && receiver === sender { continue }
            let isGiven = give(
                publish,
                &layouts,
                to: receiver,
                grantedQoS: routes[index].qos,
                hasIdentifiers: !routes[index].subscriptionIDs.isEmpty,
                list,
                effects: &effects
            )
            if isGiven { continue }
            let made = message ?? makeMessage(publish, of: bytes, list.topic, from: sender, now: now)
            message = made
            deliver(made, by: routes[index], now: now, effects: &effects)
        }
    }

    /// Gives a message to one client, or to nobody if the client is not there; false if it needs the long way.
    @inline(__always)
    private func give(
        _ publish: PlainPublish,
        _ layouts: inout PlainLayouts,
        to session: Session,
        grantedQoS: QoS,
        hasIdentifiers: Bool,
        _ list: RouteList,
        effects: inout Effects
    ) -> Bool {
        guard let receiver = session.connection, receiver.takesPlainPackets else { return false }
        guard !receiver.isV5 || !hasIdentifiers else { return false }
        if publish.qos == .atMostOnce || grantedQoS == .atMostOnce {
            guard mayReceive(session, list.topic) else { return true }
            guard receiver.isWritable else {
                counters.drop(.slowConsumer)
                return true
            }
            effects.write(layouts.packet(isV5: receiver.isV5, &effects.encoded), to: receiver.id)
        } else {
            // A session that outlives its connection keeps the message until it is acknowledged.
            guard !session.isPersistent, canSendAtOnce(session) else { return false }
            guard mayReceive(session, list.topic) else { return true }
            let packetID = session.inflight.insert(plainPayloadBytes: publish.payloadBytes)
            effects.write(layouts.packet(isV5: receiver.isV5, packetID, &effects.encoded), to: receiver.id)
        }
        counters.sent(payloadBytes: publish.payloadBytes)
        return true
    }

    /// The message, for whoever has to keep it.
    private func makeMessage(
        _ publish: PlainPublish,
        of bytes: UnsafeRawBufferPointer,
        _ topic: TopicName,
        from session: Session,
        now: BrokerTime
    ) -> Message {
        Message(
            topic: topic,
            payload: ByteBuffer(bytes: bytes[publish.payloadStart..<publish.end]),
            properties: [],
            qos: publish.qos,
            retain: false,
            receivedMilliseconds: now.wallMilliseconds,
            expiresNanoseconds: .max,
            origin: .client,
            publisher: session.identity.clientID
        )
    }
}

/// The encodings of one plain PUBLISH, made when the first client needs them and then shared by all: with and without
/// the empty properties of 5.0, with and without a packet identifier.
struct PlainLayouts {
    private let publish: PlainPublish
    /// SAFETY: valid as long as the value, which does not leave the turn over these bytes.
    private let bytes: UnsafeRawBufferPointer
    private let isV5: Bool
    private var made: (v3QoS0: UInt32, v3: UInt32, v5QoS0: UInt32, v5: UInt32) = (.max, .max, .max, .max)

    init(_ publish: PlainPublish, of bytes: UnsafeRawBufferPointer, isV5: Bool) {
        self.publish = publish
        self.bytes = bytes
        self.isV5 = isV5
    }

    /// With QoS 0.
    @inline(__always)
    mutating func packet(isV5: Bool, _ encoded: inout ByteBuffer) -> EncodedPackets {
        let bodyBytes = self.bodyBytes(isV5: isV5, idBytes: 0)
        let known = isV5 ? made.v5QoS0 : made.v3QoS0
        let start = known == .max ? encode(isV5: isV5, idBytes: 0, bodyBytes, &encoded) : known
        if isV5 { made.v5QoS0 = start } else { made.v3QoS0 = start }
        return EncodedPackets(start: start, byteCount: byteCount(bodyBytes), packetID: 0, packetIDOffset: 0)
    }

    /// With QoS 1.
    @inline(__always)
    mutating func packet(isV5: Bool, _ packetID: UInt16, _ encoded: inout ByteBuffer) -> EncodedPackets {
        let bodyBytes = self.bodyBytes(isV5: isV5, idBytes: 2)
        let known = isV5 ? made.v5 : made.v3
        let start = known == .max ? encode(isV5: isV5, idBytes: 2, bodyBytes, &encoded) : known
        if isV5 { made.v5 = start } else { made.v3 = start }
        let headerBytes = PlainLayouts.headerBytes(bodyBytes)
        return EncodedPackets(
            start: start,
            byteCount: byteCount(bodyBytes),
            packetID: packetID,
            packetIDOffset: UInt32(truncatingIfNeeded: headerBytes &+ 2 &+ publish.topic.count)
        )
    }

    private func bodyBytes(isV5: Bool, idBytes: Int) -> Int {
        2 &+ publish.topic.count &+ idBytes &+ (isV5 ? 1 : 0) &+ publish.payloadBytes
    }

    /// Of the fixed header; a plain packet's remaining length takes one or two bytes.
    private static func headerBytes(_ bodyBytes: Int) -> Int { bodyBytes < 0x80 ? 2 : 3 }

    private func byteCount(_ bodyBytes: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: PlainLayouts.headerBytes(bodyBytes) &+ bodyBytes)
    }

    /// Appends one encoding and gives where it begins. Often it is what came, byte by byte.
    private func encode(isV5: Bool, idBytes: Int, _ bodyBytes: Int, _ encoded: inout ByteBuffer) -> UInt32 {
        let start = UInt32(truncatingIfNeeded: encoded.writerIndex)
        let hasID = publish.qos != .atMostOnce
        if isV5 == self.isV5, hasID == (idBytes > 0), publish.byteCount == Int(byteCount(bodyBytes)) {
            encoded.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[publish.start..<publish.end]))
            return start
        }
        encoded.writeInteger(idBytes > 0 ? 0x32 : 0x30 as UInt8)
        if bodyBytes < 0x80 {
            encoded.writeInteger(UInt8(truncatingIfNeeded: bodyBytes))
        } else {
            encoded.writeInteger(UInt8(truncatingIfNeeded: bodyBytes & 0x7F | 0x80))
            encoded.writeInteger(UInt8(truncatingIfNeeded: bodyBytes &>> 7))
        }
        // The topic with its length, which stands before it.
        let topic = (publish.topic.lowerBound &- 2)..<publish.topic.upperBound
        encoded.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[topic]))
        if idBytes > 0 { encoded.writeInteger(0 as UInt16) }
        if isV5 { encoded.writeInteger(0 as UInt8) }
        encoded.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[publish.payloadStart..<publish.end]))
        return start
    }
}
