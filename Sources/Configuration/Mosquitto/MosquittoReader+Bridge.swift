extension MosquittoReader {
    private static let connectionsMax = 1_000
    private static let topicsMax = 100_000

    /// `connection` and what stands below it, apart from TLS.
    func readConnection(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "connection": try beginConnection(&line)
        case "address", "addresses": try readAddresses(&line)
        case "topic": try readTopic(&line)
        case "start_type":
            let word = try line.word()
            guard word != "manual" else { throw MosquittoMistake("Manual start_type not supported.") }
            guard let type = MosquittoBridge.StartType(rawValue: word) else {
                throw MosquittoMistake("Invalid 'start_type' value in configuration (\(word)).")
            }
            try withConnection(line) { $0.startType = type }
        case "bridge_reload_type":
            let type = try line.choice(MosquittoBridge.ReloadType.self)
            try withConnection(line) { $0.reloadType = type }
        case "bridge_protocol_version":
            let version = try line.choice(MosquittoBridge.ProtocolVersion.self)
            try withConnection(line) { $0.protocolVersion = version }
        case "keepalive_interval":
            let seconds = try line.integer()
            guard seconds <= 65_535 else { throw MosquittoMistake("Bridge keepalive value too high.") }
            try withConnection(line) { $0.keepAliveSeconds = max(5, seconds) }
        case "idle_timeout":
            let seconds = max(1, try line.integer())
            try withConnection(line) { $0.idleTimeoutSeconds = seconds }
        case "threshold":
            let messages = max(1, try line.integer())
            try withConnection(line) { $0.threshold = messages }
        case "restart_timeout":
            let restart = try restart(&line)
            try withConnection(line) { $0.restart = restart }
        case "bridge_max_packet_size":
            let bytes = max(0, try line.integer())
            try withConnection(line) { $0.maxPacketBytes = bytes }
        case "bridge_max_topic_alias":
            let count = try line.integer(0...65_535)
            try withConnection(line) { $0.maxTopicAlias = count }
        case "bridge_receive_maximum":
            let count = try line.integer(1...65_535)
            try withConnection(line) { $0.receiveMaximum = count }
        case "bridge_session_expiry_interval":
            let seconds = try line.integer(0...Int(Int32.max))
            try withConnection(line) { $0.sessionExpirySeconds = seconds }
        case "bridge_tcp_keepalive":
            let numbers = [try line.integer(), try line.integer(), try line.integer()]
            guard numbers.allSatisfy({ $0 > 0 }) else { throw MosquittoMistake("invalid TCP keepalive value.") }
            try withConnection(line) { $0.tcpKeepAlive = numbers }
        case "bridge_tcp_user_timeout":
            let milliseconds = try line.integer()
            guard milliseconds >= 0 else { throw MosquittoMistake("invalid TCP user timeout value.") }
            try withConnection(line) { $0.tcpUserTimeoutMilliseconds = milliseconds }
        default:
            if try readConnectionFlag(&line) { return true }
            return try readConnectionText(&line)
        }
        return true
    }

    private func readConnectionFlag(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        let flag: WritableKeyPath<MosquittoBridge, Bool>
        switch line.name {
        case "local_cleansession":
            let value = try line.flag()
            try withConnection(line) { $0.localCleanSession = value }
            return true
        case "cleansession": flag = \.cleanSession
        case "notifications": flag = \.notifications
        case "notifications_local_only": flag = \.notificationsLocalOnly
        case "try_private": flag = \.tryPrivate
        case "round_robin": flag = \.roundRobin
        case "bridge_attempt_unsubscribe": flag = \.attemptUnsubscribe
        case "bridge_outgoing_retain": flag = \.outgoingRetain
        default: return false
        }
        let value = try line.flag()
        try withConnection(line) { $0[keyPath: flag] = value }
        return true
    }

    private func readConnectionText(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "remote_clientid", "clientid": try setText(\.remoteClientID, &line)
        case "remote_username", "username": try setText(\.remoteUsername, &line)
        case "remote_password", "password": try setText(\.remotePassword, &line)
        case "local_clientid": try setText(\.localClientID, &line)
        case "local_username": try setText(\.localUsername, &line)
        case "local_password": try setText(\.localPassword, &line)
        case "notification_topic": try setText(\.notificationTopic, &line)
        case "bridge_bind_address": try setText(\.bindAddress, &line)
        default: return false
        }
        return true
    }

    /// TLS of a bridge.
    func readConnectionTLS(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "bridge_cafile": try setText(\.tls.authorityFile, &line)
        case "bridge_capath": try setText(\.tls.authorityFolder, &line)
        case "bridge_certfile": try setText(\.tls.certificateFile, &line)
        case "bridge_keyfile": try setText(\.tls.keyFile, &line)
        case "bridge_tls_version": try setText(\.tls.version, &line)
        case "bridge_alpn": try setText(\.tls.applicationProtocol, &line)
        case "bridge_ciphers": try setText(\.tls.ciphers, &line)
        case "bridge_ciphers_tls1.3": try setText(\.tls.ciphersTLS13, &line)
        case "bridge_identity": try setText(\.tls.sharedKeyIdentity, &line)
        case "bridge_psk": try setText(\.tls.sharedKey, &line)
        case "bridge_insecure":
            let value = try line.flag()
            try withConnection(line) { $0.tls.skipsHostNameCheck = value }
        case "bridge_tls_use_os_certs":
            let value = try line.flag()
            try withConnection(line) { $0.tls.usesSystemAuthorities = value }
        case "bridge_require_ocsp":
            let value = try line.flag()
            try withConnection(line) { _ in }
            if value { note(.security, "the other broker's certificate is not asked for by OCSP", line) }
        default: return false
        }
        return true
    }

    private func beginConnection(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        let name = try line.word()
        let index = configuration.bridges.count
        guard index < Self.connectionsMax else { throw MosquittoMistake("There are more than 1,000 bridges.") }
        let isTaken = configuration.bridges.contains { $0.name == name }
        configuration.bridges.append(MosquittoBridge(name: name, place: line.place))
        context.connection = index
        guard !isTaken else { throw MosquittoMistake("Duplicate bridge name '\(name)'.") }
    }

    private func readAddresses(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        var addresses: [MosquittoBridge.Address] = []
        while let word = line.nextWord(), word.first != "#" {
            guard let colon = word.lastIndex(of: ":") else {
                addresses.append(.init(host: word))
                continue
            }
            let port = MosquittoLine.leadingNumber(String(word[word.index(after: colon)...]))
            guard (1...65_535).contains(port) else {
                throw MosquittoMistake(
                    "Invalid bridge port value (\(port)).",
                    hint: "host:port; an IPv6 address needs its port"
                )
            }
            addresses.append(.init(host: Self.withoutBrackets(word[..<colon]), port: port))
        }
        guard !addresses.isEmpty else { throw MosquittoMistake("Empty address value in configuration.") }
        let isSecond = context.connection.map { !configuration.bridges[$0].addresses.isEmpty } ?? false
        guard !isSecond else {
            throw MosquittoMistake("Invalid bridge configuration, 'address' only allowed once.")
        }
        try withConnection(line) { $0.addresses = addresses }
    }

    private static func withoutBrackets(_ host: Substring) -> String {
        host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : String(host)
    }

    /// `topic pattern [[[out|in|both] qos] local-prefix remote-prefix]`.
    private func readTopic(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        try withConnection(line) { _ in }
        var pattern = try line.word()
        if pattern.hasPrefix("\""), pattern != "\"\"" {
            if pattern.count > 1, pattern.hasSuffix("\"") {
                pattern = String(pattern.dropFirst().dropLast())
            } else {
                guard let rest = line.throughQuote() else {
                    throw MosquittoMistake("Missing closing quote in topic value (\(pattern)).")
                }
                pattern = pattern.dropFirst() + rest
            }
        }
        var topic = MosquittoBridge.Topic(pattern: pattern == "\"\"" ? nil : pattern, place: line.place)
        if let word = line.nextWord(), word.first != "#" {
            guard let direction = MosquittoBridge.Direction(rawValue: word.lowercased()) else {
                throw MosquittoMistake("Invalid bridge topic direction '\(word)'.", hint: "out, in or both")
            }
            topic.direction = direction
            if let word = line.nextWord(), word.first != "#" {
                topic.qos = MosquittoLine.leadingNumber(word)
                guard (0...2).contains(topic.qos) else {
                    throw MosquittoMistake("Invalid bridge QoS level '\(word)'.")
                }
                topic.localPrefix = try prefix(&line, "local", pattern: topic.pattern)
                topic.remotePrefix = try prefix(&line, "remote", pattern: topic.pattern)
            }
        }
        guard topic.pattern != nil || !topic.localPrefix.isEmpty && !topic.remotePrefix.isEmpty else {
            throw MosquittoMistake("Invalid bridge remapping.", hint: "\"\" needs both prefixes")
        }
        if let pattern = topic.pattern, !MosquittoTopic.isFilter(pattern) {
            throw MosquittoMistake("Invalid bridge topic '\(pattern)'.")
        }
        let count = configuration.bridges.reduce(0) { $0 + $1.topics.count }
        guard count < Self.topicsMax else { throw MosquittoMistake("There are more than 100,000 bridge topics.") }
        try withConnection(line) { $0.topics.append(topic) }
    }

    private func prefix(
        _ line: inout MosquittoLine,
        _ side: String,
        pattern: String?
    ) throws(MosquittoMistake) -> String {
        guard let word = line.nextWord(), word.first != "#", word != "\"\"" else { return "" }
        guard MosquittoTopic.isName(word) else {
            throw MosquittoMistake("Invalid bridge topic \(side) prefix '\(word)'.")
        }
        guard MosquittoTopic.isFilter(word + (pattern ?? "")) else {
            throw MosquittoMistake(
                "Invalid bridge topic \(side) prefix and pattern combination '\(word + (pattern ?? ""))'.",
                hint: "a prefix before a wildcard ends with '/'"
            )
        }
        return word
    }

    /// `restart_timeout base [cap [stable]]`.
    private func restart(_ line: inout MosquittoLine) throws(MosquittoMistake) -> MosquittoBridge.Restart {
        let base = min(max(1, MosquittoLine.leadingNumber(try line.word())), 3_600)
        guard let capWord = line.nextWord() else { return .constant(seconds: base) }
        let cap = MosquittoLine.leadingNumber(capWord)
        guard cap >= base else {
            throw MosquittoMistake("backoff cap is lower than the base in restart_timeout.")
        }
        let stable = line.nextWord().map(MosquittoLine.leadingNumber) ?? 0
        guard stable >= 0 else { throw MosquittoMistake("stable connection period cannot be negative.") }
        return .backoff(baseSeconds: base, capSeconds: min(cap, 7_200), stableSeconds: stable)
    }

    private func setText(
        _ target: WritableKeyPath<MosquittoBridge, String?>,
        _ line: inout MosquittoLine
    ) throws(MosquittoMistake) {
        let text = try line.text()
        var isSecond = false
        try withConnection(line) { connection in
            isSecond = connection[keyPath: target] != nil
            connection[keyPath: target] = text
        }
        if isSecond { throw duplicate(line) }
    }

    private func withConnection(
        _ line: MosquittoLine,
        _ body: (inout MosquittoBridge) -> Void
    ) throws(MosquittoMistake) {
        guard let index = context.connection else {
            throw MosquittoMistake("The '\(line.name)' option requires a bridge to be defined first.")
        }
        body(&configuration.bridges[index])
    }
}
