extension SiteConfiguration {
    /// Reads `site.yaml`. Nothing is opened: see ``FileChecks`` for the files it names.
    ///
    /// - Parameters:
    ///   - text: The content of the file.
    ///   - file: Its path, for messages and for relative paths in it.
    ///   - environment: What `${NAME}` in a value stands for. `$${` stands for `${` itself.
    ///   - plugins: The plugins there are, if handlers should be checked against them.
    /// - Returns: The values, or every mistake found.
    public static func load(
        text: String,
        file: String,
        environment: [String: String],
        plugins: [String]? = nil
    ) -> ConfigurationOutcome<SiteConfiguration> {
        Reader.load(text: text, file: file, environment: environment) { reader, fields in
            fields.site(reader: reader, plugins: plugins)
        }
    }
}

extension Fields {
    /// The whole of `site.yaml`.
    func site(reader: Reader, plugins: [String]?) -> SiteConfiguration? {
        let siteField = field("site")
        let site = siteField.siteName()
        if !siteField.isPresent { siteField.reportMissing(hint: "the name of this site, such as site: store-0042") }
        let limits = field("limits").limits()
        let compatibility = field("compatibility").choice(SiteConfiguration.Compatibility.self)
        let ownership = field("client_id_ownership").choice(SiteConfiguration.ClientIDOwnership.self)
        let usersField = field("users")
        let users = usersField.users()
        let accessField = field("access")
        let access = accessField.access()
        let listenersField = field("listeners")
        let listeners = listenersField.listeners(
            ListenerSurroundings(
                hasUsers: usersField.isPresent || access?.dynamicSecurityFile != nil,
                isMosquitto: compatibility == .mosquitto
            )
        )
        let brokerField = field("site_broker")
        let siteBroker = brokerField.mapping { $0.attachedBroker() }
        if listenersField.isPresent, brokerField.isPresent {
            brokerField.reportKey(
                "'site_broker' contradicts 'listeners'",
                hint: "a site either runs its own broker or attaches to an existing one"
            )
        } else if !brokerField.isPresent, !listenersField.isPresent {
            listenersField.reportMissing(hint: "without a listener no device can connect; or attach with 'site_broker'")
        } else if listenersField.elements(max: .max)?.isEmpty == true {
            listenersField.report(
                "is empty: no device could connect",
                hint: "add a listener such as - bind: 127.0.0.1:1883"
            )
        }
        let journalField = field("journal")
        let journal = journalField.journal()
        let handlersField = field("handlers")
        let handlers = handlersField.handlers(plugins: plugins)
        let siteKeyField = field("site_key")
        let siteKeyFile = siteKeyField.mapping { fields in
            let file = fields.field("file")
            if !file.isPresent { file.reportMissing(hint: "a file with at least 32 random bytes") }
            return file.path(.secret)
        }
        let bridgesField = field("bridges")
        let (bridges, relays) = bridgesField.bridges(site: site ?? "", hasSiteKey: siteKeyField.isPresent)
        if !journal.isEnabled, !handlers.isEmpty || !bridges.isEmpty || brokerField.isPresent {
            journalField.report(
                "handlers, bridges and 'site_broker' read the journal: it cannot be left out",
                hint: "take 'enabled: false' away"
            )
        }
        let audit = field("audit").audit()
        let reload = field("reload").reload()
        let sysInterval = field("sys_interval").duration(0...65_535_000, secondsByDefault: true)
        let pidFile = field("pid_file").path(.database)
        let user = field("user").words(maxBytes: 32)
        let console = field("console").console()
        let log = field("log").log()
        guard let site else { return nil }
        return SiteConfiguration(
            site: site,
            listeners: listeners,
            siteBroker: siteBroker,
            users: users,
            access: access,
            compatibility: compatibility,
            clientIDOwnership: ownership ?? .identity,
            journal: journal,
            limits: limits,
            sysInterval: sysInterval ?? .seconds(10),
            audit: audit,
            reload: reload,
            pidFile: pidFile,
            user: user,
            handlers: handlers,
            siteKeyFile: siteKeyFile,
            bridges: bridges,
            relays: relays,
            console: console,
            log: log,
            fileReferences: reader.references,
            file: reader.file
        )
    }

    private func attachedBroker() -> AttachedBrokerConfiguration? {
        let isInsecureAllowed = field("insecure").bool(default: false)
        let remote = remote(
            addressField: field("address"),
            tlsField: field("tls"),
            isInsecureAllowed: isInsecureAllowed
        )
        let credentials = credentials()
        let topics = field("topics").topicFilters(max: 1_000)
        guard let remote else { return nil }
        return AttachedBrokerConfiguration(
            address: remote.0,
            tls: remote.1,
            username: credentials.username,
            passwordFile: credentials.passwordFile,
            topics: topics,
            position: position
        )
    }
}
