import DequeModule
import MQTT
import NIOCore

// CONNECT until it is answered (MQTT 5.0 sections 3.1, 3.2).
extension BrokerCore {
    func handle(_ connect: Connect, on connection: Connection, effects: inout Effects) {
        counters.connectsReceived &+= 1
        connection.isV5 = connect.version == .v5
        let policy = connection.info.policy
        guard !isLeaving else {
            let message = "the node sends its clients to another server"
            refuse(connection, .useAnotherServer, message, statement: "section 4.11", effects: &effects)
            return
        }
        var connect = connect
        guard policy.versions.contains(connect.version) else {
            refuse(
                connection,
                .unsupportedProtocolVersion,
                "the listener does not take this version",
                statement: "MQTT-3.1.2-2",
                effects: &effects
            )
            return
        }
        if let username = connect.username, policy.usesUsernameAsClientID { connect.clientID = username }
        if connect.clientID.isEmpty {
            guard connection.isV5 || (connect.version == .v3_1_1 && connect.cleanStart) else {
                refuse(
                    connection,
                    .clientIdentifierNotValid,
                    "an empty client identifier needs a clean session",
                    statement: "MQTT-3.1.3-8",
                    effects: &effects
                )
                return
            }
            guard policy.allowsEmptyClientID else {
                refuse(
                    connection,
                    connection.isV5 ? .unspecifiedError : .clientIdentifierNotValid,
                    "the listener assigns no client identifiers",
                    statement: "MQTT-3.1.3-8",
                    effects: &effects
                )
                return
            }
            repeat {
                connect.clientID = assignClientID(prefix: policy.assignedClientIDPrefix ?? "auto-")
                // Somebody may have foreseen it.
            } while sessionsByClientID[Identity(username: nil, clientID: connect.clientID)] != nil
            connection.assignedClientID = true
        }
        guard hasKnownPrefix(connect.clientID) else {
            refuse(
                connection,
                .notAuthorized,
                "the client identifier has none of the beginnings that are let in",
                statement: "MQTT-3.1.3-8",
                effects: &effects
            )
            return
        }
        guard checkWill(&connect, on: connection, effects: &effects) else { return }
        connection.connect = connect
        connection.state = .authenticating
        authenticate(connect, on: connection, effects: &effects)
    }

    /// A prefix and a UUID's shape, so that clients that know Mosquitto see what they know. Its bits come from a hash
    /// with this process's secret key: nobody else can tell the next one.
    private func assignClientID(prefix: String) -> String {
        defer { nextAssignedClientID &+= 1 }
        let digits = Array("0123456789ABCDEF".utf8)
        var text: [UInt8] = []
        for half in 0..<2 {
            var hasher = Hasher()
            hasher.combine(configuration.instanceID)
            hasher.combine(nextAssignedClientID)
            hasher.combine(half)
            let bits = UInt64(truncatingIfNeeded: hasher.finalize())
            for shift in stride(from: UInt64(0), to: 64, by: 4) { text.append(digits[Int(bits >> shift & 15)]) }
        }
        for place in [8, 13, 18, 23] { text.insert(UInt8(ascii: "-"), at: place) }
        return prefix + String(decoding: text, as: UTF8.self)
    }

    private func hasKnownPrefix(_ clientID: String) -> Bool {
        let prefixes = configuration.clientIDPrefixes
        return prefixes.isEmpty || prefixes.contains { clientID.utf8.starts(with: $0.utf8) }
    }

    /// Whether the will is one that the listener's clients may have; it gets their mount point.
    private func checkWill(_ connect: inout Connect, on connection: Connection, effects: inout Effects) -> Bool {
        guard let will = connect.will else { return true }
        let grants = connection.grants
        var mistake: (reason: ReasonCode, message: String)?
        if will.retain && !grants.isRetainAvailable {
            mistake = (.retainNotSupported, "the will is retained, and nothing may be")
        } else if will.qos > grants.qosMax {
            mistake = (.qosNotSupported, "the will's quality of service is too high")
        } else if will.payload.readableBytes > configuration.payloadBytesMax {
            mistake = (.packetTooLarge, "the will's payload is too large")
        }
        connect.will?.topic = grants.mounted(will.topic)
        guard let mistake else { return true }
        // There is a return code for it in 5.0 only; in 3.x the one that says no to a will is not authorized.
        let reason = connection.isV5 || mistake.reason != .packetTooLarge ? mistake.reason : .notAuthorized
        if connection.isV5 || reason == .notAuthorized {
            refuse(connection, reason, mistake.message, statement: "section 3.1.2", effects: &effects)
        } else {
            counters.connectionsRefused &+= 1
            close(connection, CloseReason(reason, statement: "section 3.1.2", mistake.message), effects: &effects)
        }
        return false
    }

    /// The driver's answer to ``Effect/authenticate(_:_:)``.
    public func authenticated(
        _ id: ConnectionID,
        result: AuthenticationResult,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard let connection = connection(id) else { return }
        guard connection.state == .authenticating, let connect = connection.connect else {
            reauthenticated(connection, result: result, now: now, effects: &effects)
            return
        }
        connection.lastReceivedNanoseconds = now.monotonicNanoseconds
        switch result {
        case .refused(var reason):
            // Mosquitto does not say whether it was the name or the password.
            if configuration.followsMosquitto && reason == .badUserNameOrPassword { reason = .notAuthorized }
            refuse(connection, reason, "the client was not let in", statement: "MQTT-3.1.4-2", effects: &effects)
        case .challenge(let data, let state):
            challenge(connection, data, state, effects: &effects)
        case .accepted(let username), .completed(let username, _), .expiring(let username, _):
            let identity = Identity(username: username, clientID: connect.clientID)
            let refusesKeepAlive =
                configuration.refusesLongKeepAlive && !connection.isV5
                && isTooLong(connect.keepAliveSeconds, connection)
            if refusesKeepAlive {
                refuse(
                    connection,
                    .clientIdentifierNotValid,
                    "the keep alive is too long",
                    statement: "MQTT-3.1.2-21",
                    effects: &effects
                )
                return
            }
            let isTrusted = connection.info.isTrusted
            if let will = connect.will, !isTrusted,
                !mayCarry(will.topic) || !mayPublish(identity, on: connection, will.topic)
            {
                refuse(
                    connection,
                    .notAuthorized,
                    "the will's topic is not allowed",
                    statement: "MQTT-3.1.4-2",
                    effects: &effects
                )
                return
            }
            connection.exchange = nil
            connection.expiresNanoseconds = result.expiryInstant(now)
            accept(connect, identity, lastWord: result.lastWord, on: connection, now: now, effects: &effects)
        }
    }

    private func isTooLong(_ keepAliveSeconds: UInt16, _ connection: Connection) -> Bool {
        let longest = connection.grants.keepAliveSecondsMax
        return longest > 0 && (keepAliveSeconds == 0 || keepAliveSeconds > longest)
    }

    func refuse(
        _ connection: Connection,
        _ reason: ReasonCode,
        _ message: String,
        statement: String,
        effects: inout Effects
    ) {
        counters.connectionsRefused &+= 1
        auditRefusal(.clientRefused, connection, message, effects: &effects)
        var properties: Properties = []
        if reason.sendsElsewhere, connection.isV5, let reference = configuration.serverReference {
            properties.values.append(.serverReference(reference))
        }
        effects.list.append(.send(connection.id, .connack(Connack(reason: reason, properties: properties))))
        close(connection, CloseReason(reason, statement: statement, message), effects: &effects)
    }

    private func accept(
        _ connect: Connect,
        _ identity: Identity,
        lastWord: ByteBuffer?,
        on connection: Connection,
        now: BrokerTime,
        effects: inout Effects
    ) {
        if configuration.clientIDOwnership != .separate, let other = sessionOfAnother(identity) {
            guard configuration.clientIDOwnership == .shared else {
                refuse(
                    connection,
                    .clientIdentifierNotValid,
                    "the client identifier belongs to somebody else",
                    statement: "section 3.1.4",
                    effects: &effects
                )
                return
            }
            if let old = other.connection {
                takeOver(old, cleanStart: connect.cleanStart, now: now, effects: &effects)
            }
            if sessionsByNumber[other.number] === other { hand(other, to: identity) }
        }
        var existing = sessionsByIdentity[identity]
        if let session = existing, let old = session.connection {
            takeOver(old, cleanStart: connect.cleanStart, now: now, effects: &effects)
            existing = sessionsByIdentity[identity]
        }
        if let session = existing, connect.cleanStart || hasExpired(session, now) {
            end(session, now: now, effects: &effects)
            existing = nil
        }
        let expiry = grantedExpiry(connect)
        let sessionPresent = existing != nil
        guard let session = existing ?? makeSession(identity, expirySeconds: expiry) else {
            refuse(
                connection,
                .serverBusy,
                "the broker has its maximum of sessions",
                statement: "section 4.1",
                effects: &effects
            )
            return
        }
        counters.connectionsAccepted &+= 1
        session.detached = nil
        session.awayBeforeNanoseconds = 0
        delayedWills[session.number] = nil
        let changed = session.expirySeconds != expiry
        session.expirySeconds = expiry
        if session.isPersistent {
            // Also for a session that is known: its expiry does not run any more.
            note(.sessionOpened(session.stored), &effects)
        } else if sessionPresent {
            // From now on it ends with its connection, so no restart may find it.
            note(.sessionClosed(session: session.number), &effects)
            session.storedWill = nil
        }
        if changed || !sessionPresent { table.forget() }
        session.listener = connection.info.listener
        session.isTrusted = connection.info.isTrusted
        session.rightsGeneration = 0
        adopt(connect, connection, session)
        auditConnected(connection, session, effects: &effects)
        keepWill(of: connection, session, &effects)
        var properties = answer(connect, connection, expiry)
        if let information = configuration.responseInformation, connect.properties.asksForResponseInformation {
            properties.values.append(.responseInformation(information))
        }
        if let method = connection.authenticationMethod {
            properties.values += authenticationProperties(method, lastWord)
        }
        let connack = Connack(sessionPresent: sessionPresent, properties: properties)
        guard takes(connack, connection) else {
            // [MQTT-3.1.2-24]: there is nothing that may be said to such a client.
            forgetWill(of: connection, &effects)
            let reason = CloseReason(.packetTooLarge, statement: "MQTT-3.1.2-24", "the client takes no CONNACK")
            close(connection, reason, silently: true, effects: &effects)
            detach(connection, now: now, effects: &effects)
            return
        }
        effects.list.append(.send(connection.id, .connack(connack)))
        connection.connect = nil
        resume(session, now: now, effects: &effects)
        let early = connection.early
        connection.early = []
        for packet in early { received(connection.id, packet, now: now, effects: &effects) }
    }

    /// Whether the client takes a packet as large as this CONNACK; one that takes less than any CONNACK has is rare.
    private func takes(_ connack: Connack, _ connection: Connection) -> Bool {
        guard connection.isV5, connection.clientPacketBytesMax < UInt32(UInt16.max) else { return true }
        var bytes = ByteBuffer()
        PacketEncoder.encode(.connack(connack), version: .v5, into: &bytes)
        return bytes.readableBytes <= Int(connection.clientPacketBytesMax)
    }

    private func grantedExpiry(_ connect: Connect) -> UInt32 {
        let longest = configuration.sessionExpirySecondsMax
        guard connect.version == .v5 else { return connect.cleanStart ? 0 : longest }
        return min(connect.properties.sessionExpirySeconds ?? 0, longest)
    }

    private func adopt(_ connect: Connect, _ connection: Connection, _ session: Session) {
        connection.state = .connected
        connection.isBridge = connect.isBridge
        connection.session = session
        connection.will = connect.will.map { will in
            // Copies: a slice would hold the whole read buffer for as long as the client is there.
            var will = will
            will.topic = will.topic.copied()
            will.payload = ByteBufferCopy.of(will.payload)
            return will
        }
        session.connection = connection
        for packetID in session.heldInbound.keys { session.heldInbound[packetID]?.repetitions = 0 }
        var window = configuration.inflightMessagesMax
        var keepAlive = connect.keepAliveSeconds
        if connection.isV5 {
            for property in connect.properties.values {
                switch property {
                case .receiveMaximum(let maximum): window = min(window, Int(maximum))
                case .maximumPacketSize(let size): connection.clientPacketBytesMax = size
                case .topicAliasMaximum(let maximum):
                    let limit = connection.info.policy.topicAliasMaximumOutbound
                    connection.aliasesGivenMax = min(maximum, limit ?? configuration.topicAliasMaximumOutbound)
                case .requestProblemInformation(let value): connection.wantsProblemInformation = value != 0
                default: break
                }
            }
        }
        // 5.0 clients are told; older ones cannot be, and are held to it all the same.
        if isTooLong(keepAlive, connection) { keepAlive = connection.grants.keepAliveSecondsMax }
        connection.window = min(max(1, window), Int(UInt16.max))
        session.inflight.reserve(connection.window)
        connection.silenceNanosecondsMax = UInt64(keepAlive) * 1_500_000_000
    }

    /// The properties of CONNACK (section 3.2.2.3), in the order of Mosquitto's.
    private func answer(_ connect: Connect, _ connection: Connection, _ expiry: UInt32) -> Properties {
        guard connection.isV5 else { return [] }
        let grants = connection.grants
        var properties: Properties = []
        let keepAlive = UInt16(clamping: connection.silenceNanosecondsMax / 1_500_000_000)
        if keepAlive != connect.keepAliveSeconds { properties.values.append(.serverKeepAlive(keepAlive)) }
        if grants.topicAliasMaximum > 0 { properties.values.append(.topicAliasMaximum(grants.topicAliasMaximum)) }
        if !grants.isRetainAvailable { properties.values.append(.retainAvailable(0)) }
        if connection.assignedClientID {
            properties.values.append(.assignedClientIdentifier(connect.clientID))
        }
        if configuration.announcesSessionExpiry && (connect.properties.sessionExpirySeconds ?? 0) != expiry {
            properties.values.append(.sessionExpiryInterval(expiry))
        }
        properties.values.append(.maximumPacketSize(UInt32(clamping: grants.packetBytesMax)))
        if grants.receiveMaximum < UInt16.max {
            properties.values.append(.receiveMaximum(UInt16(clamping: grants.receiveMaximum)))
        }
        if grants.qosMax != .exactlyOnce { properties.values.append(.maximumQoS(grants.qosMax.rawValue)) }
        return properties
    }
}
