extension Field {
    private static let routesMax = 1_000

    /// `routes:`.
    func routes(prefix: String, hasSiteKey: Bool) -> [RouteConfiguration] {
        guard let elements = elements(max: Self.routesMax, hint: "each route begins with '-'") else { return [] }
        if elements.isEmpty { report("is empty: nothing would leave", hint: "add a route or take the bridge away") }
        var routes: [RouteConfiguration] = []
        for element in elements {
            guard let route = element.mapping({ $0.route(prefix: prefix, hasSiteKey: hasSiteKey) }) else { continue }
            if routes.contains(where: { $0.topic == route.topic }) {
                element.report(
                    "a route for '\(route.topic)' stands above already",
                    hint: "the first that matches decides, so this one never would"
                )
            }
            routes.append(route)
        }
        return routes
    }

    /// `drop`, `hmac`, `round:2` or `{ round: 2 }`.
    fileprivate func redaction(hasSiteKey: Bool) -> RouteConfiguration.Redaction? {
        let hint = "drop, hmac, round:2 or { round: 2 }"
        if let node, case .mapping = node.content {
            return mapping { fields in
                let round = fields.field("round")
                if !round.isPresent { round.report("expected 'round'", hint: hint) }
                return round.integer(0...9).map { .round(decimals: $0) }
            }
        }
        guard let text = text(expected: "a redaction") else { return nil }
        switch text {
        case "drop": return .drop
        case "hmac":
            if !hasSiteKey {
                report(
                    "'hmac' needs a key",
                    hint: "add 'site_key: { file: site.key }' to the file; 32 random bytes will do"
                )
            }
            return .hmac
        case "round": return .round(decimals: 0)
        default: break
        }
        if text.hasPrefix("round:"), let decimals = Int(text.dropFirst(6).drop { $0 == " " }),
            (0...9).contains(decimals)
        {
            return .round(decimals: decimals)
        }
        report("'\(text.prefix(40))' is not a redaction", hint: hint)
        return nil
    }
}

extension Fields {
    /// What clouds such as AWS IoT Core take at most: seven slashes in a topic.
    private static let slashesMax = 7
    private static let fieldsMax = 256

    fileprivate func route(prefix: String, hasSiteKey: Bool) -> RouteConfiguration? {
        let topicField = field("topic")
        let toField = field("to")
        let topic = topicField.text(expected: "a topic filter")
        if !topicField.isPresent { topicField.reportMissing(hint: "which messages leave, such as \"alarm/#\"") }
        var captures: TopicSyntax.Captures?
        if let topic {
            _ = topicField.checked(topic) { text throws(TopicSyntax.Mistake) in
                guard !text.hasPrefix("$share/") else {
                    throw TopicSyntax.Mistake(
                        message: "a bridge reads the journal: '$share/' has no meaning here",
                        hint: nil
                    )
                }
                guard !text.hasSuffix("...}") else {
                    throw TopicSyntax.Mistake(
                        message: "a route's rest is written '#'",
                        hint: "'{rest}' in 'to' stands for it"
                    )
                }
                captures = try TopicSyntax.pattern(text)
            }
        }
        let to = toField.text(expected: "a topic")
        if let to, let captures {
            _ = toField.checked(to) { text throws(TopicSyntax.Mistake) in
                try TopicSyntax.destination(text)
                try TopicSyntax.template(
                    text,
                    captures: captures,
                    numbers: captures.singles,
                    words: captures.hasRest ? ["site", "rest"] : ["site"]
                )
            }
        }
        let remoteTopic = prefix + (to ?? topic ?? "")
        let slashes = remoteTopic.utf8.count { $0 == UInt8(ascii: "/") }
        if slashes > Self.slashesMax {
            (to == nil ? topicField : toField).report(
                "\(remoteTopic) has \(slashes) slashes",
                hint: "cloud brokers take \(Self.slashesMax) at most, so it would not travel: shorten it with 'to'"
            )
        }
        let classField = field("class")
        let isCommand = classField.isWord("command")
        let trafficClass =
            isCommand ? .telemetry : classField.choice(RouteConfiguration.TrafficClass.self) ?? .telemetry
        let redactField = field("redact")
        let redact = redactField.redactions(max: Self.fieldsMax, hasSiteKey: hasSiteKey)
        let qosField = field("qos")
        let qos = qosField.integer(0...2) ?? 1
        if qos == 2 {
            qosField.report(
                "QoS 2 is not used upstream",
                hint: "QoS 1 and the sequence numbers give the same, and cannot block: write qos: 1"
            )
        }
        let retainField = field("retain")
        let retain = retainField.bool(default: false)
        if isCommand, !retain {
            classField.report("commands come down, they do not leave", hint: "one of alarm, transaction, telemetry")
        } else if isCommand {
            retainField.reportKey(
                "a retained command would be carried out again by whoever connects later",
                hint: "commands come down: choose another class, or take the route away"
            )
        }
        let sampleField = field("sample")
        let sample = sampleField.mapping { $0.sampling() }
        if sample != nil {
            // Said here because the file may be written for what comes: silence would send more than was meant.
            sampleField.reportKey(
                "this version does not sample: every message of the route leaves",
                hint: "narrow the topic, or accept it",
                severity: .warning
            )
        }
        guard let topic else { return nil }
        return RouteConfiguration(
            topic: topic,
            to: to,
            trafficClass: trafficClass,
            redact: redact,
            qos: qos,
            retain: retain,
            sample: sample,
            position: position
        )
    }

    private func sampling() -> RouteConfiguration.Sampling? {
        let every = field("every")
        let keep = field("keep")
        let window = every.duration(100...86_400_000)
        if !every.isPresent { every.reportMissing(hint: "such as every: 1m") }
        let aggregates = keep.elements(max: RouteConfiguration.Sampling.Aggregate.allCases.count)
        if aggregates?.isEmpty ?? true, !keep.isPresent || aggregates != nil {
            keep.report("nothing would be kept", hint: "such as keep: [avg, min, max, count]")
        }
        let kept = aggregates?.compactMap { $0.choice(RouteConfiguration.Sampling.Aggregate.self) } ?? []
        guard let window, !kept.isEmpty else { return nil }
        return RouteConfiguration.Sampling(every: window, keep: kept)
    }
}

extension Field {
    fileprivate func redactions(max: Int, hasSiteKey: Bool) -> [String: RouteConfiguration.Redaction] {
        guard let fields = fields(hint: "such as redact: { customer: hmac, card: drop }") else { return [:] }
        let entries = fields.takeRest()
        if entries.count > max { report("has \(entries.count) entries", hint: "at most \(max)") }
        var redactions: [String: RouteConfiguration.Redaction] = [:]
        for entry in entries.prefix(max) {
            let parts = entry.key.split(separator: ".", omittingEmptySubsequences: false)
            if parts.contains(where: \.isEmpty) {
                entry.reportKey("'\(entry.key)' is not a field", hint: "a.b names a field within a field")
            }
            redactions[entry.key] = entry.redaction(hasSiteKey: hasSiteKey)
        }
        return redactions
    }
}
