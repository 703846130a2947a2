extension YAMLText {
    /// A bridge as Mosquitto's `connection` blocks describe it.
    mutating func write(_ relay: MosquittoBridge) {
        let common = MosquittoBridge(name: relay.name, place: relay.place)
        pair("name", relay.name)
        pair("kind", "relay")
        pair("addresses", relay.addresses.map { NetworkAddress(host: $0.host, port: $0.port).description })
        let isPrivate = relay.addresses.allSatisfy { NetworkAddress(host: $0.host, port: $0.port).isLoopback }
        if relay.tls.isUsed { mapping("tls") { $0.write(relay.tls) } } else if !isPrivate { pair("insecure", true) }
        pair("protocol_version", relay.protocolVersion.rawValue, unless: common.protocolVersion.rawValue)
        pair("remote_clientid", relay.remoteClientID)
        pair("remote_username", relay.remoteUsername)
        pair("remote_password", relay.remotePassword)
        pair("remote_password_file", relay.remotePasswordFile)
        pair("local_clientid", relay.localClientID)
        pair("local_username", relay.localUsername)
        pair("cleansession", relay.cleanSession, unless: false)
        pair("local_cleansession", relay.localCleanSession)
        pair("start_type", relay.startType.rawValue, unless: common.startType.rawValue)
        pair("idle_timeout", relay.idleTimeoutSeconds, unless: common.idleTimeoutSeconds)
        pair("threshold", relay.threshold, unless: common.threshold)
        pair("keepalive_interval", relay.keepAliveSeconds, unless: common.keepAliveSeconds)
        if relay.restart != common.restart { write(relay.restart) }
        pair("notifications", relay.notifications, unless: true)
        pair("notifications_local_only", relay.notificationsLocalOnly, unless: false)
        pair("notification_topic", relay.notificationTopic)
        pair("try_private", relay.tryPrivate, unless: true)
        pair("round_robin", relay.roundRobin, unless: false)
        pair("attempt_unsubscribe", relay.attemptUnsubscribe, unless: true)
        pair("outgoing_retain", relay.outgoingRetain, unless: true)
        pair("max_packet_size", relay.maxPacketBytes, unless: 0)
        pair("max_topic_alias", relay.maxTopicAlias, unless: common.maxTopicAlias)
        pair("receive_maximum", relay.receiveMaximum)
        pair("session_expiry_interval", relay.sessionExpirySeconds, unless: 0)
        pair("reload_type", relay.reloadType.rawValue, unless: common.reloadType.rawValue)
        pair("bind_address", relay.bindAddress)
        if !relay.tcpKeepAlive.isEmpty { pair("tcp_keepalive", numbers: relay.tcpKeepAlive) }
        pair("tcp_user_timeout", relay.tcpUserTimeoutMilliseconds)
        mapping("topics") { yaml in
            for topic in relay.topics { yaml.flow(Self.pairs(of: topic)) }
        }
    }

    /// A bridge by routes, to a consumer that confirms with its PUBACK.
    mutating func write(_ bridge: BridgeConfiguration) {
        pair("name", bridge.name)
        pair("address", bridge.address.description)
        pair("insecure", !bridge.address.usesTLS && !bridge.address.network.isLoopback, unless: false)
        pair("protocol", bridge.wireProtocol.rawValue)
        if let tls = bridge.tls {
            mapping("tls") { yaml in
                yaml.pair("cafile", tls.authorityFile)
                yaml.pair("certfile", tls.certificateFile)
                yaml.pair("keyfile", tls.keyFile)
                yaml.pair("insecure", tls.skipsHostNameCheck, unless: false)
            }
        }
        pair("username", bridge.username)
        pair("password_file", bridge.passwordFile)
        pair("prefix", bridge.prefix)
        pair("confirm", bridge.confirm.rawValue)
        pair("keepalive_interval", Int(bridge.keepAlive.components.seconds))
        mapping("routes") { yaml in
            for route in bridge.routes {
                var pairs = [("topic", Self.quoted(route.topic))]
                if let to = route.to { pairs.append(("to", Self.quoted(to))) }
                pairs += [("qos", String(route.qos)), ("retain", String(route.retain))]
                yaml.flow(pairs)
            }
        }
    }

    private mutating func write(_ tls: MosquittoBridge.TLS) {
        pair("cafile", tls.authorityFile)
        pair("capath", tls.authorityFolder)
        pair("use_os_certs", tls.usesSystemAuthorities)
        pair("certfile", tls.certificateFile)
        pair("keyfile", tls.keyFile)
        pair("insecure", tls.skipsHostNameCheck, unless: false)
        pair("tls_version", tls.version)
        pair("alpn", tls.applicationProtocol)
        pair("ciphers", tls.ciphers)
        pair("ciphers_tls1.3", tls.ciphersTLS13)
    }

    private mutating func write(_ restart: MosquittoBridge.Restart) {
        mapping("restart_timeout") { yaml in
            switch restart {
            case .constant(let seconds): yaml.pair("seconds", seconds)
            case .backoff(let base, let cap, let stable):
                yaml.pair("base", base)
                yaml.pair("cap", cap)
                yaml.pair("stable", stable, unless: 0)
            }
        }
    }

    private static func pairs(of topic: MosquittoBridge.Topic) -> [(String, String)] {
        var pairs = [
            ("topic", quoted(topic.pattern ?? "")), ("direction", topic.direction.rawValue),
            ("qos", String(topic.qos)),
        ]
        if !topic.localPrefix.isEmpty { pairs.append(("local_prefix", quoted(topic.localPrefix))) }
        if !topic.remotePrefix.isEmpty { pairs.append(("remote_prefix", quoted(topic.remotePrefix))) }
        return pairs
    }
}
