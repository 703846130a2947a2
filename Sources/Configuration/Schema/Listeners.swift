/// Bounds of the lists and numbers of a listener.
enum ListenerBounds {
    static let listenersMax = 1_000
    static let connections = 0...1_000_000
    static let packetBytes = 20...268_435_455
    static let socketPathBytesMax = 107
    static let networksMax = 1_000
    static let pathsMax = 100
    static let originsMax = 1_000
}

/// What the rest of the file says that matters to a listener.
struct ListenerSurroundings {
    /// Whether anybody has credentials for all listeners.
    var hasUsers: Bool
    /// Whether the file is the translation of one that may be as strange as Mosquitto takes it.
    var isMosquitto = false
}

extension Field {
    /// `listeners:`.
    func listeners(_ surroundings: ListenerSurroundings) -> [ListenerConfiguration] {
        guard let elements = elements(max: ListenerBounds.listenersMax, hint: "each listener begins with '-'") else {
            return []
        }
        var listeners: [ListenerConfiguration] = []
        for element in elements {
            let listener = element.mapping { $0.listener(surroundings) }
            guard let listener else { continue }
            if listeners.contains(where: { $0.name == listener.name }) {
                element.report("a listener named '\(listener.name)' stands above already", hint: "choose another name")
            } else if listener.unixSocket == nil,
                let other = listeners.first(where: { $0.bind == listener.bind && listener.bind.port != 0 })
            {
                element.report("\(listener.bind) is taken by the listener '\(other.name)'", hint: "choose another port")
            }
            listeners.append(listener)
        }
        return listeners
    }
}

extension Fields {
    fileprivate func listener(_ surroundings: ListenerSurroundings) -> ListenerConfiguration? {
        let name = field("name").name()
        let tlsField = field("tls")
        let tls = tlsField.mapping { $0.listenerTLS() }
        let endpoint = endpoint(isPlain: !tlsField.isPresent)
        let usersField = field("users")
        let accessField = field("access")
        let users = usersField.users()
        let access = accessField.access()
        let proxy = field("proxy_protocol").mapping { $0.proxyProtocol(hasTLS: tlsField.isPresent) }
        let anonymousField = field("allow_anonymous")
        let hasUsers = surroundings.hasUsers || usersField.isPresent || access?.dynamicSecurityFile != nil
        let isPrivate = !tlsField.isPresent && endpoint?.isPrivate ?? false
        let allowAnonymous = anonymousField.bool(default: isPrivate && !hasUsers)
        let knowsByCertificate =
            tls.map { $0.requireCertificate && ($0.useIdentityAsUsername || $0.useSubjectAsUsername) } ?? false
            || proxy?.useIdentityAsUsername ?? false
        if endpoint != nil, tls != nil || !tlsField.isPresent, !allowAnonymous, !hasUsers, !knowsByCertificate {
            reader.report(
                surroundings.isMosquitto ? .warning : .error,
                at: position,
                path: path,
                "nobody could enter here: no users, no anonymous clients, and certificates do not name the user",
                hint: "add 'users: { password_file: … }', 'allow_anonymous: true', "
                    + "or 'require_certificate' with 'use_identity_as_username'"
            )
        }
        let webSocketsField = field("websockets")
        let wireProtocol = field("protocol").choice(ListenerConfiguration.WireProtocol.self) ?? .mqtt
        let webSockets = webSocketsField.mapping { $0.webSockets() }
        if webSocketsField.isPresent, wireProtocol != .websockets {
            webSocketsField.reportKey("'websockets' needs 'protocol: websockets'")
        }
        let maxConnections = field("max_connections").integer(ListenerBounds.connections) ?? 10_000
        let grants = ListenerGrants(self)
        guard let endpoint else { return nil }
        var listener = ListenerConfiguration(
            name: name ?? endpoint.unixSocket?.path ?? endpoint.bind.description,
            bind: endpoint.bind,
            isInsecureAllowed: endpoint.isInsecureAllowed,
            allowAnonymous: allowAnonymous,
            tls: tls,
            maxConnections: maxConnections,
            position: position
        )
        listener.unixSocket = endpoint.unixSocket
        listener.interface = endpoint.interface
        listener.family = endpoint.family
        listener.wireProtocol = wireProtocol
        listener.webSockets = webSockets ?? ListenerConfiguration.WebSockets()
        listener.proxyProtocol = proxy
        listener.users = users
        listener.access = access
        grants.apply(to: &listener)
        return listener
    }

    /// Where a listener is reached.
    private struct Endpoint {
        var bind: NetworkAddress
        var unixSocket: ListenerConfiguration.UnixSocket?
        var interface: String?
        var family: ListenerConfiguration.AddressFamily
        var isInsecureAllowed: Bool

        /// Whether only this machine can reach it.
        var isPrivate: Bool { unixSocket != nil || bind.isLoopback }
    }

    private func endpoint(isPlain: Bool) -> Endpoint? {
        let bindField = field("bind")
        let socketField = field("socket")
        let modeField = field("socket_mode")
        let insecureField = field("insecure")
        let bind = bindField.bindAddress()
        let socket = socketField.unixSocket(mode: modeField)
        let interface = field("interface").words(maxBytes: 15)
        let family = field("family").choice(ListenerConfiguration.AddressFamily.self) ?? .any
        let isInsecureAllowed = insecureField.bool(default: false)
        if bindField.isPresent, socketField.isPresent {
            socketField.reportKey("'socket' contradicts 'bind'", hint: "make it a listener of its own")
        } else if !bindField.isPresent, !socketField.isPresent {
            bindField.reportMissing(hint: "such as bind: 0.0.0.0:8883, or socket: /run/causeway.sock")
        }
        if let bind, isPlain, !bind.isLoopback, !isInsecureAllowed {
            bindField.report(
                "plain TCP on \(bind) would carry passwords and data in the clear",
                hint: "add 'tls:', bind to 127.0.0.1, or set 'insecure: true' if the network is protected otherwise"
            )
        }
        if isInsecureAllowed, !isPlain || socketField.isPresent {
            let other = isPlain ? "socket" : "tls"
            insecureField.reportKey("'insecure' contradicts '\(other)'", hint: "take one of them away")
        }
        if let socket {
            return Endpoint(
                bind: NetworkAddress(host: "", port: 0),
                unixSocket: socket,
                family: .any,
                isInsecureAllowed: false
            )
        }
        return bind.map {
            Endpoint(bind: $0, interface: interface, family: family, isInsecureAllowed: isInsecureAllowed)
        }
    }

    private func webSockets() -> ListenerConfiguration.WebSockets {
        var webSockets = ListenerConfiguration.WebSockets()
        let paths = field("paths")
        if let list = paths.wordList(max: ListenerBounds.pathsMax) {
            for path in list where !path.hasPrefix("/") {
                paths.report("'\(path)' is not a path", hint: "it begins with '/'")
            }
            webSockets.paths = list
        }
        webSockets.origins = field("origins").wordList(max: ListenerBounds.originsMax) ?? []
        return webSockets
    }

    private func proxyProtocol(hasTLS: Bool) -> ListenerConfiguration.ProxyProtocol {
        var proxy = ListenerConfiguration.ProxyProtocol()
        if let version = field("version").choice(ListenerConfiguration.ProxyProtocol.Version.self) {
            proxy.version = version
        }
        let from = field("from")
        proxy.from = from.wordList(max: ListenerBounds.networksMax) ?? []
        for network in proxy.from where !IPAddress.isNetwork(network) {
            from.report("'\(network)' is not a network", hint: "such as 10.0.0.0/8 or ::1")
        }
        if proxy.from.isEmpty {
            reader.report(
                .warning,
                at: position,
                path: path,
                "whoever connects may say that it is a proxy, and where its client is",
                hint: "name the proxies: from: [10.0.0.0/8]"
            )
        }
        proxy.requireTLS = field("require_tls").bool(default: false)
        let certificate = field("require_certificate")
        proxy.requireCertificate = certificate.bool(default: false)
        let identity = field("use_identity_as_username")
        proxy.useIdentityAsUsername = identity.bool(default: false)
        for field in [certificate, identity] where field.isPresent && hasTLS {
            field.reportKey("the listener has TLS of its own", hint: "say it there")
        }
        return proxy
    }
}

/// What a listener asks of its clients and grants them.
private struct ListenerGrants {
    private var set: [(inout ListenerConfiguration) -> Void] = []

    init(_ fields: Fields) {
        let versions = fields.field("accept_protocol_versions")
        if let list = versions.elements(max: ProtocolVersion.allCases.count) {
            let chosen = Set(list.compactMap { $0.choice(ProtocolVersion.self) })
            if list.isEmpty { versions.report("is empty: no client could connect", severity: .warning) }
            set.append { $0.protocolVersions = chosen }
        }
        let mountPoint = fields.field("mount_point")
        if let text = mountPoint.words(maxBytes: TopicSyntax.bytesMax) {
            if !MosquittoTopic.isName(text) { mountPoint.report("holds a wildcard", hint: "such as ward-3/") }
            set.append { $0.mountPoint = text }
        }
        let bytes = fields.field("max_packet_size").bytes(ListenerBounds.packetBytes)
        let keepAlive = fields.field("max_keepalive").duration(0...65_535_000, secondsByDefault: true)
        let qos = fields.field("max_qos").integer(0...2)
        let retain = fields.field("retain_available").optionalBool()
        let receive = fields.field("receive_maximum").integer(1...65_535)
        let alias = fields.field("topic_alias_maximum").integer(0...65_535)
        let outbound = fields.field("max_topic_alias_broker").integer(0...65_535)
        let rate = fields.field("max_publish_rate").integer(0...100_000_000)
        let byteRate = fields.field("max_publish_bytes_per_second").bytes(0...(1 << 40))
        let allowsEmpty = fields.field("allow_zero_length_clientid").bool(default: true)
        let prefix = fields.field("auto_id_prefix").words(maxBytes: 50)
        let usesUsername = fields.field("use_username_as_clientid").bool(default: false)
        set.append { listener in
            listener.maxPacketBytes = bytes
            listener.maxKeepAliveSeconds = keepAlive.map { Int($0.components.seconds) }
            listener.maxQoS = qos ?? 2
            listener.isRetainAvailable = retain
            listener.receiveMaximum = receive
            listener.topicAliasMaximum = alias
            listener.topicAliasMaximumOutbound = outbound
            listener.maxPublishRate = rate
            listener.maxPublishBytesPerSecond = byteRate
            listener.allowsEmptyClientID = allowsEmpty
            listener.assignedClientIDPrefix = prefix
            listener.usesUsernameAsClientID = usesUsername
        }
    }

    func apply(to listener: inout ListenerConfiguration) {
        for change in set { change(&listener) }
    }
}

extension Field {
    fileprivate func unixSocket(mode: Field) -> ListenerConfiguration.UnixSocket? {
        let text = mode.text()
        let bits = text.flatMap { UInt16($0, radix: 8) }
        if mode.isPresent, text != nil, bits.map({ $0 <= 0o777 }) != true {
            mode.report("'\(text ?? "")' is not a mode", hint: "in octal, such as 660")
        }
        if mode.isPresent, !isPresent { mode.reportKey("'socket_mode' needs 'socket'") }
        guard let path = words(maxBytes: 4_096) else { return nil }
        let resolved = PathResolution.resolve(path, besideFile: reader.file)
        guard resolved.utf8.count <= ListenerBounds.socketPathBytesMax else {
            report("is longer than \(ListenerBounds.socketPathBytesMax) bytes, which the system does not take")
            return nil
        }
        return ListenerConfiguration.UnixSocket(path: resolved, mode: bits ?? 0o600)
    }
}
