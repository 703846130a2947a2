extension Field {
    /// `limits:`.
    func limits() -> LimitsConfiguration { mapping { $0.limits() } ?? LimitsConfiguration() }

    /// `journal:`.
    func journal() -> JournalConfiguration {
        if let journal = mapping(hint: "such as journal: { path: data/ }", { $0.journal() }) { return journal }
        var journal = JournalConfiguration()
        journal.path = PathResolution.resolve(journal.path, besideFile: reader.file)
        return journal
    }

    /// `console:`.
    func console() -> ConsoleConfiguration? {
        mapping { fields in
            let bind = fields.field("bind")
            var console = ConsoleConfiguration()
            if let address = bind.bindAddress() { console.bind = address }
            if !console.bind.isLoopback {
                bind.report(
                    "whoever reaches \(console.bind) sees health and metrics: the console has no sign-in",
                    hint: "keep it within the machine, the pod or a protected network",
                    severity: .warning
                )
            }
            return console
        }
    }

    /// `log:`.
    func log() -> LogConfiguration {
        mapping { fields in
            var log = LogConfiguration()
            if let level = fields.field("level").choice(LogConfiguration.Level.self) { log.level = level }
            if let format = fields.field("format").choice(LogConfiguration.Format.self) { log.format = format }
            log.file = fields.field("file").path(.database)
            return log
        } ?? LogConfiguration()
    }
}

extension Field {
    /// `audit:`.
    func audit() -> AuditSettings? {
        mapping { fields in
            let path = fields.field("path").path(.folder)
            var audit = AuditSettings(path: path ?? PathResolution.resolve("audit", besideFile: reader.file))
            audit.keyFile = fields.field("key_file").path(.secret)
            if let bytes = fields.field("max_file_bytes").bytes((1 << 20)...(1 << 40)) { audit.maxFileBytes = bytes }
            if let age = fields.field("max_file_age").duration(60_000...(366 * 86_400_000)) { audit.maxFileAge = age }
            audit.keep = fields.field("keep").duration(86_400_000...(36_600 * 86_400_000))
            if let sync = fields.field("sync").choice(AuditSettings.Sync.self) { audit.sync = sync }
            let onFailure = fields.field("on_failure").choice(AuditSettings.FailurePolicy.self)
            if let onFailure { audit.onFailure = onFailure }
            return audit
        }
    }

    /// `reload:`.
    func reload() -> ReloadConfiguration {
        mapping { fields in
            var reload = ReloadConfiguration()
            reload.watchesFiles = fields.field("watch").bool(default: false)
            return reload
        } ?? ReloadConfiguration()
    }
}

extension Fields {
    fileprivate func limits() -> LimitsConfiguration {
        var limits = LimitsConfiguration()
        func set(_ key: String, _ target: WritableKeyPath<LimitsConfiguration, Int>, _ range: ClosedRange<Int>) {
            if let value = field(key).integer(range) { limits[keyPath: target] = value }
        }
        set("max_inflight_messages", \.maxInflightMessages, 1...65_535)
        set("max_queued_messages", \.maxQueuedMessages, 1...1_000_000_000)
        if let bytes = field("max_queued_bytes").bytes(1_024...(1 << 40)) { limits.maxQueuedBytes = bytes }
        set("max_inflight_bytes", \.maxInflightBytes, 0...(1 << 40))
        if let overflow = field("overflow").choice(LimitsConfiguration.Overflow.self) { limits.overflow = overflow }
        if let bytes = field("max_packet_size").bytes(ListenerBounds.packetBytes) { limits.maxPacketBytes = bytes }
        if let bytes = field("message_size_limit").bytes(0...268_435_455) { limits.messageSizeLimit = bytes }
        set("max_topic_levels", \.maxTopicLevels, 1...TopicSyntax.levelsMax)
        set("max_subscriptions", \.maxSubscriptions, 1...1_000_000)
        set("max_sessions", \.maxSessions, 1...10_000_000)
        let expiry = field("session_expiry")
        if case .scalar("never", _) = expiry.node?.content {
            limits.sessionExpiryMax = nil
        } else {
            limits.sessionExpiryMax = expiry.duration(1_000...4_294_967_294_000)
        }
        set("receive_maximum", \.receiveMaximum, 1...65_535)
        set("topic_alias_maximum", \.topicAliasMaximum, 0...65_535)
        set("max_topic_alias_broker", \.topicAliasMaximumOutbound, 0...65_535)
        set("max_retained_messages", \.maxRetainedMessages, 0...100_000_000)
        let keepAlive = field("max_keepalive").duration(0...65_535_000, secondsByDefault: true)
        if let keepAlive { limits.maxKeepAliveSeconds = Int(keepAlive.components.seconds) }
        if let timeout = field("connect_timeout").duration(100...600_000) { limits.connectTimeout = timeout }
        if let timeout = field("handshake_timeout").duration(1_000...600_000) { limits.handshakeTimeout = timeout }
        set("max_connections", \.maxConnections, 0...1_000_000)
        set("max_connections_per_address", \.maxConnectionsPerAddress, 1...1_000_000)
        set("max_connection_rate_per_address", \.maxConnectionRatePerAddress, 1...1_000_000)
        if let bytes = field("max_unauthenticated_bytes").bytes((64 << 10)...(1 << 40)) {
            limits.maxUnauthenticatedBytes = bytes
        }
        set("max_connection_burst_per_address", \.maxConnectionBurstPerAddress, 1...1_000_000)
        set("max_properties", \.maxProperties, 1...65_535)
        set("max_filters", \.maxFilters, 1...1_000_000)
        func setBytes(_ key: String, _ target: WritableKeyPath<LimitsConfiguration, Int>, _ range: ClosedRange<Int>) {
            if let bytes = field(key).bytes(range) { limits[keyPath: target] = bytes }
        }
        setBytes("max_connect_size", \.maxConnectBytes, 256...(1 << 20))
        setBytes("max_http_header_size", \.maxHTTPHeaderBytes, 512...(64 << 10))
        setBytes("max_websocket_frame_size", \.maxWebSocketFrameBytes, (64 << 10)...(1 << 30))
        setBytes("max_outgoing_bytes", \.maxOutgoingBytes, (16 << 10)...(1 << 30))
        set("max_publish_rate", \.maxPublishRate, 0...100_000_000)
        if let bytes = field("max_publish_bytes_per_second").bytes(0...(1 << 40)) {
            limits.maxPublishBytesPerSecond = bytes
        }
        limits.isRetainAvailable = field("retain_available").bool(default: true)
        limits.checkRetainSource = field("check_retain_source").bool(default: true)
        limits.queueQoS0Messages = field("queue_qos0_messages").bool(default: false)
        limits.upgradeOutgoingQoS = field("upgrade_outgoing_qos").bool(default: false)
        limits.clientIDPrefixes = field("clientid_prefixes").wordList(max: 100) ?? []
        limits.serverReference = field("server_reference").words()
        limits.responseInformation = field("response_information").words()
        return limits
    }

    fileprivate func journal() -> JournalConfiguration {
        /// The written values of `sync`.
        enum SyncWord: String, CaseIterable { case always, interval, os }
        var journal = JournalConfiguration()
        journal.isEnabled = field("enabled").bool(default: true)
        let path = field("path").path(.folder)
        journal.path = path ?? PathResolution.resolve(journal.path, besideFile: reader.file)
        let sync = field("sync").choice(SyncWord.self) ?? .always
        let intervalField = field("interval")
        let interval = intervalField.duration(1...60_000)
        switch sync {
        case .always: journal.sync = .always
        case .interval: journal.sync = .interval(interval ?? .milliseconds(100))
        case .os: journal.sync = .os
        }
        if intervalField.isPresent, sync != .interval {
            intervalField.reportKey(
                "'interval' contradicts 'sync: \(sync.rawValue)'",
                hint: "it needs 'sync: interval'"
            )
        }
        let maxBytes = field("max_bytes")
        if let bytes = maxBytes.bytes((1 << 20)...(1 << 50)) { journal.maxBytes = bytes }
        let segmentBytes = field("segment_bytes")
        if let bytes = segmentBytes.bytes((64 << 10)...(4 << 30)) { journal.segmentBytes = bytes }
        if journal.maxBytes / 4 < journal.segmentBytes {
            let field = segmentBytes.isPresent ? segmentBytes : maxBytes
            field.report(
                "max_bytes of \(Quantity.describe(bytes: Int64(journal.maxBytes))) does not hold four segments of "
                    + Quantity.describe(bytes: Int64(journal.segmentBytes)),
                hint: "space is freed by whole segments: make segment_bytes smaller or max_bytes larger"
            )
        }
        journal.reserveBytes = field("reserve").bytes(0...(journal.maxBytes / 2))
        journal.reserveTopics = field("reserve_topics").topicFilters(max: 1_000) ?? []
        if let keep = field("keep").duration(0...(366 * 86_400_000)) { journal.keep = keep }
        journal.encryption = field("encryption").mapping(hint: "such as { keyfile: journal.key }") { $0.encryption() }
        return journal
    }

    /// More retired keys than anybody keeps.
    private static let retiredKeysMax = 32

    private func encryption() -> EncryptionConfiguration? {
        let file = field("keyfile")
        let variable = field("key_env")
        let retired = field("retired_keyfiles").elements(max: Self.retiredKeysMax, hint: "a list of files") ?? []
        let retiredKeyFiles = retired.compactMap { $0.path(.secret) }
        guard file.isPresent != variable.isPresent else {
            (file.isPresent ? variable : file).report(
                file.isPresent ? "contradicts 'keyfile'" : "is missing",
                hint: "give either 'keyfile' or 'key_env'"
            )
            return nil
        }
        let path = file.path(.secret).map { EncryptionConfiguration.Source.file($0) }
        guard let source = path ?? variable.words().map({ .environment($0) }) else { return nil }
        var encryption = EncryptionConfiguration(source: source)
        encryption.retiredKeyFiles = retiredKeyFiles
        return encryption
    }
}
