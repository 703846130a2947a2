extension SiteConfiguration {
    /// What the command line and the surroundings add to a mosquitto.conf.
    public struct MosquittoOptions: Sendable {
        /// The name of the site, for what Mosquitto has no word for.
        public var site: String
        /// The host's name: part of the client identifiers of bridges.
        public var hostName: String
        /// The folder that relative paths count from; nil leaves them as they are, to count from where the process runs.
        public var baseFolder: String?
        /// `--port`: as with Mosquitto it counts only where the file makes no listener.
        public var ports: [Int]

        /// Makes options.
        public init(
            site: String = "mosquitto",
            hostName: String,
            baseFolder: String? = nil,
            ports: [Int] = []
        ) {
            self.site = site
            self.hostName = hostName
            self.baseFolder = baseFolder
            self.ports = ports
        }
    }

    /// The site that a mosquitto.conf describes: with Mosquitto's limits and its manners on the wire.
    ///
    /// - Parameters:
    ///   - mosquitto: What the file says.
    ///   - options: What it does not say.
    ///   - notes: Gets what cannot be carried over, beside ``MosquittoSettings/notes``.
    public init(mosquitto: MosquittoSettings, options: MosquittoOptions, notes: inout [MosquittoNote]) {
        var translation = MosquittoTranslation(settings: mosquitto, options: options)
        self = translation.site()
        notes += translation.notes
    }
}

/// The way from Mosquitto's words to ours.
struct MosquittoTranslation {
    /// Stands for "no limit" where Mosquitto has none and we must have one.
    static let countMax = 1_000_000_000
    /// The same for bytes.
    static let bytesMax = 1 << 40
    /// The same for connections.
    static let connectionsMax = 1_000_000

    let settings: MosquittoSettings
    let options: SiteConfiguration.MosquittoOptions
    var notes: [MosquittoNote] = []
    private var references: [FileReference] = []

    init(settings: MosquittoSettings, options: SiteConfiguration.MosquittoOptions) {
        self.settings = settings
        self.options = options
    }

    mutating func site() -> SiteConfiguration {
        let users = settings.perListenerSettings ? nil : users(of: settings.security)
        let access = settings.perListenerSettings ? nil : access(of: settings.security)
        let listeners = settings.isLocalOnly ? localListeners() : settings.listeners.compactMap { listener($0) }
        return SiteConfiguration(
            site: options.site,
            listeners: listeners,
            siteBroker: nil,
            users: users,
            access: access,
            compatibility: .mosquitto,
            journal: journal(),
            limits: limits(),
            sysInterval: .seconds(settings.sysIntervalSeconds),
            pidFile: settings.pidFile.map { path($0.value) },
            user: settings.user?.value,
            handlers: [],
            siteKeyFile: nil,
            bridges: [],
            relays: relays(),
            console: nil,
            log: log(),
            fileReferences: references,
            file: settings.file
        )
    }

    /// Only this machine, and anonymously unless the file says otherwise.
    private func localListeners() -> [ListenerConfiguration] {
        let ports = options.ports.isEmpty ? [1_883] : options.ports
        return ports.map { port in
            var listener = ListenerConfiguration(
                name: "localhost:\(port)",
                bind: NetworkAddress(host: "localhost", port: port),
                isInsecureAllowed: false,
                allowAnonymous: settings.security.allowAnonymous ?? true,
                maxConnections: Self.connectionsMax,
                position: .start
            )
            listener.allowsEmptyClientID = settings.security.allowZeroLengthClientID
            listener.assignedClientIDPrefix = "auto-"
            listener.topicAliasMaximum = 10
            listener.topicAliasMaximumOutbound = 10
            return listener
        }
    }

    private mutating func listener(_ from: MosquittoListener) -> ListenerConfiguration? {
        // What asks for more than can be had is left out: without it, it would let in whom it keeps out.
        guard from.wireProtocol != .httpAPI, from.sharedKeyHint == nil, hasAuthorities(from) else { return nil }
        let own = from.security
        let shared = settings.perListenerSettings ? MosquittoSecurity() : settings.security
        let bind = NetworkAddress(host: from.socketPath == nil ? from.host ?? "" : "", port: from.port)
        var listener = ListenerConfiguration(
            name: from.socketPath.map { path($0) } ?? bind.description,
            bind: bind,
            isInsecureAllowed: from.certificateFile == nil && from.socketPath == nil && !bind.isLoopback,
            allowAnonymous: (own.allowAnonymous ?? shared.allowAnonymous ?? false) && !hasUnknownPlugin(own, shared),
            maxConnections: from.maxConnections ?? Self.connectionsMax,
            position: position(from.place)
        )
        listener.unixSocket = from.socketPath.map { .init(path: path($0), mode: 0o660) }
        listener.interface = from.bindInterface
        listener.family = from.socketDomain.map { $0 == .ipv4 ? .ipv4 : .ipv6 } ?? .any
        listener.wireProtocol = from.wireProtocol == .websockets ? .websockets : .mqtt
        listener.webSockets.origins = from.origins
        listener.proxyProtocol = proxyProtocol(from)
        listener.tls = tls(from)
        listener.users = users(of: own)
        listener.access = access(of: own)
        listener.protocolVersions = Set(
            from.protocolVersions.compactMap { version -> ProtocolVersion? in
                switch version {
                case 3: .v31
                case 4: .v311
                case 5: .v5
                default: nil
                }
            }
        )
        listener.mountPoint = from.mountPoint ?? ""
        listener.maxQoS = from.maxQoS
        listener.topicAliasMaximum = from.maxTopicAlias
        listener.topicAliasMaximumOutbound = from.maxTopicAliasBroker
        listener.allowsEmptyClientID = own.allowZeroLengthClientID && shared.allowZeroLengthClientID
        listener.assignedClientIDPrefix = own.autoIDPrefix ?? shared.autoIDPrefix ?? "auto-"
        listener.usesUsernameAsClientID = from.useUsernameAsClientID
        return listener
    }

    private mutating func hasAuthorities(_ listener: MosquittoListener) -> Bool {
        guard let folder = listener.authorityFolder, listener.authorityFile == nil else { return true }
        let isNeeded = listener.requireCertificate && listener.certificateFile != nil
        note(
            isNeeded ? .impossible : .moot,
            "capath",
            "authorities are read from one file: write them into a cafile",
            folder.place
        )
        return !isNeeded
    }

    /// Whether a plugin that is not known here would have a say in who enters.
    private func hasUnknownPlugin(_ parts: MosquittoSecurity...) -> Bool {
        parts.contains { $0.plugins.contains { settings.plugins[$0].kind == nil } }
    }

    private func proxyProtocol(_ from: MosquittoListener) -> ListenerConfiguration.ProxyProtocol? {
        guard from.proxyProtocol > 0 else { return nil }
        var proxy = ListenerConfiguration.ProxyProtocol()
        proxy.version = from.proxyProtocol == 1 ? .v1 : .v2
        proxy.requireTLS = from.proxyRequiresTLS
        if from.certificateFile == nil {
            proxy.requireCertificate = from.requireCertificate
            proxy.useIdentityAsUsername = from.useIdentityAsUsername
        }
        return proxy
    }

    private mutating func tls(_ from: MosquittoListener) -> ListenerTLS? {
        guard let certificate = from.certificateFile, let key = from.keyFile else { return nil }
        var tls = ListenerTLS(
            certificateFile: path(certificate.value),
            keyFile: path(key.value),
            authorityFile: from.authorityFile.map { path($0.value) },
            requireCertificate: from.requireCertificate,
            useIdentityAsUsername: from.useIdentityAsUsername,
            minimumVersion: .tls12
        )
        refer(certificate, .certificates, "certfile")
        refer(key, .readable, "keyfile")
        if let authority = from.authorityFile { refer(authority, .certificates, "cafile") }
        if let revocation = from.revocationFile { refer(revocation, .readable, "crlfile") }
        tls.revocationFile = from.revocationFile.map { path($0.value) }
        tls.useSubjectAsUsername = from.useSubjectAsUsername
        tls.ciphers = from.ciphers?.value
        if let version = from.tlsVersion {
            switch version.value {
            case "tlsv1.3": tls.minimumVersion = .tls13
            case "tlsv1.2": break
            default:
                note(.different, "tls_version", "TLS 1.2 is the oldest version spoken", version.place)
            }
        }
        if let ciphers = from.ciphersTLS13 {
            note(.moot, "ciphers_tls1.3", "the suites of TLS 1.3 are all strong and are not chosen from", ciphers.place)
        }
        if from.useIdentityAsUsername || from.useSubjectAsUsername, !from.requireCertificate {
            // Nobody without a certificate gets in either way; it shows at the handshake already.
            tls.requireCertificate = from.authorityFile != nil
            note(
                .different,
                from.useIdentityAsUsername ? "use_identity_as_username" : "use_subject_as_username",
                "clients without a certificate are refused at the TLS handshake, not at CONNECT",
                from.place
            )
        }
        return tls
    }

    private mutating func users(of security: MosquittoSecurity) -> UsersConfiguration? {
        guard !hasUnknownPlugin(security) else { return nil }
        var file = security.passwordFile
        for plugin in security.plugins.map({ settings.plugins[$0] }) where plugin.kind == .passwordFile {
            file = file ?? plugin.options["password_file"]
        }
        guard let file else { return nil }
        refer(file, .readable, "password_file")
        return UsersConfiguration(passwordFile: path(file.value))
    }

    private mutating func access(of security: MosquittoSecurity) -> AccessConfiguration? {
        var access = AccessConfiguration()
        var acl = security.aclFile
        for plugin in security.plugins.map({ settings.plugins[$0] }) {
            switch plugin.kind {
            case .aclFile: acl = acl ?? plugin.options["acl_file"]
            case .dynamicSecurity:
                guard let file = plugin.options["config_file"] else {
                    note(
                        .impossible,
                        "plugin",
                        "dynamic security needs plugin_opt_config_file",
                        plugin.place
                    )
                    continue
                }
                refer(file, .database, "plugin_opt_config_file")
                access.dynamicSecurityFile = path(file.value)
            case .passwordFile, .persistSQLite, nil: break
            }
        }
        if let acl {
            refer(acl, .readable, "acl_file")
            access.aclFile = path(acl.value)
        }
        return access == AccessConfiguration() ? nil : access
    }

    private mutating func journal() -> JournalConfiguration {
        var journal = JournalConfiguration()
        let database = settings.plugins.first { $0.kind == .persistSQLite }
        journal.isEnabled = settings.persistence || database != nil
        guard journal.isEnabled else { return journal }
        let location = settings.persistenceLocation?.value ?? ""
        let folder = location.isEmpty || location.hasSuffix("/") ? location : location + "/"
        // Beside Mosquitto's own file, so that two brokers that differ in it alone differ here too.
        let isUsual = settings.persistenceFile == "mosquitto.db"
        journal.path = path(folder + (isUsual ? "causeway" : settings.persistenceFile + ".causeway"))
        return journal
    }

    private mutating func limits() -> LimitsConfiguration {
        var limits = LimitsConfiguration()
        func bounded(_ value: Int, _ none: Int) -> Int { value == 0 ? none : value }
        limits.maxInflightMessages = bounded(settings.maxInflightMessages, 65_535)
        limits.receiveMaximum = limits.maxInflightMessages
        limits.maxInflightBytes = settings.maxInflightBytes
        limits.maxQueuedMessages = bounded(settings.maxQueuedMessages, Self.countMax)
        limits.maxQueuedBytes = bounded(settings.maxQueuedBytes, Self.bytesMax)
        limits.overflow = .dropNewest
        limits.maxPacketBytes = min(settings.maxPacketBytes, 268_435_455)
        limits.messageSizeLimit = settings.messageSizeLimit
        // 200 separators.
        limits.maxTopicLevels = 201
        limits.maxSubscriptions = 1_000_000
        limits.maxSessions = settings.globalMaxClients ?? 10_000_000
        limits.sessionExpiryMax = settings.persistentClientExpirationSeconds.map { .seconds($0) }
        limits.maxRetainedMessages = 100_000_000
        limits.maxKeepAliveSeconds = settings.maxKeepAliveSeconds
        limits.connectTimeout = .seconds(30)
        limits.maxConnections = settings.globalMaxConnections ?? Self.connectionsMax
        limits.maxConnectionsPerAddress = Self.connectionsMax
        limits.maxConnectionRatePerAddress = Self.connectionsMax
        limits.isRetainAvailable = settings.isRetainAvailable
        limits.checkRetainSource = settings.checkRetainSource
        limits.queueQoS0Messages = settings.queueQoS0Messages
        limits.upgradeOutgoingQoS = settings.upgradeOutgoingQoS
        limits.clientIDPrefixes = settings.clientIDPrefixes.map { [$0] } ?? []
        return limits
    }

    private func log() -> LogConfiguration {
        var log = LogConfiguration()
        let kinds = settings.log.kinds
        if kinds.contains(.debug) || kinds.contains(.internal) {
            log.level = .debug
        } else if kinds.contains(.information) || kinds.contains(.subscribe) || kinds.contains(.unsubscribe) {
            log.level = .info
        } else if kinds.contains(.notice) {
            log.level = .notice
        } else if kinds.contains(.warning) {
            log.level = .warning
        } else {
            log.level = kinds.contains(.error) ? .error : .none
        }
        if settings.log.destinations.isEmpty { log.level = .none }
        for case .file(let path) in settings.log.destinations { log.file = self.path(path) }
        return log
    }

    private mutating func relays() -> [MosquittoBridge] {
        settings.bridges.compactMap { bridge in
            guard canBeHad(bridge) else { return nil }
            var relay = bridge
            relay.remoteClientID = bridge.effectiveRemoteClientID(hostName: options.hostName)
            relay.localClientID = bridge.effectiveLocalClientID(hostName: options.hostName)
            let files: [(String?, FileReference.Purpose, String)] = [
                (bridge.tls.authorityFile, .certificates, "bridge_cafile"),
                (bridge.tls.certificateFile, .certificates, "bridge_certfile"),
                (bridge.tls.keyFile, .readable, "bridge_keyfile"),
            ]
            for case (let file?, let purpose, let setting) in files {
                refer(.init(file, place: bridge.place), purpose, setting)
            }
            relay.tls.authorityFile = bridge.tls.authorityFile.map { path($0) }
            relay.tls.authorityFolder = bridge.tls.authorityFolder.map { path($0) }
            relay.tls.certificateFile = bridge.tls.certificateFile.map { path($0) }
            relay.tls.keyFile = bridge.tls.keyFile.map { path($0) }
            return relay
        }
    }

    private mutating func refer(
        _ file: MosquittoSettings.Text,
        _ purpose: FileReference.Purpose,
        _ setting: String
    ) {
        references.append(
            FileReference(purpose: purpose, path: path(file.value), setting: setting, position: position(file.place))
        )
    }

    private mutating func canBeHad(_ bridge: MosquittoBridge) -> Bool {
        if bridge.tls.sharedKey != nil {
            note(.impossible, "bridge_psk", "TLS with shared keys is not spoken here", bridge.place)
            return false
        }
        return true
    }

    /// A path of the file, seen from where it counts.
    private func path(_ text: String) -> String {
        guard let folder = options.baseFolder, !text.hasPrefix("/") else { return text }
        return folder + (folder.hasSuffix("/") ? "" : "/") + (text.hasPrefix("./") ? String(text.dropFirst(2)) : text)
    }

    private func position(_ place: MosquittoPlace) -> SourcePosition { SourcePosition(line: place.line, column: 1) }

    private mutating func note(
        _ effect: MosquittoNote.Effect,
        _ option: String,
        _ message: String,
        _ place: MosquittoPlace
    ) {
        notes.append(MosquittoNote(effect: effect, option: option, message: message, place: place))
    }
}
