internal import Broker
internal import MosquittoClient

extension BridgeDriver {
    /// Makes a connection for one attempt. A context whose files were replaced is made anew.
    func connect() {
        generation += 1
        connection = nil
        do {
            let connection = try MosquittoConnection(configuration: try connectionConfiguration()) {
                [inbox, generation] event in
                inbox.post(.connection(generation: generation, event))
            }
            try connection.start()
            self.connection = connection
        } catch {
            trouble("The bridge cannot connect.", error)
            perform(uplink.ended(error.code == .tls ? .tls : .unreachable, now: MonotonicClock.nanoseconds()))
        }
    }

    private func connectionConfiguration() throws(MosquittoError) -> MosquittoConfiguration {
        var configuration = MosquittoConfiguration(
            host: settings.host,
            port: settings.port,
            clientID: settings.clientID ?? "causeway-\(siteInTopics)-\(settings.name)"
        )
        configuration.protocolVersion = settings.protocolVersion
        // Nothing of a session is needed: every attempt subscribes and begins at the first unconfirmed sequence.
        configuration.cleanStart = true
        configuration.sessionExpirySeconds = 0
        configuration.keepAliveSeconds = settings.keepAliveSeconds
        configuration.username = settings.username
        configuration.password = settings.password
        configuration.receiveMaximum = 10
        configuration.sendMaximum = UInt16(clamping: settings.window)
        configuration.handshakeTimeoutSeconds = UInt16(clamping: max(1, settings.connectTimeoutMilliseconds / 1000))
        if let options = settings.tls {
            if let tls, tls.isCurrent {
                configuration.tls = tls
            } else {
                tls = nil
                let context = try MosquittoTLSContext(options: options, host: settings.host)
                tls = context
                configuration.tls = context
            }
        }
        return configuration
    }

    func handle(_ event: MosquittoEvent) {
        let now = MonotonicClock.nanoseconds()
        switch event {
        case .connected(let server):
            tlsDetails = server.tls
            var data = ["receive_maximum": "\(server.receiveMaximum)"]
            if let tls = server.tls {
                data["tls"] = tls.version
                data["resumed"] = "\(tls.resumed)"
            }
            log(BridgeReport(.info, "The bridge is connected.", metadata(data)))
            guard server.maximumQoS >= 1 else {
                log(BridgeReport(.error, "The server does not take QoS 1.", metadata()))
                return perform([.abandon] + uplink.ended(.refused, now: now))
            }
            perform(uplink.connected(receiveMaximum: Int(server.receiveMaximum), now: now))
        case .connectFailed(let error): ended(error, now)
        case .disconnected(let error): ended(error, now)
        case .published(let token, let reason):
            if reason < 0x80 { lastAckMilliseconds = MonotonicClock.wallMilliseconds() }
            perform(uplink.published(token, reasonCode: reason, now: now))
        case .subscribed(_, let codes):
            perform(uplink.subscribed(isGranted: codes.allSatisfy { $0 < 0x80 } && !codes.isEmpty, now: now))
        case .message(let message):
            guard let commit = BridgeCommit(decoding: message.payload) else {
                return log(BridgeReport(.warning, "A commit watermark could not be understood.", metadata()))
            }
            perform(uplink.committed(commit, epoch: outbox.epoch, now: now))
        case .unsubscribed: break
        }
    }

    private func ended(_ error: MosquittoError?, _ now: UInt64) {
        connection = nil
        tlsDetails = nil
        let ending: Uplink.Ending
        switch error?.code {
        case .notAuthorized: ending = .notAuthorized
        case .tls: ending = .tls
        case .refused, .closedByServer: ending = .refused
        case .unreachable, .nameResolution: ending = .unreachable
        default: ending = uplink.isConnecting ? .unreachable : .lost
        }
        let data = error.map { ["error": "\($0)"] } ?? [:]
        log(BridgeReport(.warning, "The bridge has no connection.", metadata(data)))
        perform(uplink.ended(ending, now: now))
    }

    // MARK: - Sending

    /// Publishes what stands at a sequence. Returns false if the connection takes nothing now.
    func sendOne(_ sequence: UInt64, isReplay: Bool, now: UInt64) throws(BridgeError) -> Bool {
        if sequence <= outbox.floor {
            uplink.skip(to: outbox.floor)
            return sendGap(from: sequence, to: outbox.floor, reason: "former_epoch", isReplay: isReplay, now: now)
        }
        let found = try cursor.record(at: sequence, in: outbox)
        guard let queued = found, queued.sequence == sequence else {
            // What is not there any more: a gap takes its place, under the last of the missing sequences.
            let last = found.map { $0.sequence - 1 } ?? uplink.available
            uplink.skip(to: last)
            // What was confirmed once is cut by right; only an aggregator that lost its store asks for it again.
            let wasConfirmed = last <= outbox.confirmed
            let reason = wasConfirmed ? "retired" : last < outbox.firstSequence ? "queue_full" : "damaged"
            return sendGap(from: sequence, to: last, reason: reason, isReplay: isReplay, now: now)
        }
        if let reason = deadLetters.reasons[sequence] {
            return sendGap(from: sequence, to: sequence, reason: reason, isReplay: isReplay, now: now)
        }
        let record = queued.record
        var properties = MosquittoPublishProperties()
        properties.contentType = record.contentType
        properties.userProperties = record.userProperties
        if settings.confirm == .puback, let seconds = record.expirySeconds {
            let left = record.receivedMilliseconds + Int64(seconds) * 1000 - MonotonicClock.wallMilliseconds()
            guard left > 0 else {
                givenUp["expired", default: 0] += 1
                perform(uplink.passOver(now: now))
                return true
            }
            properties.messageExpirySeconds = UInt32(clamping: (left + 999) / 1000)
        }
        return publish(record, sequence, properties, isReplay: isReplay, now: now)
    }

    private func sendGap(from: UInt64, to: UInt64, reason: String, isReplay: Bool, now: UInt64) -> Bool {
        guard settings.isStamped else {
            perform(uplink.passOver(now: now))
            return true
        }
        let wall = MonotonicClock.wallMilliseconds()
        let record = OutboxRecord(
            kind: .gap,
            source: .zero,
            topic: table.gapTopic,
            payload: BridgeGap(from: from, to: to, count: to - from + 1, reason: reason).encode(),
            receivedMilliseconds: wall,
            queuedMilliseconds: wall
        )
        return publish(record, to, .init(), isReplay: isReplay, now: now)
    }

    /// Says that this box's epoch counts from now on, and asks where the one before ended.
    func sendClaim(now: UInt64) -> Bool {
        guard let connection else { return false }
        let wall = MonotonicClock.wallMilliseconds()
        let stamp = BridgeStamp(
            site: settings.site,
            epoch: outbox.epoch,
            sequence: 0,
            className: BridgeStamp.claimClass,
            receivedMilliseconds: wall,
            queuedMilliseconds: 0,
            isReplayed: false
        )
        var properties = MosquittoPublishProperties()
        var payload: [UInt8] = []
        if settings.protocolVersion == .v5 {
            properties.userProperties = stamp.userProperties
        } else {
            payload = BridgeEnvelope(stamp: stamp, payload: []).encode()
        }
        do {
            _ = try connection.publish(
                topic: table.gapTopic,
                payload: payload,
                qos: 1,
                retain: false,
                properties: properties
            )
            uplink.claimed(now: now)
            return true
        } catch {
            return false
        }
    }

    private func publish(
        _ record: OutboxRecord,
        _ sequence: UInt64,
        _ properties: MosquittoPublishProperties,
        isReplay: Bool,
        now: UInt64
    ) -> Bool {
        guard let connection else { return false }
        var properties = properties
        var payload = record.payload
        if settings.isStamped {
            let stamp = stamp(record, sequence, isReplay: isReplay)
            if settings.protocolVersion == .v5 {
                properties.userProperties = stamp.userProperties + properties.userProperties
            } else {
                payload = BridgeEnvelope(stamp: stamp, payload: payload).encode()
            }
        }
        do {
            let token = try connection.publish(
                topic: record.topic,
                payload: payload,
                qos: 1,
                retain: record.retain,
                properties: properties
            )
            uplink.sent(token, now: now)
            return true
        } catch {
            switch error.code {
            case .tooLarge where record.kind == .message: perform(uplink.unsendable(reason: "oversize"))
            case .invalidTopic, .invalidArgument, .retainNotSupported:
                guard record.kind == .message else { return false }
                perform(uplink.unsendable(reason: "refused"))
            default: return false
            }
            return true
        }
    }

    func stamp(_ record: OutboxRecord, _ sequence: UInt64, isReplay: Bool) -> BridgeStamp {
        BridgeStamp(
            site: settings.site,
            epoch: outbox.epoch,
            sequence: sequence,
            className: record.kind == .gap ? BridgeStamp.gapClass : record.trafficClass.rawValue,
            receivedMilliseconds: record.receivedMilliseconds,
            queuedMilliseconds: max(0, MonotonicClock.wallMilliseconds() - record.queuedMilliseconds),
            isReplayed: isReplay
        )
    }
}
