extension MosquittoReader {
    private static let listenersMax = 1_000

    /// `listener` and what stands below it, apart from TLS.
    func readListener(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "listener": try beginListener(&line)
        case "port":
            configuration.isLocalOnly = false
            try useDefaultListener(line)
            let port = try line.integer(1...65_535)
            try withListener(line) { $0.port = port }
        case "bind_address":
            configuration.isLocalOnly = false
            try useDefaultListener(line)
            let host = try line.text()
            let isSecond = context.listener.map { configuration.listeners[$0].host != nil } ?? false
            guard !isSecond else { throw duplicate(line) }
            try withListener(line) { $0.host = host }
        case "bind_interface":
            let interface = try line.text()
            try withListenerOrDefault(line) { $0.bindInterface = interface }
            note(.different, "a listener is bound to an address, not to a network interface", line)
        case "socket_domain":
            let domain = try line.choice(MosquittoListener.SocketDomain.self)
            try withListenerOrDefault(line) { $0.socketDomain = domain }
        case "protocol":
            let wireProtocol = try line.choice(MosquittoListener.WireProtocol.self)
            try withListenerOrDefault(line) { $0.wireProtocol = wireProtocol }
            if wireProtocol == .httpAPI { note(.different, "health and metrics are served by 'console'", line) }
        case "mount_point":
            let prefix = try line.text()
            guard MosquittoTopic.isName(prefix) else {
                throw MosquittoMistake(
                    "Invalid 'mount_point' value (\(prefix)). Does it contain a wildcard character?"
                )
            }
            try withListener(line) { $0.mountPoint = prefix }
        case "http_dir":
            let folder = try line.located()
            try withListener(line) { $0.httpFolder = folder }
            note(.different, "files are not served beside WebSocket", line)
        case "websockets_origin":
            let origin = try line.text()
            try withListener(line) { $0.origins.append(origin) }
        default: return try readListenerLimit(&line)
        }
        return true
    }

    private func readListenerLimit(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "max_connections":
            let count = try line.integer()
            try withListenerOrDefault(line) { $0.maxConnections = count < 0 ? nil : count }
        case "max_qos", "maximum_qos":
            let qos = try line.integer()
            guard (0...2).contains(qos) else {
                throw MosquittoMistake("'max_qos' must be between 0 and 2 inclusive.")
            }
            try withListenerOrDefault(line) { $0.maxQoS = qos }
        case "max_topic_alias":
            let count = try line.integer(0...65_535)
            try withListener(line) { $0.maxTopicAlias = count }
        case "max_topic_alias_broker":
            let count = try line.integer(0...65_535)
            try withListener(line) { $0.maxTopicAliasBroker = count }
        case "accept_protocol_versions":
            let words = try line.text().split { $0 == "," || $0 == " " || $0 == "\t" }
            let versions = Set(words.compactMap { Int($0) }.filter { (3...5).contains($0) })
            if versions.isEmpty {
                report(
                    "no version of MQTT is left that a client could speak",
                    hint: "3, 4 and 5 are known, for MQTT 3.1, 3.1.1 and 5.0",
                    severity: .warning,
                    option: line.name,
                    at: line.place
                )
            }
            try withOwnListener(line) { $0.protocolVersions = versions }
        case "use_username_as_clientid":
            let value = try line.flag()
            try withListenerOrDefault(line) { $0.useUsernameAsClientID = value }
        case "enable_proxy_protocol":
            let version = try line.integer()
            guard (1...2).contains(version) else { throw MosquittoMistake("enable_proxy_protocol must be 1 or 2.") }
            try withListener(line) { $0.proxyProtocol = version }
        case "proxy_protocol_v2_require_tls":
            let value = try line.flag()
            try withListener(line) { $0.proxyRequiresTLS = value }
        default: return false
        }
        return true
    }

    private func beginListener(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        configuration.isLocalOnly = false
        // Whatever is wrong with the line, those below belong to it.
        let index = configuration.listeners.count
        guard index < Self.listenersMax else { throw MosquittoMistake("There are more than 1,000 listeners.") }
        configuration.listeners.append(MosquittoListener(port: 0, place: line.place))
        context.listener = index
        let port = try line.integer("listener port")
        guard (0...65_535).contains(port) else { throw MosquittoMistake("Invalid 'port' value (\(port)).") }
        var address = line.nextWord()
        if address?.first == "#" { address = nil }
        configuration.listeners[index].port = port
        if port > 0 {
            configuration.listeners[index].host = address
        } else if let address {
            configuration.listeners[index].socketPath = address
        } else {
            throw MosquittoMistake(
                "A listener with port 0 must provide a Unix socket path.",
                hint: "listener 0 /run/mosquitto.sock"
            )
        }
    }

    private func useDefaultListener(_ line: MosquittoLine) throws(MosquittoMistake) {
        if defaultListener == nil {
            defaultListener = configuration.listeners.count
            configuration.listeners.append(MosquittoListener(port: 1_883, place: line.place))
        }
        context.listener = defaultListener
    }

    /// For options that need a `listener` line above.
    func withListener(
        _ line: MosquittoLine,
        _ body: (inout MosquittoListener) -> Void
    ) throws(MosquittoMistake) {
        guard let index = context.listener else {
            throw MosquittoMistake("The '\(line.name)' option requires a listener to be defined first.")
        }
        body(&configuration.listeners[index])
    }

    /// For options that need one and do not count the default listener.
    private func withOwnListener(
        _ line: MosquittoLine,
        _ body: (inout MosquittoListener) -> Void
    ) throws(MosquittoMistake) {
        guard context.listener != nil, context.listener != defaultListener else {
            throw MosquittoMistake("The '\(line.name)' option requires a listener to be defined first.")
        }
        try withListener(line, body)
    }

    /// For options that make the default listener if there is none above.
    func withListenerOrDefault(
        _ line: MosquittoLine,
        _ body: (inout MosquittoListener) -> Void
    ) throws(MosquittoMistake) {
        if context.listener == nil { try useDefaultListener(line) }
        try withListener(line, body)
    }
}
