extension SiteConfiguration {
    /// What cannot be written as `site.yaml` this way.
    public enum TextFailure: Error, Sendable, Hashable {
        /// It has handlers or bridges to an aggregator, or attaches to a broker: people write those.
        case notTranslated
    }

    /// A `site.yaml` that says the same, for what a translation can hold: everything but handlers, uplinks and an
    /// attached broker. The same values always give the same text.
    ///
    /// - Parameter header: What stands at the top, for people, line by line.
    public func text(header: String) throws(TextFailure) -> String {
        guard handlers.isEmpty, siteBroker == nil, siteKeyFile == nil, console == nil else { throw .notTranslated }
        var yaml = YAMLText()
        yaml.comment(header)
        yaml.gap()
        yaml.pair("site", site)
        if let compatibility {
            yaml.comment("The manners of Mosquitto 2.1 on the wire. Without this line they are those of Causeway.")
            yaml.pair("compatibility", compatibility.rawValue)
        }
        if clientIDOwnership != .identity {
            yaml.comment(
                "As in Mosquitto: whoever may enter can take over a session by its client identifier. 'identity' is safer."
            )
            yaml.pair("client_id_ownership", clientIDOwnership.rawValue)
        }
        yaml.gap()
        yaml.mapping("listeners") { yaml in
            for listener in listeners { yaml.element { $0.write(listener) } }
        }
        if let users {
            yaml.gap()
            yaml.comment("Who may enter, on listeners without users of their own.")
            yaml.mapping("users") { $0.write(users) }
        }
        if let access {
            yaml.gap()
            yaml.comment("Who may do what. Without this, whoever was let in may do everything.")
            yaml.mapping("access") { $0.write(access) }
        }
        yaml.gap()
        yaml.mapping("journal") { $0.write(journal) }
        yaml.gap()
        yaml.comment("Where a line differs from the default, it is Mosquitto's limit; take it away to have ours.")
        yaml.mapping("limits") { $0.write(limits) }
        if !relays.isEmpty || !bridges.isEmpty {
            yaml.gap()
            yaml.mapping("bridges") { yaml in
                for relay in relays { yaml.element { $0.write(relay) } }
                for bridge in bridges { yaml.element { $0.write(bridge) } }
            }
        }
        yaml.gap()
        yaml.pair("sys_interval", Int(sysInterval.components.seconds), unless: 10)
        yaml.pair("pid_file", pidFile)
        yaml.pair("user", user)
        yaml.mapping("log") { $0.write(log) }
        return yaml.text
    }
}

extension YAMLText {
    fileprivate mutating func write(_ listener: ListenerConfiguration) {
        let fallback = listener.unixSocket?.path ?? listener.bind.description
        if let socket = listener.unixSocket {
            pair("socket", socket.path)
            pair("socket_mode", String(socket.mode, radix: 8))
        } else {
            pair("bind", listener.bind.description)
            pair("insecure", listener.isInsecureAllowed, unless: false)
            pair("interface", listener.interface)
            pair("family", listener.family.rawValue, unless: ListenerConfiguration.AddressFamily.any.rawValue)
        }
        pair("name", listener.name, unless: fallback)
        pair("protocol", listener.wireProtocol.rawValue, unless: ListenerConfiguration.WireProtocol.mqtt.rawValue)
        if listener.wireProtocol == .websockets {
            let common = ListenerConfiguration.WebSockets()
            mapping("websockets") { yaml in
                if listener.webSockets.paths != common.paths { yaml.pair("paths", listener.webSockets.paths) }
                if !listener.webSockets.origins.isEmpty { yaml.pair("origins", listener.webSockets.origins) }
            }
        }
        if let proxy = listener.proxyProtocol { mapping("proxy_protocol") { $0.write(proxy) } }
        pair("allow_anonymous", listener.allowAnonymous)
        if let tls = listener.tls { mapping("tls") { $0.write(tls) } }
        if let users = listener.users { mapping("users") { $0.write(users) } }
        if let access = listener.access { mapping("access") { $0.write(access) } }
        if listener.protocolVersions != Set(ProtocolVersion.allCases) {
            pair("accept_protocol_versions", listener.protocolVersions.map(\.rawValue).sorted())
        }
        pair("mount_point", listener.mountPoint, unless: "")
        pair("max_connections", listener.maxConnections, unless: 10_000)
        pair("max_packet_size", listener.maxPacketBytes)
        pair("max_keepalive", listener.maxKeepAliveSeconds)
        pair("max_qos", listener.maxQoS, unless: 2)
        pair("retain_available", listener.isRetainAvailable)
        pair("receive_maximum", listener.receiveMaximum)
        pair("topic_alias_maximum", listener.topicAliasMaximum)
        pair("max_topic_alias_broker", listener.topicAliasMaximumOutbound)
        pair("max_publish_rate", listener.maxPublishRate)
        pair("max_publish_bytes_per_second", listener.maxPublishBytesPerSecond)
        pair("allow_zero_length_clientid", listener.allowsEmptyClientID, unless: true)
        pair("auto_id_prefix", listener.assignedClientIDPrefix)
        pair("use_username_as_clientid", listener.usesUsernameAsClientID, unless: false)
    }

    private mutating func write(_ proxy: ListenerConfiguration.ProxyProtocol) {
        pair("version", proxy.version.rawValue)
        if !proxy.from.isEmpty { pair("from", proxy.from) }
        pair("require_tls", proxy.requireTLS, unless: false)
        pair("require_certificate", proxy.requireCertificate, unless: false)
        pair("use_identity_as_username", proxy.useIdentityAsUsername, unless: false)
    }

    private mutating func write(_ tls: ListenerTLS) {
        pair("certfile", tls.certificateFile)
        pair("keyfile", tls.keyFile)
        pair("cafile", tls.authorityFile)
        pair("crlfile", tls.revocationFile)
        if tls.asksForCertificate {
            pair("require_certificate", "optional")
        } else {
            pair("require_certificate", tls.requireCertificate, unless: false)
        }
        pair("close_revoked", tls.closesRevoked, unless: true)
        pair("use_identity_as_username", tls.useIdentityAsUsername, unless: false)
        pair("use_subject_as_username", tls.useSubjectAsUsername, unless: false)
        pair("profile", tls.profile.rawValue, unless: ListenerTLS.Profile.intermediate.rawValue)
        if tls.profile != .modern {
            pair("tls_version", tls.minimumVersion.rawValue, unless: TLSVersion.tls12.rawValue)
        }
        pair("ciphers", tls.ciphers)
    }

    fileprivate mutating func write(_ users: UsersConfiguration) { pair("password_file", users.passwordFile) }

    fileprivate mutating func write(_ access: AccessConfiguration) {
        pair("acl_file", access.aclFile)
        pair("dynamic_security", access.dynamicSecurityFile)
    }

    fileprivate mutating func write(_ journal: JournalConfiguration) {
        guard journal.isEnabled else {
            comment("Everything stays in memory, as with 'persistence false'.")
            return pair("enabled", false)
        }
        pair("path", journal.path)
        guard let encryption = journal.encryption else { return }
        mapping("encryption") { yaml in
            switch encryption.source {
            case .file(let path): yaml.pair("keyfile", path)
            case .environment(let name): yaml.pair("key_env", name)
            }
        }
    }

    fileprivate mutating func write(_ log: LogConfiguration) {
        let common = LogConfiguration()
        pair("level", log.level.rawValue, unless: common.level.rawValue)
        pair("format", log.format.rawValue, unless: common.format.rawValue)
        pair("file", log.file)
    }

    fileprivate mutating func write(_ limits: LimitsConfiguration) {
        let common = LimitsConfiguration()
        pair("max_inflight_messages", limits.maxInflightMessages, unless: common.maxInflightMessages)
        pair("max_inflight_bytes", limits.maxInflightBytes, unless: common.maxInflightBytes)
        pair("max_queued_messages", limits.maxQueuedMessages, unless: common.maxQueuedMessages)
        pair("max_queued_bytes", limits.maxQueuedBytes, unless: common.maxQueuedBytes)
        pair("overflow", limits.overflow.rawValue, unless: common.overflow.rawValue)
        pair("max_packet_size", limits.maxPacketBytes, unless: common.maxPacketBytes)
        pair("message_size_limit", limits.messageSizeLimit, unless: common.messageSizeLimit)
        pair("max_topic_levels", limits.maxTopicLevels, unless: common.maxTopicLevels)
        pair("max_subscriptions", limits.maxSubscriptions, unless: common.maxSubscriptions)
        pair("max_sessions", limits.maxSessions, unless: common.maxSessions)
        pair("session_expiry", limits.sessionExpiryMax.map { "\($0.components.seconds)s" })
        pair("receive_maximum", limits.receiveMaximum, unless: common.receiveMaximum)
        pair("topic_alias_maximum", limits.topicAliasMaximum, unless: common.topicAliasMaximum)
        pair("max_topic_alias_broker", limits.topicAliasMaximumOutbound, unless: common.topicAliasMaximumOutbound)
        pair("max_retained_messages", limits.maxRetainedMessages, unless: common.maxRetainedMessages)
        pair("max_keepalive", limits.maxKeepAliveSeconds, unless: common.maxKeepAliveSeconds)
        write(limits.connectTimeout, "connect_timeout", unless: common.connectTimeout)
        write(limits.handshakeTimeout, "handshake_timeout", unless: common.handshakeTimeout)
        pair("max_connections", limits.maxConnections, unless: common.maxConnections)
        pair(
            "max_connections_per_address",
            limits.maxConnectionsPerAddress,
            unless: common.maxConnectionsPerAddress
        )
        pair(
            "max_connection_rate_per_address",
            limits.maxConnectionRatePerAddress,
            unless: common.maxConnectionRatePerAddress
        )
        pair("max_unauthenticated_bytes", limits.maxUnauthenticatedBytes, unless: common.maxUnauthenticatedBytes)
        pair(
            "max_connection_burst_per_address",
            limits.maxConnectionBurstPerAddress,
            unless: common.maxConnectionBurstPerAddress
        )
        pair("max_connect_size", limits.maxConnectBytes, unless: common.maxConnectBytes)
        pair("max_properties", limits.maxProperties, unless: common.maxProperties)
        pair("max_filters", limits.maxFilters, unless: common.maxFilters)
        pair("max_http_header_size", limits.maxHTTPHeaderBytes, unless: common.maxHTTPHeaderBytes)
        pair("max_websocket_frame_size", limits.maxWebSocketFrameBytes, unless: common.maxWebSocketFrameBytes)
        pair("max_outgoing_bytes", limits.maxOutgoingBytes, unless: common.maxOutgoingBytes)
        pair("max_publish_rate", limits.maxPublishRate, unless: 0)
        pair("max_publish_bytes_per_second", limits.maxPublishBytesPerSecond, unless: 0)
        pair("retain_available", limits.isRetainAvailable, unless: true)
        pair("check_retain_source", limits.checkRetainSource, unless: true)
        pair("queue_qos0_messages", limits.queueQoS0Messages, unless: false)
        pair("upgrade_outgoing_qos", limits.upgradeOutgoingQoS, unless: false)
        if !limits.clientIDPrefixes.isEmpty { pair("clientid_prefixes", limits.clientIDPrefixes) }
        pair("server_reference", limits.serverReference)
        pair("response_information", limits.responseInformation)
    }

    private mutating func write(_ duration: Duration, _ key: String, unless common: Duration) {
        guard duration != common else { return }
        let milliseconds = duration.components.seconds * 1_000 + duration.components.attoseconds / 1_000_000_000_000_000
        pair(key, milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms")
    }
}
