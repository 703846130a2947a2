/// Bounds of a relay.
enum RelayBounds {
    static let addressesMax = 100
    static let topicsMax = 10_000
    static let restartSeconds = 1...7_200
}

extension Fields {
    /// An entry of `bridges:` with `kind: relay`. The words are those of a `connection` block of mosquitto.conf, without
    /// `bridge_` where the place says it.
    func relay() -> MosquittoBridge? {
        let nameField = field("name")
        let name = nameField.name(maxBytes: 256)
        if !nameField.isPresent { nameField.reportMissing(hint: "its session and its state are called so") }
        let place = MosquittoPlace(file: reader.file, line: position.line)
        var relay = MosquittoBridge(name: name ?? "", place: place)
        let addresses = field("addresses")
        if !addresses.isPresent { addresses.reportMissing(hint: "addresses: [broker.example.com:8883]") }
        relay.addresses = addresses.relayAddresses()
        let topics = field("topics")
        if !topics.isPresent { topics.reportMissing(hint: "topics: [{ topic: \"alarm/#\", direction: out, qos: 1 }]") }
        relay.topics = topics.relayTopics()
        relay.remoteClientID = field("remote_clientid").words(maxBytes: 65_535)
        relay.localClientID = field("local_clientid").words(maxBytes: 65_535)
        relay.localUsername = field("local_username").words(maxBytes: 65_535)
        relay.notificationTopic = field("notification_topic").words(maxBytes: 65_535)
        relay.bindAddress = field("bind_address").words()
        readCredentials(&relay)
        readRelayFlags(&relay)
        readRelayNumbers(&relay)
        let tlsField = field("tls")
        if let tls = tlsField.mapping({ $0.relayTLS() }) { relay.tls = tls }
        let insecureField = field("insecure")
        let isInsecureAllowed = insecureField.bool(default: false)
        if !tlsField.isPresent, !isInsecureAllowed,
            let open = relay.addresses.first(where: { !NetworkAddress(host: $0.host, port: $0.port).isLoopback })
        {
            addresses.report(
                "plain TCP to \(open.host) would carry passwords and data in the clear",
                hint: "add 'tls:', or set 'insecure: true' if the network is protected otherwise"
            )
        } else if tlsField.isPresent, isInsecureAllowed {
            insecureField.reportKey("'insecure' contradicts 'tls'", hint: "take one of them away")
        }
        return name == nil ? nil : relay
    }

    private func readCredentials(_ relay: inout MosquittoBridge) {
        let username = field("remote_username")
        let password = field("remote_password")
        let file = field("remote_password_file")
        relay.remoteUsername = username.words(maxBytes: 65_535)
        relay.remotePassword = password.words(maxBytes: 65_535)
        relay.remotePasswordFile = file.path(.secret)
        if password.isPresent, file.isPresent {
            file.reportKey("'remote_password_file' contradicts 'remote_password'", hint: "keep the file")
        }
        for field in [password, file] where field.isPresent && !username.isPresent {
            field.reportKey("a password needs 'remote_username'")
        }
    }

    private func readRelayFlags(_ relay: inout MosquittoBridge) {
        func read(_ key: String, _ target: WritableKeyPath<MosquittoBridge, Bool>) {
            if let value = field(key).optionalBool() { relay[keyPath: target] = value }
        }
        read("cleansession", \.cleanSession)
        read("notifications", \.notifications)
        read("notifications_local_only", \.notificationsLocalOnly)
        read("try_private", \.tryPrivate)
        read("round_robin", \.roundRobin)
        read("attempt_unsubscribe", \.attemptUnsubscribe)
        read("outgoing_retain", \.outgoingRetain)
        relay.localCleanSession = field("local_cleansession").optionalBool()
        if let type = field("start_type").choice(MosquittoBridge.StartType.self) { relay.startType = type }
        if let type = field("reload_type").choice(MosquittoBridge.ReloadType.self) { relay.reloadType = type }
        let version = field("protocol_version").choice(MosquittoBridge.ProtocolVersion.self)
        if let version { relay.protocolVersion = version }
    }

    private func readRelayNumbers(_ relay: inout MosquittoBridge) {
        func read(_ key: String, _ target: WritableKeyPath<MosquittoBridge, Int>, _ range: ClosedRange<Int>) {
            if let value = field(key).integer(range) { relay[keyPath: target] = value }
        }
        func seconds(_ key: String, _ target: WritableKeyPath<MosquittoBridge, Int>, _ range: ClosedRange<Int64>) {
            let duration = field(key).duration(
                range.lowerBound * 1_000...range.upperBound * 1_000,
                secondsByDefault: true
            )
            if let duration { relay[keyPath: target] = Int(duration.components.seconds) }
        }
        seconds("keepalive_interval", \.keepAliveSeconds, 5...65_535)
        seconds("idle_timeout", \.idleTimeoutSeconds, 1...86_400)
        read("threshold", \.threshold, 1...1_000_000)
        read("max_packet_size", \.maxPacketBytes, 0...268_435_455)
        read("max_topic_alias", \.maxTopicAlias, 0...65_535)
        relay.receiveMaximum = field("receive_maximum").integer(1...65_535)
        seconds("session_expiry_interval", \.sessionExpirySeconds, 0...Int64(Int32.max))
        if let restart = field("restart_timeout").mapping({ $0.relayRestart() }) { relay.restart = restart }
        let keepAlive = field("tcp_keepalive")
        if let numbers = keepAlive.elements(max: 3)?.compactMap({ $0.integer(1...86_400) }) {
            if numbers.count == 3 {
                relay.tcpKeepAlive = numbers
            } else {
                keepAlive.report("is not three numbers", hint: "[idle, interval, probes]")
            }
        }
        relay.tcpUserTimeoutMilliseconds = field("tcp_user_timeout").integer(0...86_400_000)
    }

    private func relayRestart() -> MosquittoBridge.Restart? {
        let constant = field("seconds")
        let baseField = field("base")
        let capField = field("cap")
        let stable = field("stable").integer(0...86_400) ?? 0
        let seconds = constant.integer(RelayBounds.restartSeconds)
        let base = baseField.integer(RelayBounds.restartSeconds) ?? 5
        let cap = capField.integer(RelayBounds.restartSeconds) ?? 30
        if constant.isPresent, baseField.isPresent || capField.isPresent {
            constant.reportKey("'seconds' contradicts 'base' and 'cap'", hint: "one wait, or one that grows")
        }
        if constant.isPresent { return seconds.map { .constant(seconds: $0) } }
        if cap < base { report("'cap' is less than 'base'", hint: "the wait grows from base (5) to cap (30)") }
        return .backoff(baseSeconds: base, capSeconds: cap, stableSeconds: stable)
    }

    private func relayTLS() -> MosquittoBridge.TLS {
        var tls = MosquittoBridge.TLS()
        tls.authorityFile = field("cafile").path(.certificates)
        tls.authorityFolder = field("capath").path(.folder)
        let isSystem = tls.authorityFile == nil && tls.authorityFolder == nil
        tls.usesSystemAuthorities = field("use_os_certs").bool(default: isSystem)
        let certificate = field("certfile")
        let key = field("keyfile")
        tls.certificateFile = certificate.path(.certificates)
        tls.keyFile = key.path(.privateKey)
        if certificate.isPresent != key.isPresent {
            let given = certificate.isPresent ? certificate : key
            given.reportKey("'certfile' and 'keyfile' need each other")
        }
        let insecure = field("insecure")
        tls.skipsHostNameCheck = insecure.bool(default: false)
        if tls.skipsHostNameCheck {
            insecure.reportKey(
                "the other side's host name goes unchecked: whoever has a certificate of the authority can pose as it",
                hint: "for trials only",
                severity: .warning
            )
        }
        tls.version = field("tls_version").choice(TLSVersion.self)?.rawValue
        tls.applicationProtocol = field("alpn").words(maxBytes: 255)
        tls.ciphers = field("ciphers").words(maxBytes: 4_096)
        tls.ciphersTLS13 = field("ciphers_tls1.3").words(maxBytes: 4_096)
        return tls
    }

    fileprivate func relayTopic() -> MosquittoBridge.Topic? {
        let pattern = field("topic")
        if !pattern.isPresent { pattern.reportMissing(hint: "\"\" stands for the two prefixes alone") }
        let text = pattern.text(expected: "a topic filter")
        let direction = field("direction").choice(MosquittoBridge.Direction.self) ?? .out
        let qos = field("qos").integer(0...2) ?? 0
        let local = field("local_prefix").words(maxBytes: TopicSyntax.bytesMax) ?? ""
        let remote = field("remote_prefix").words(maxBytes: TopicSyntax.bytesMax) ?? ""
        guard let text else { return nil }
        let topic = MosquittoBridge.Topic(
            pattern: text.isEmpty ? nil : text,
            direction: direction,
            qos: qos,
            localPrefix: local,
            remotePrefix: remote,
            place: MosquittoPlace(file: reader.file, line: position.line)
        )
        if text.isEmpty, local.isEmpty || remote.isEmpty {
            pattern.report("is empty, which needs both prefixes", hint: "they are then the topics of the two sides")
        } else if !MosquittoTopic.isName(local) || !MosquittoTopic.isName(remote) {
            report("a prefix holds no wildcards")
        } else if !MosquittoTopic.isFilter(topic.localFilter) || !MosquittoTopic.isFilter(topic.remoteFilter) {
            report("with its prefixes it is not a topic filter", hint: "a prefix before a wildcard ends with '/'")
        }
        return topic
    }
}

extension Field {
    fileprivate func relayAddresses() -> [MosquittoBridge.Address] {
        guard isPresent else { return [] }
        let list: [Field]?
        if case .scalar = node?.content { list = [self] } else { list = elements(max: RelayBounds.addressesMax) }
        if list?.isEmpty == true { report("is empty: there is nowhere to connect to") }
        return list?.compactMap { $0.relayAddress() } ?? []
    }

    private func relayAddress() -> MosquittoBridge.Address? {
        guard let text = words() else { return nil }
        let address = networkAddress(
            text[...],
            ports: 1...65_535,
            defaultPort: 1_883,
            example: "broker.example.com:8883"
        )
        return address.map { .init(host: $0.host, port: $0.port) }
    }

    fileprivate func relayTopics() -> [MosquittoBridge.Topic] {
        guard let list = elements(max: RelayBounds.topicsMax, hint: "each topic begins with '-'") else { return [] }
        if list.isEmpty { report("is empty: nothing would go either way") }
        return list.compactMap { $0.mapping { $0.relayTopic() } }
    }
}
