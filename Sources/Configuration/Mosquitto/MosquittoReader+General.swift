extension MosquittoReader {
    /// The bounds of the broker.
    func readLimit(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "max_inflight_messages":
            let count = try line.integer()
            guard count <= 65_535 else { throw MosquittoMistake("'max_inflight_messages' must be <= 65535.") }
            configuration.maxInflightMessages = count < 0 || count == 65_535 ? 0 : count
        case "max_inflight_bytes": configuration.maxInflightBytes = max(0, try line.integer())
        case "max_queued_messages": configuration.maxQueuedMessages = max(0, try line.integer())
        case "max_queued_bytes": configuration.maxQueuedBytes = max(0, try line.integer())
        case "max_packet_size":
            let bytes = try line.integer()
            guard bytes >= 20 else { throw MosquittoMistake("'max_packet_size' must be >= 20.") }
            configuration.maxPacketBytes = bytes
        case "message_size_limit": configuration.messageSizeLimit = try line.integer(0...268_435_455)
        case "max_keepalive": configuration.maxKeepAliveSeconds = try line.integer(0...65_535)
        case "memory_limit":
            let bytes = MosquittoLine.leadingNumber(try line.word())
            guard bytes >= 0 else { throw MosquittoMistake("Invalid 'memory_limit' value (\(bytes)).") }
            configuration.memoryLimitBytes = bytes
            if bytes > 0 {
                note(.different, "there is no limit on the process's memory; its queues have limits each", line)
            }
        case "global_max_clients":
            let count = try line.integer()
            configuration.globalMaxClients = count < 0 ? nil : count
        case "global_max_connections":
            let count = try line.integer()
            configuration.globalMaxConnections = count < 0 ? nil : count
        default: return false
        }
        return true
    }

    /// What is about the broker as a whole.
    func readGeneral(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "retain_available": configuration.isRetainAvailable = try line.flag()
        case "retain_expiry_interval":
            let minutes = try line.integer()
            guard minutes >= 1 else { throw MosquittoMistake("retain_expiry_interval must be >= 1.") }
            configuration.retainExpiryMinutes = min(minutes, 10_000_000)
        case "check_retain_source": configuration.checkRetainSource = try line.flag()
        case "queue_qos0_messages": configuration.queueQoS0Messages = try line.flag()
        case "upgrade_outgoing_qos": configuration.upgradeOutgoingQoS = try line.flag()
        case "allow_duplicate_messages":
            configuration.allowDuplicateMessages = try line.flag()
            if !configuration.allowDuplicateMessages {
                note(.moot, "a client is given one copy of a message in any case", line)
            }
        case "set_tcp_nodelay": configuration.setTCPNoDelay = try line.flag()
        case "enable_control_api":
            configuration.enableControlAPI = try line.flag()
            if configuration.enableControlAPI { note(.different, "$CONTROL/broker is not served", line) }
        case "sys_interval": configuration.sysIntervalSeconds = try line.integer(0...65_535)
        case "clientid_prefixes": configuration.clientIDPrefixes = try line.text()
        case "user": configuration.user = try line.located()
        case "pid_file": try set(\.pidFile, line.located(), line)
        case "persistence", "retained_persistence": configuration.persistence = try line.flag()
        case "persistence_file": configuration.persistenceFile = try line.text()
        case "persistence_location": try set(\.persistenceLocation, line.located(), line)
        case "persistent_client_expiration":
            configuration.persistentClientExpirationSeconds = try expiration(&line)
        case "autosave_interval":
            _ = try line.integer()
            note(.moot, "what is acknowledged is on disk already", line)
        case "autosave_on_changes":
            _ = try line.flag()
            note(.moot, "what is acknowledged is on disk already", line)
        default: return false
        }
        return true
    }

    /// Sets what may be set once.
    func set(
        _ target: WritableKeyPath<MosquittoSettings, MosquittoSettings.Text?>,
        _ value: MosquittoSettings.Text,
        _ line: MosquittoLine
    ) throws(MosquittoMistake) {
        if let first = configuration[keyPath: target] { throw duplicate(line, first.place) }
        configuration[keyPath: target] = value
    }

    func duplicate(_ line: MosquittoLine, _ first: MosquittoPlace? = nil) -> MosquittoMistake {
        MosquittoMistake(
            "Duplicate '\(line.name)' value in configuration.",
            hint: first.map { "the first stands at \($0.file):\($0.line)" }
        )
    }

    /// A number and a letter: seconds, hours, days, weeks, months of 30 days, years of 365.
    private func expiration(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Int {
        let word = try line.word()
        let units: [Character: Int] = [
            "s": 1, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "m": 30 * 86_400, "y": 365 * 86_400,
        ]
        let (seconds, overflows) = MosquittoLine.leadingNumber(word)
            .multipliedReportingOverflow(by: word.last.flatMap { units[$0] } ?? 0)
        guard seconds > 0, !overflows else {
            throw MosquittoMistake(
                "Invalid 'persistent_client_expiration' duration in configuration.",
                hint: "a number and one of s, h, d, w, m, y, such as 2m"
            )
        }
        return seconds
    }

    /// What is taken and has no meaning here.
    func readIgnored(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "retry_interval", "dhparamfile": note(.moot, "Mosquitto 2 does not look at it either", line)
        case "packet_buffer_size", "websockets_headers_size":
            _ = try line.integer(0...65_535)
            note(.moot, "buffers are sized by themselves", line)
        case "websockets_log_level":
            _ = try line.integer()
            note(.moot, "WebSocket connections are logged as all others are", line)
        case let name where name.hasPrefix("packet_max_"):
            _ = try line.integer()
            note(.different, "the limits of limits.* and max_packet_size apply", line)
        default: return false
        }
        return true
    }

    /// The log.
    func readLog(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "log_dest": try readLogDestination(&line)
        case "log_type":
            let word = try line.word()
            switch word {
            case "none": logKinds = []
            case "all": logKinds = Set(MosquittoLog.Kind.allCases)
            default:
                guard let kind = MosquittoLog.Kind(rawValue: word) else {
                    throw MosquittoMistake(
                        "Invalid 'log_type' value (\(word)).",
                        hint: "all, none, " + MosquittoLog.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                    )
                }
                logKinds = (logKinds ?? []).union([kind])
            }
        case "log_timestamp": configuration.log.hasTimestamp = try line.flag()
        case "log_timestamp_format":
            guard configuration.log.timestampFormat == nil else { throw duplicate(line) }
            configuration.log.timestampFormat = try line.text()
        case "log_facility": configuration.log.facility = try line.integer(0...7)
        case "connection_messages":
            configuration.log.connectionMessages = try line.flag()
            note(.moot, "who comes and goes is told by the audit log, in site.yaml 'audit'", line)
        default: return false
        }
        return true
    }

    private func readLogDestination(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        let word = try line.word()
        let destination: MosquittoLog.Destination
        switch word {
        case "none":
            logDestinations = []
            return
        case "stdout": destination = .standardOutput
        case "stderr": destination = .standardError
        case "syslog":
            destination = .syslog
            note(.different, "the log goes to standard error, which a service manager passes on", line)
        case "topic":
            destination = .topic
            note(.different, "the log is not published to $SYS/broker/log", line)
        case "dlt":
            destination = .dlt
            note(.different, "the log goes to standard error", line)
        case "file":
            let isSecond = (logDestinations ?? []).contains { if case .file = $0 { true } else { false } }
            guard !isSecond else { throw MosquittoMistake("Duplicate \"log_dest file\" value.") }
            guard let path = try? line.text() else {
                throw MosquittoMistake("Empty \"log_dest file\" value in configuration.")
            }
            destination = .file(path)
        default:
            throw MosquittoMistake(
                "Invalid 'log_dest' value (\(word)).",
                hint: "none, stdout, stderr, syslog, topic, dlt or file PATH"
            )
        }
        if !(logDestinations ?? []).contains(destination) { logDestinations = (logDestinations ?? []) + [destination] }
    }
}
