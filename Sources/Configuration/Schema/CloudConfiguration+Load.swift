extension CloudConfiguration {
    /// The most shards there can be.
    public static let shardsMax = 1_024

    /// Reads `cloud.yaml`. Nothing is opened: see ``FileChecks`` for the files it names.
    ///
    /// - Parameters:
    ///   - text: The content of the file.
    ///   - file: Its path, for messages and for relative paths in it.
    ///   - environment: What `${NAME}` in a value stands for. `$${` stands for `${` itself.
    /// - Returns: The values, or every mistake found.
    public static func load(
        text: String,
        file: String,
        environment: [String: String]
    ) -> ConfigurationOutcome<CloudConfiguration> {
        Reader.load(text: text, file: file, environment: environment) { reader, fields in
            fields.cloud(reader: reader)
        }
    }
}

extension Fields {
    /// The whole of `cloud.yaml`.
    func cloud(reader: Reader) -> CloudConfiguration? {
        let cloudField = field("cloud")
        let cloud = cloudField.name()
        if !cloudField.isPresent {
            cloudField.reportMissing(hint: "the name of this aggregator, such as cloud: aggregator-1")
        }
        let usersField = field("users")
        let users = usersField.users()
        let broker = cloudBroker(hasUsers: usersField.isPresent)
        let shards = field("shards").shards()
        let store = field("store").mapping { $0.field("sqlite").path(.database) }
        let batch = field("batch").mapping { $0.batch() } ?? CloudConfiguration.Batch()
        let journal = field("journal").journal()
        let access = field("access").access()
        let console = field("console").console()
        let log = field("log").log()
        guard let cloud, let broker else { return nil }
        return CloudConfiguration(
            cloud: cloud,
            broker: broker,
            shards: shards,
            databasePath: store ?? PathResolution.resolve("cloud.sqlite", besideFile: reader.file),
            batch: batch,
            journal: journal,
            users: users,
            access: access,
            console: console,
            log: log,
            fileReferences: reader.references,
            file: reader.file
        )
    }

    private func cloudBroker(hasUsers: Bool) -> CloudConfiguration.Broker? {
        let embeddedField = field("broker")
        let addressField = field("broker_address")
        let tlsField = field("tls")
        let insecureField = field("insecure")
        let isInsecureAllowed = insecureField.bool(default: false)
        let credentials = credentials()
        guard addressField.isPresent else {
            if !embeddedField.isPresent {
                embeddedField.reportMissing(
                    hint: "add 'broker: { listeners: … }', or 'broker_address' for an existing one"
                )
            }
            for field in [tlsField, insecureField] where field.isPresent {
                field.reportKey("belongs to 'broker_address'", hint: "a listener has its own")
            }
            return embeddedField.mapping { $0.embeddedBroker(hasUsers: hasUsers) }.map { .embedded($0) }
        }
        if embeddedField.isPresent {
            addressField.reportKey("'broker_address' contradicts 'broker'", hint: "keep one")
            _ = embeddedField.mapping { $0.embeddedBroker(hasUsers: hasUsers) }
        }
        let remote = remote(addressField: addressField, tlsField: tlsField, isInsecureAllowed: isInsecureAllowed)
        return remote.map { remote in
            .existing(
                AttachedBrokerConfiguration(
                    address: remote.0,
                    tls: remote.1,
                    username: credentials.username,
                    passwordFile: credentials.passwordFile,
                    topics: nil,
                    position: addressField.position
                )
            )
        }
    }

    private func embeddedBroker(hasUsers: Bool) -> EmbeddedBrokerConfiguration? {
        let limits = field("limits").limits()
        let listenersField = field("listeners")
        let listeners = listenersField.listeners(ListenerSurroundings(hasUsers: hasUsers))
        if listenersField.elements(max: .max)?.isEmpty ?? !listenersField.isPresent {
            listenersField.report("no listener: no site could connect", hint: "add one such as - bind: 0.0.0.0:8883")
        }
        return EmbeddedBrokerConfiguration(listeners: listeners, limits: limits)
    }

    private func batch() -> CloudConfiguration.Batch {
        var batch = CloudConfiguration.Batch()
        if let count = field("max_messages").integer(1...100_000) { batch.maxMessages = count }
        if let delay = field("max_delay").duration(1...60_000) { batch.maxDelay = delay }
        return batch
    }
}

extension Field {
    fileprivate func shards() -> CloudConfiguration.Shards {
        if case .scalar("all", _) = node?.content { return .all }
        guard let elements = elements(max: CloudConfiguration.shardsMax, hint: "write all, or [0, 1, \"4-7\"]") else {
            return .all
        }
        var chosen: Set<Int> = []
        for element in elements {
            guard let range = element.shardRange() else { continue }
            let repeated = chosen.intersection(range)
            if let first = repeated.min() { element.report("shard \(first) is named twice") }
            chosen.formUnion(range)
        }
        if elements.isEmpty { report("is empty: nothing would be taken", hint: "write all, or [0, 1, \"4-7\"]") }
        return .only(chosen.sorted())
    }

    private func shardRange() -> ClosedRange<Int>? {
        guard let text = text(expected: "a shard") else { return nil }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { $0.allSatisfy(\.isASCIIDigit) ? Int($0) : nil }
        let isInRange = numbers.allSatisfy { $0 < CloudConfiguration.shardsMax }
        guard numbers.count == parts.count, let first = numbers.first, let last = numbers.last, numbers.count <= 2,
            first <= last, isInRange
        else {
            report(
                "'\(text.prefix(40))' is not a shard",
                hint: "0 to \(CloudConfiguration.shardsMax - 1), or a range such as \"4-7\""
            )
            return nil
        }
        return first...last
    }
}
