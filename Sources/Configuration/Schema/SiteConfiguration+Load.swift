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
    fileprivate func site(reader: Reader, plugins: [String]?) -> SiteConfiguration? {
        let siteField = field("site")
        let site = siteField.siteName()
        if !siteField.isPresent { siteField.reportMissing(hint: "the name of this site, such as site: store-0042") }
        let limits = field("limits").limits()
        let usersField = field("users")
        let users = usersField.users()
        let listenersField = field("listeners")
        let listeners = listenersField.listeners(limits: limits, hasUsers: usersField.isPresent)
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
        let access = field("access").access()
        let journal = field("journal").journal()
        let handlers = field("handlers").handlers(plugins: plugins)
        let siteKeyField = field("site_key")
        let siteKeyFile = siteKeyField.mapping { fields in
            let file = fields.field("file")
            if !file.isPresent { file.reportMissing(hint: "a file with at least 32 random bytes") }
            return file.path(.secret)
        }
        let bridges = field("bridges").bridges(site: site ?? "", hasSiteKey: siteKeyField.isPresent)
        let console = field("console").console()
        let log = field("log").log()
        guard let site else { return nil }
        return SiteConfiguration(
            site: site,
            listeners: listeners,
            siteBroker: siteBroker,
            users: users,
            access: access,
            journal: journal,
            limits: limits,
            handlers: handlers,
            siteKeyFile: siteKeyFile,
            bridges: bridges,
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
