extension Field {
    /// `users:`.
    func users() -> UsersConfiguration? {
        mapping { fields in
            let file = fields.field("password_file")
            if !file.isPresent { file.reportMissing(hint: "a file made by mosquitto_passwd") }
            return file.path(.secret).map { UsersConfiguration(passwordFile: $0) }
        }
    }

    /// `access:`.
    func access() -> AccessConfiguration? {
        guard isPresent else { return nil }
        guard case .mapping = node?.content else { return accessRules().map { AccessConfiguration(rules: $0) } }
        return mapping { fields in
            let rules = fields.field("rules")
            let aclFile = fields.field("acl_file")
            let dynamicSecurity = fields.field("dynamic_security")
            if !rules.isPresent, !aclFile.isPresent, !dynamicSecurity.isPresent {
                fields.report("says nothing", hint: "add 'rules', 'acl_file' or 'dynamic_security'")
            }
            return AccessConfiguration(
                rules: rules.accessRules(),
                aclFile: aclFile.path(.readable),
                dynamicSecurityFile: dynamicSecurity.path(.database)
            )
        }
    }

    private func accessRules() -> [AccessRule]? {
        guard let elements = elements(max: 10_000, hint: "each rule begins with '-'") else { return nil }
        if elements.isEmpty {
            report("an empty list lets nobody do anything", hint: "leave 'access' away to let every user do everything")
        }
        return elements.compactMap { $0.mapping { $0.accessRule() } }
    }

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
            return log
        } ?? LogConfiguration()
    }
}

extension Fields {
    private static let filtersMax = 1_000

    fileprivate func accessRule() -> AccessRule? {
        let users = field("users")
        let clients = field("clients")
        let userPatterns = users.wordList(max: Self.filtersMax)
        let clientPatterns = clients.wordList(max: Self.filtersMax)
        let publish = field("publish").topicFilters(max: Self.filtersMax)
        let subscribe = field("subscribe").topicFilters(max: Self.filtersMax)
        let receive = field("receive").topicFilters(max: Self.filtersMax)
        if !users.isPresent, !clients.isPresent {
            report("a rule needs 'users' or 'clients'", hint: "users: [\"*\"] means everybody")
        }
        if publish == nil, subscribe == nil, receive == nil {
            report("a rule that allows nothing", hint: "add 'publish', 'subscribe' or 'receive'")
        }
        return AccessRule(
            users: userPatterns ?? ["*"],
            clients: clientPatterns ?? ["*"],
            publish: publish ?? [],
            subscribe: subscribe ?? [],
            receive: receive ?? subscribe ?? [],
            position: position
        )
    }

    fileprivate func limits() -> LimitsConfiguration {
        var limits = LimitsConfiguration()
        func set(_ key: String, _ target: WritableKeyPath<LimitsConfiguration, Int>, _ range: ClosedRange<Int>) {
            if let value = field(key).integer(range) { limits[keyPath: target] = value }
        }
        set("max_inflight_messages", \.maxInflightMessages, 1...65_535)
        set("max_queued_messages", \.maxQueuedMessages, 1...1_000_000_000)
        if let bytes = field("max_queued_bytes").bytes(1_024...(1 << 40)) { limits.maxQueuedBytes = bytes }
        if let overflow = field("overflow").choice(LimitsConfiguration.Overflow.self) { limits.overflow = overflow }
        if let bytes = field("max_packet_size").bytes(ListenerBounds.packetBytes) { limits.maxPacketBytes = bytes }
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
        set("max_retained_messages", \.maxRetainedMessages, 0...100_000_000)
        let keepAlive = field("max_keepalive").duration(1_000...65_535_000, secondsByDefault: true)
        if let keepAlive { limits.maxKeepAliveSeconds = Int(keepAlive.components.seconds) }
        if let timeout = field("connect_timeout").duration(100...600_000) { limits.connectTimeout = timeout }
        return limits
    }

    fileprivate func journal() -> JournalConfiguration {
        /// The written values of `sync`.
        enum SyncWord: String, CaseIterable { case always, interval, os }
        var journal = JournalConfiguration()
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
        if let keep = field("keep").duration(0...(366 * 86_400_000)) { journal.keep = keep }
        return journal
    }
}
