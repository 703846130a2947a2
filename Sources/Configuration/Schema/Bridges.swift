extension Field {
    private static let bridgesMax = 100

    /// What an entry of `bridges:` is.
    private enum Kind: String, CaseIterable {
        /// A way to our aggregator or to another consumer, by routes.
        case uplink
        /// A bridge as Mosquitto's `connection` blocks describe it.
        case relay
    }

    /// `bridges:`.
    func bridges(site: String, hasSiteKey: Bool) -> ([BridgeConfiguration], [MosquittoBridge]) {
        guard let elements = elements(max: Self.bridgesMax, hint: "each bridge begins with '-'") else {
            return ([], [])
        }
        var bridges: [BridgeConfiguration] = []
        var relays: [MosquittoBridge] = []
        var names: Set<String> = []
        for element in elements {
            let name: String? = element.mapping { fields in
                if fields.field("kind").choice(Kind.self) == .relay {
                    guard let relay = fields.relay() else { return nil }
                    relays.append(relay)
                    return relay.name
                }
                guard let bridge = fields.bridge(site: site, hasSiteKey: hasSiteKey) else { return nil }
                bridges.append(bridge)
                return bridge.name
            }
            if let name, !names.insert(name).inserted {
                element.report(
                    "a bridge named '\(name)' stands above already",
                    hint: "an outbox hangs on its bridge's name: choose another"
                )
            }
        }
        return (bridges, relays)
    }
}

extension Fields {
    /// Address, TLS and plain TCP, the same for every broker we connect to.
    func remote(addressField: Field, tlsField: Field, isInsecureAllowed: Bool) -> (BrokerAddress, ClientTLS?)? {
        let address = addressField.brokerAddress()
        if !addressField.isPresent { addressField.reportMissing(hint: "such as mqtts://broker.example.com:8883") }
        let tls = tlsField.mapping { $0.clientTLS() }
        guard let address else { return nil }
        if !address.usesTLS, tlsField.isPresent {
            tlsField.reportKey("'tls' contradicts 'mqtt://'", hint: "write mqtts:// or take 'tls' away")
        }
        if !address.usesTLS, !address.network.isLoopback, !isInsecureAllowed {
            addressField.report(
                "mqtt:// to \(address.host) would carry passwords and data in the clear",
                hint: "write mqtts://, or set 'insecure: true' if the network is protected otherwise"
            )
        }
        return (address, tls)
    }

    /// `username` and `password_file`.
    func credentials() -> (username: String?, passwordFile: String?) {
        let username = field("username")
        let passwordFile = field("password_file")
        let name = username.words()
        let file = passwordFile.path(.secret)
        if passwordFile.isPresent, !username.isPresent {
            passwordFile.reportKey(
                "'password_file' needs 'username'",
                hint: "MQTT 3.1.1 knows no password without a user name"
            )
        }
        return (name, file)
    }

    fileprivate func bridge(site: String, hasSiteKey: Bool) -> BridgeConfiguration? {
        let nameField = field("name")
        let name = nameField.name()
        if !nameField.isPresent { nameField.reportMissing(hint: "its outbox is called so") }
        let isInsecureAllowed = field("insecure").bool(default: false)
        let remote = remote(
            addressField: field("address"),
            tlsField: field("tls"),
            isInsecureAllowed: isInsecureAllowed
        )
        let ownSite = field("site").siteName() ?? site
        let wireProtocol = field("protocol").choice(BridgeConfiguration.WireProtocol.self) ?? .mqttv5
        let credentials = credentials()
        let prefixField = field("prefix")
        let prefix = prefixField.prefix() ?? "up/{shard}/{site}/"
        let shards = field("shards").integer(1...1_024) ?? 64
        let confirm = field("confirm").choice(BridgeConfiguration.Confirmation.self) ?? .commit
        if confirm == .commit, !Self.isAggregated(prefix, site: ownSite) {
            prefixField.report(
                "'confirm: commit' needs the aggregator, which takes what is below up/{shard}/{site}/",
                hint: "begin the prefix so, or use 'confirm: puback'"
            )
        }
        let keepAlive = field("keepalive_interval").duration(5_000...65_535_000, secondsByDefault: true)
        let restart = field("restart").mapping { $0.restart() } ?? BridgeConfiguration.Restart()
        let window = field("window").integer(1...65_535) ?? 256
        let resendField = field("resend_after")
        let resendAfter = resendField.duration(1_000...86_400_000)
        if resendField.isPresent, confirm == .puback {
            resendField.reportKey("'resend_after' has no meaning with 'confirm: puback'", hint: "take it away")
        }
        let maxOutboxBytes = field("max_outbox_bytes").bytes((1 << 20)...(1 << 50)) ?? 4 << 30
        let overflow = field("overflow").choice(BridgeConfiguration.Overflow.self) ?? .dropOldest
        let drainRate = field("drain_rate").integer(1...10_000_000)
        let routesField = field("routes")
        let routes = routesField.routes(prefix: prefix, hasSiteKey: hasSiteKey)
        if !routesField.isPresent {
            routesField.reportMissing(
                hint: "nothing leaves without a route; routes: [{ topic: \"alarm/#\", class: alarm }]"
            )
        }
        guard let name, let remote else { return nil }
        return BridgeConfiguration(
            name: name,
            address: remote.0,
            site: ownSite,
            wireProtocol: wireProtocol,
            tls: remote.1,
            username: credentials.username,
            passwordFile: credentials.passwordFile,
            prefix: prefix,
            shards: shards,
            confirm: confirm,
            keepAlive: keepAlive ?? .seconds(60),
            restart: restart,
            window: window,
            resendAfter: resendAfter ?? .seconds(10),
            maxOutboxBytes: maxOutboxBytes,
            overflow: overflow,
            drainRate: drainRate,
            routes: routes,
            position: position
        )
    }

    /// Whether the aggregator takes topics with this prefix.
    private static func isAggregated(_ prefix: String, site: String) -> Bool {
        let levels = prefix.split(separator: "/", omittingEmptySubsequences: false)
        guard levels.count >= 4, levels[0] == "up", !levels[1].isEmpty else { return false }
        return levels[2] == "{site}" || levels[2] == site
    }

    private func restart() -> BridgeConfiguration.Restart {
        var restart = BridgeConfiguration.Restart()
        let base = field("base")
        if let value = base.duration(100...3_600_000) { restart.base = value }
        if let value = field("cap").duration(100...86_400_000) { restart.cap = value }
        if restart.cap < restart.base {
            report("'cap' is shorter than 'base'", hint: "the wait grows from base (1s) to cap (60s)")
        }
        return restart
    }
}

extension Field {
    fileprivate func prefix() -> String? {
        guard let text = text() else { return nil }
        if text.isEmpty { return "" }
        guard text.hasSuffix("/") else {
            report("'\(text)' does not end with '/'", hint: "write \(text)/")
            return nil
        }
        return checked(text) { text throws(TopicSyntax.Mistake) in
            try TopicSyntax.destination(text)
            try TopicSyntax.template(text, captures: nil, words: ["site", "shard"])
        }
    }
}
