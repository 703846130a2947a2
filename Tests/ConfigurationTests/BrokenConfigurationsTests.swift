import CausewayConfiguration
import Testing

/// A configuration with one mistake, and where it must be found.
struct BrokenCase: Sendable, CustomTestStringConvertible {
    var what: String
    var text: String
    var line: Int
    var path: String
    var isCloud = false

    var testDescription: String { what }

    init(_ what: String, line: Int, path: String, isCloud: Bool = false, _ text: String) {
        self.what = what
        self.line = line
        self.path = path
        self.isCloud = isCloud
        self.text = text
    }

    /// Below a site that is right.
    init(_ what: String, path: String, line: Int = 3, site text: String) {
        self.init(what, line: line, path: path, "site: s1\nlisteners: [{ bind: 127.0.0.1:1883 }]\n" + text)
    }

    /// A bridge with one setting more.
    init(_ what: String, path: String, bridge text: String) {
        self.init(
            what,
            path: "bridges[0].\(path)",
            line: 5,
            site: "bridges:\n  - { name: b, address: \"mqtts://h\", routes: [{ topic: a }],\n      \(text) }\n"
        )
    }

    /// A bridge with one route.
    init(_ what: String, path: String, route text: String) {
        self.init(
            what,
            path: "bridges[0].routes[0]\(path)",
            line: 4,
            site: "bridges:\n  - { name: b, address: \"mqtts://h\", routes: [{ \(text) }] }\n"
        )
    }

    static let all: [BrokenCase] = [
        .init("an empty file", line: 1, path: "", ""),
        .init("a comment only", line: 1, path: "", "# nothing\n"),
        .init("a list at the top", line: 1, path: "", "- a\n- b\n"),
        .init("a tab for indentation", line: 2, path: "", "listeners:\n\t- bind: 1\n"),
        .init("an open bracket", line: 3, path: "", "site: s\nlisteners: [{ bind: 127.0.0.1:1 }\n"),
        .init("an open quote", line: 2, path: "", "site: \"s\n"),
        .init("two documents", line: 2, path: "", "site: s\n---\nsite: t\n"),
        .init("a key given twice", line: 1, path: "", "site: s\nsite: t\n"),
        .init("an unknown anchor", line: 2, path: "", "site: s\nlisteners: *l\n"),
        .init("a mapping as key", line: 1, path: "", "{ [a]: b }\n"),
        .init("a control character", line: 2, path: "", "site: s\nlog: \u{1}\n"),
        .init("no site", line: 1, path: "site", "listeners: [{ bind: 127.0.0.1:1883 }]\n"),
        .init("no listener", line: 1, path: "listeners", "site: s\n"),
        .init("no listener in the list", line: 2, path: "listeners", "site: s\nlisteners: []\n"),
        .init("a site with a slash", line: 1, path: "site", "site: a/b\nlisteners: [{ bind: 127.0.0.1:1 }]\n"),
        .init("a site with a dot", line: 1, path: "site", "site: a.b\nlisteners: [{ bind: 127.0.0.1:1 }]\n"),
        .init("a listener that is a word", line: 2, path: "listeners[0]", "site: s\nlisteners: [hello]\n"),
        .init(
            "a port too large",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: 127.0.0.1:65536 }]\n"
        ),
        .init(
            "a port with a huge number",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: 127.0.0.1:99999999999999999999 }]\n"
        ),
        .init(
            "an IPv6 address without brackets",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: \"::1:1883\" }]\n"
        ),
        .init(
            "an IPv4 address with five numbers",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: 1.2.3.4.5:1883 }]\n"
        ),
        .init("no port", line: 2, path: "listeners[0].bind", "site: s\nlisteners: [{ bind: 127.0.0.1 }]\n"),
        .init(
            "plain TCP on all addresses",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: 0.0.0.0:1883, allow_anonymous: true }]\n"
        ),
        .init(
            "plain TCP on all IPv6 addresses",
            line: 2,
            path: "listeners[0].bind",
            "site: s\nlisteners: [{ bind: \"[::]:1883\", allow_anonymous: true }]\n"
        ),
        .init(
            "nobody can enter",
            line: 2,
            path: "listeners[0]",
            "site: s\nlisteners: [{ bind: 127.0.0.1:1883, allow_anonymous: false }]\n"
        ),
        .init(
            "the same address twice",
            line: 2,
            path: "listeners[1]",
            "site: s\nlisteners: [{ name: a, bind: 127.0.0.1:1 }, { name: b, bind: 127.0.0.1:1 }]\n"
        ),
        .init(
            "TLS without a key",
            line: 2,
            path: "listeners[0].tls.keyfile",
            "site: s\nlisteners: [{ bind: 0.0.0.0:1, allow_anonymous: true, tls: { certfile: c } }]\n"
        ),
        .init(
            "require_certificate without cafile",
            line: 2,
            path: "listeners[0].tls.require_certificate",
            "site: s\nlisteners: [{ bind: 0.0.0.0:1, allow_anonymous: true, tls: { certfile: c, keyfile: k, require_certificate: true } }]\n"
        ),
        .init(
            "names of certificates that nobody shows",
            line: 2,
            path: "listeners[0].tls.use_identity_as_username",
            "site: s\nlisteners: [{ bind: 0.0.0.0:1, allow_anonymous: true, tls: { certfile: c, keyfile: k, use_identity_as_username: true } }]\n"
        ),
        .init(
            "an old version of TLS",
            line: 2,
            path: "listeners[0].tls.tls_version",
            "site: s\nlisteners: [{ bind: 0.0.0.0:1, allow_anonymous: true, tls: { certfile: c, keyfile: k, tls_version: tlsv1.1 } }]\n"
        ),
        .init(
            "listeners and an attached broker",
            path: "site_broker",
            site: "site_broker: { address: \"mqtts://h\" }\n"
        ),
        .init(
            "a negative number",
            path: "limits.max_inflight_messages",
            site: "limits: { max_inflight_messages: -1 }\n"
        ),
        .init(
            "a zero where none is possible",
            path: "limits.receive_maximum",
            site: "limits: { receive_maximum: 0 }\n"
        ),
        .init(
            "a number beyond 64 bits",
            path: "limits.max_queued_messages",
            site: "limits: { max_queued_messages: 99999999999999999999999 }\n"
        ),
        .init("a fraction", path: "limits.max_sessions", site: "limits: { max_sessions: 1.5 }\n"),
        .init("a number in quotes", path: "limits.max_sessions", site: "limits: { max_sessions: \"5\" }\n"),
        .init("bytes beyond 64 bits", path: "journal.max_bytes", site: "journal: { max_bytes: 9999999999999TiB }\n"),
        .init("bytes without a known unit", path: "journal.max_bytes", site: "journal: { max_bytes: 8GiBi }\n"),
        .init("a duration without a unit", path: "journal.keep", site: "journal: { keep: 24 }\n"),
        .init("a duration with a fraction", path: "journal.keep", site: "journal: { keep: 1.5h }\n"),
        .init("a duration beyond 64 bits", path: "journal.keep", site: "journal: { keep: 9223372036854775807w }\n"),
        .init("a negative duration", path: "journal.keep", site: "journal: { keep: -1h }\n"),
        .init("an interval nobody uses", path: "journal.interval", site: "journal: { sync: os, interval: 1s }\n"),
        .init(
            "a journal of one segment",
            path: "journal.segment_bytes",
            site: "journal: { max_bytes: 1GiB, segment_bytes: 512MiB }\n"
        ),
        .init(
            "a reserve that leaves no room",
            path: "journal.reserve",
            site: "journal: { max_bytes: 1GiB, reserve: 600MiB }\n"
        ),
        .init("a reserve for no topic", path: "journal.reserve_topics[0]", site: "journal: { reserve_topics: [a#] }\n"),
        .init(
            "two keys for one journal",
            path: "journal.encryption.key_env",
            site: "journal: { encryption: { keyfile: a.key, key_env: KEY } }\n"
        ),
        .init("an encryption without a key", path: "journal.encryption.keyfile", site: "journal: { encryption: {} }\n"),
        .init("a misspelt word", path: "journal.sync", site: "journal: { sync: alway }\n"),
        .init("a misspelt setting", path: "jornal", site: "jornal: { sync: always }\n"),
        .init(
            "yes for true",
            path: "handlers[0].enabled",
            site: "handlers: [{ name: h, plugin: p, topics: [a], enabled: yes }]\n"
        ),
        .init("a handler without topics", path: "handlers[0].topics", site: "handlers: [{ name: h, plugin: p }]\n"),
        .init(
            "a handler with an empty list of topics",
            path: "handlers[0].topics",
            site: "handlers: [{ name: h, plugin: p, topics: [] }]\n"
        ),
        .init(
            "a wildcard in the middle",
            path: "handlers[0].topics[0]",
            site: "handlers: [{ name: h, plugin: p, topics: [\"a/#/b\"] }]\n"
        ),
        .init(
            "a wildcard within a level",
            path: "handlers[0].topics[0]",
            site: "handlers: [{ name: h, plugin: p, topics: [\"a/b+\"] }]\n"
        ),
        .init(
            "a name captured twice",
            path: "handlers[0].topics[0]",
            site: "handlers: [{ name: h, plugin: p, topics: [\"{a}/{a}\"] }]\n"
        ),
        .init(
            "a key of a wildcard that is not there",
            path: "handlers[0].key",
            site: "handlers: [{ name: h, plugin: p, topics: [\"a/+\"], key: \"{2}\" }]\n"
        ),
        .init(
            "two handlers of one name",
            path: "handlers[1]",
            site: "handlers: [{ name: h, plugin: p, topics: [a] }, { name: h, plugin: q, topics: [b] }]\n"
        ),
        .init(
            "parameters that are a list",
            path: "handlers[0].with",
            site: "handlers: [{ name: h, plugin: p, topics: [a], with: [1] }]\n"
        ),
        .init("an empty list of rules", path: "access", site: "access: []\n"),
        .init("a rule for nobody", path: "access[0]", site: "access: [{ publish: [a] }]\n"),
        .init("a rule that allows nothing", path: "access[0]", site: "access: [{ users: [a] }]\n"),
        .init("users without a file", path: "users.password_file", site: "users: {}\n"),
        .init("an unset variable", path: "log.level", line: 4, site: "log:\n  level: ${LEVEL}\n"),
        .init("a variable in braces without quotes", path: "", site: "log: { level: ${LEVEL} }\n"),
        .init("a variable without an end", path: "log.level", site: "log: { level: \"${LEVEL\" }\n"),
        .init("a variable without a name", path: "log.level", site: "log: { level: \"${}\" }\n"),
        .init(
            "an address without a scheme",
            path: "bridges[0].address",
            site: "bridges: [{ name: b, address: \"h:1\", routes: [{ topic: a }] }]\n"
        ),
        .init(
            "an address with a password",
            path: "bridges[0].address",
            site: "bridges: [{ name: b, address: \"mqtts://u:p@h\", routes: [{ topic: a }] }]\n"
        ),
        .init(
            "an address with a path",
            path: "bridges[0].address",
            site: "bridges: [{ name: b, address: \"mqtts://h/t\", routes: [{ topic: a }] }]\n"
        ),
        .init(
            "a bridge in the clear",
            path: "bridges[0].address",
            site: "bridges: [{ name: b, address: \"mqtt://h\", routes: [{ topic: a }] }]\n"
        ),
        .init(
            "TLS settings for mqtt://",
            path: "bridges[0].tls",
            site: "bridges: [{ name: b, address: \"mqtt://127.0.0.1\", tls: { cafile: c }, routes: [{ topic: a }] }]\n"
        ),
        .init(
            "a bridge without routes",
            path: "bridges[0].routes",
            site: "bridges: [{ name: b, address: \"mqtts://h\" }]\n"
        ),
        .init("a certificate without its key", path: "tls.certfile", bridge: "tls: { certfile: c }"),
        .init("a prefix without its slash", path: "prefix", bridge: "prefix: up"),
        .init("a prefix with an unknown word", path: "prefix", bridge: "confirm: puback, prefix: \"{sight}/\""),
        .init("a prefix the aggregator does not take", path: "prefix", bridge: "prefix: \"sites/{site}/\""),
        .init("a cap below the base", path: "restart", bridge: "restart: { base: 10s, cap: 1s }"),
        .init("a window of zero", path: "window", bridge: "window: 0"),
        .init("resending without a watermark", path: "resend_after", bridge: "confirm: puback, resend_after: 5s"),
        .init("a password without a user name", path: "password_file", bridge: "password_file: p"),
        .init("a protocol that is not spoken", path: "protocol", bridge: "protocol: mqttv31"),
        .init("QoS 2 upstream", path: ".qos", route: "topic: a, qos: 2"),
        .init("QoS 3", path: ".qos", route: "topic: a, qos: 3"),
        .init("a retained command", path: ".retain", route: "topic: a, class: command, retain: true"),
        .init("a command that leaves", path: ".class", route: "topic: a, class: command"),
        .init("a class that is not known", path: ".class", route: "topic: a, class: alarms"),
        .init("the rest where there is none", path: ".to", route: "topic: \"a/+\", to: \"b/{rest}\""),
        .init("more slashes than clouds take", path: ".topic", route: "topic: \"a/b/c/d/+/f\""),
        .init("a pseudonym without a key", path: ".redact.customer", route: "topic: a, redact: { customer: hmac }"),
        .init("an unknown redaction", path: ".redact.customer", route: "topic: a, redact: { customer: hash }"),
        .init("rounding to ten decimals", path: ".redact.x.round", route: "topic: a, redact: { x: { round: 10 } }"),
        .init("rounding to a negative number", path: ".redact.x", route: "topic: a, redact: { x: \"round:-1\" }"),
        .init("a capture that is not there", path: ".to", route: "topic: \"a/+\", to: \"b/{2}\""),
        .init("a capture with a huge number", path: ".to", route: "topic: \"a/+\", to: \"b/{99999999999999999999}\""),
        .init("a wildcard in a destination", path: ".to", route: "topic: \"a/+\", to: \"b/+\""),
        .init("a brace without its partner", path: ".to", route: "topic: \"a/+\", to: \"b/{1\""),
        .init("sampling without a window", path: ".sample.every", route: "topic: a, sample: { keep: [avg] }"),
        .init("sampling that keeps nothing", path: ".sample.keep", route: "topic: a, sample: { every: 1m }"),
        .init("a cloud without a broker", line: 1, path: "broker", isCloud: true, "cloud: c\n"),
        .init(
            "a cloud with two brokers",
            line: 3,
            path: "broker_address",
            isCloud: true,
            "cloud: c\nbroker: { listeners: [{ bind: 127.0.0.1:1 }] }\nbroker_address: mqtts://h\n"
        ),
        .init(
            "a shard named twice",
            line: 3,
            path: "shards[1]",
            isCloud: true,
            "cloud: c\nbroker_address: mqtts://h\nshards: [3, \"0-5\"]\n"
        ),
        .init(
            "shards beyond all",
            line: 3,
            path: "shards[0]",
            isCloud: true,
            "cloud: c\nbroker_address: mqtts://h\nshards: [\"0-99999999999999999999\"]\n"
        ),
        .init(
            "a batch of nothing",
            line: 3,
            path: "batch.max_messages",
            isCloud: true,
            "cloud: c\nbroker_address: mqtts://h\nbatch: { max_messages: 0 }\n"
        ),
    ]
}

@Suite struct BrokenConfigurationsTests {
    @Test(arguments: BrokenCase.all)
    func `a broken configuration is refused, with the place and one message`(_ broken: BrokenCase) throws {
        let problems =
            broken.isCloud
            ? CloudConfiguration.load(text: broken.text, file: "f.yaml", environment: [:]).refusal
            : SiteConfiguration.load(text: broken.text, file: "f.yaml", environment: [:]).refusal
        let found = try #require(problems, "it was taken")
        #expect(found.count == 1, "\(found)")
        let first = try #require(found.first)
        #expect(first.line == broken.line, "\(first)")
        #expect(first.path == broken.path, "\(first)")
        #expect(first.description.hasPrefix("f.yaml:\(broken.line):"))
    }

    @Test func `deep nesting is refused before it is parsed`() {
        let texts = [
            String(repeating: "[", count: 100_000),
            String(repeating: "{a: ", count: 100_000),
            String(repeating: "- ", count: 100_000) + "a",
            String(repeating: "? ", count: 100_000) + "a",
            (0..<1_000).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n"),
        ]
        for text in texts {
            let problems = SiteConfiguration.load(text: text, file: "f.yaml", environment: [:]).refusal
            #expect(problems?.first?.message == "lists and mappings nest deeper than 64 levels")
        }
    }

    @Test func `aliases that multiply are refused`() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let alias = "*a\(level - 1)"
            text += "a\(level): &a\(level) [\(Array(repeating: alias, count: 9).joined(separator: ", "))]\n"
        }
        let problems = SiteConfiguration.load(text: text, file: "f.yaml", environment: [:]).refusal
        #expect(problems?.first?.message == "the file amounts to more than 100000 values")
    }

    @Test func `a file of more than four mebibytes is refused`() {
        let text = "site: s # " + String(repeating: "x", count: 4 << 20)
        let problems = SiteConfiguration.load(text: text, file: "f.yaml", environment: [:]).refusal
        #expect(problems?.first?.message == "the file is larger than 4 MiB")
    }
}

extension ConfigurationOutcome {
    /// The problems, or nil if the text was taken.
    var refusal: [ConfigurationProblem]? {
        guard case .refused(let problems) = self else { return nil }
        return problems
    }
}
