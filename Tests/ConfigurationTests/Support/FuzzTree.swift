import Repeatable

@testable import CausewayConfiguration

/// A tree of settings written as bytes, so that what a fuzzer changes lands in the reading of the schema and not in
/// YAML's own syntax.
///
/// A node is a byte, whose two lowest bits say what it is: a word of a table, a text of its own (a byte of length and
/// its bytes), a list or a mapping. The next bit quotes a scalar; of collections the upper six are the count. A key is
/// a byte, of a table or, if 255, a text of its own. The root is a mapping to the end of the bytes.
struct FuzzTree {
    static let depthMax = 8
    static let nodesMax = 400

    /// How many nodes were read; each stands in a line of its own.
    private(set) var lines = 1
    private var bytes: FuzzBytes

    /// The root of what the bytes say, and its lines.
    static func read(_ input: [UInt8]) -> (root: SourceNode, lines: Int) {
        var tree = FuzzTree(bytes: FuzzBytes(input))
        var entries: [SourceNode.Entry] = []
        while !tree.bytes.isAtEnd, tree.lines < nodesMax { entries.append(tree.entry(depth: 1)) }
        return (SourceNode(content: .mapping(entries), position: .start), tree.lines)
    }

    private init(bytes: FuzzBytes) { self.bytes = bytes }

    private mutating func entry(depth: Int) -> SourceNode.Entry {
        let number = bytes.next()
        let key = number == 255 ? text() : Self.keys[Int(number) % Self.keys.count]
        let value = node(depth: depth)
        return SourceNode.Entry(key: key, keyPosition: value.position, value: value)
    }

    private mutating func node(depth: Int) -> SourceNode {
        lines += 1
        let position = SourcePosition(line: lines, column: 1)
        let tag = bytes.next()
        let isLeaf = depth >= Self.depthMax
        let content: SourceNode.Content
        switch tag & 3 {
        case 1: content = .scalar(text(), isQuoted: tag & 4 != 0)
        case 2 where !isLeaf: content = .sequence(several(tag) { $0.node(depth: depth + 1) })
        case 3 where !isLeaf: content = .mapping(several(tag) { $0.entry(depth: depth + 1) })
        default: content = .scalar(Self.words[Int(bytes.next()) % Self.words.count], isQuoted: tag & 4 != 0)
        }
        return SourceNode(content: content, position: position)
    }

    private mutating func text() -> String {
        let length = Int(bytes.next())
        return String(decoding: bytes.take(length), as: UTF8.self)
    }

    private mutating func several<Element>(_ tag: UInt8, _ next: (inout FuzzTree) -> Element) -> [Element] {
        var elements: [Element] = []
        while elements.count < tag >> 2, !bytes.isAtEnd, lines < Self.nodesMax { elements.append(next(&self)) }
        return elements
    }

    /// The bytes that are read as the entries of a root, or nil if none are: a text is too long, a list too large.
    static func write(_ root: SourceNode) -> [UInt8]? {
        guard case .mapping(let entries) = root.content else { return nil }
        var bytes: [UInt8] = []
        return entries.allSatisfy { write($0, to: &bytes, depth: 1) } ? bytes : nil
    }

    private static func write(_ entry: SourceNode.Entry, to bytes: inout [UInt8], depth: Int) -> Bool {
        if let number = keys.firstIndex(of: entry.key) {
            bytes.append(UInt8(number))
        } else {
            bytes.append(255)
            guard write(entry.key, to: &bytes) else { return false }
        }
        return write(entry.value, to: &bytes, depth: depth)
    }

    private static func write(_ node: SourceNode, to bytes: inout [UInt8], depth: Int) -> Bool {
        switch node.content {
        case .scalar(let text, let isQuoted):
            let quote: UInt8 = isQuoted ? 4 : 0
            if let number = words.firstIndex(of: text) {
                bytes += [quote, UInt8(number)]
                return true
            }
            bytes.append(1 | quote)
            return write(text, to: &bytes)
        case .sequence(let nodes):
            guard nodes.count < 64, depth < depthMax else { return false }
            bytes.append(2 | UInt8(nodes.count) << 2)
            return nodes.allSatisfy { write($0, to: &bytes, depth: depth + 1) }
        case .mapping(let entries):
            guard entries.count < 64, depth < depthMax else { return false }
            bytes.append(3 | UInt8(entries.count) << 2)
            return entries.allSatisfy { write($0, to: &bytes, depth: depth + 1) }
        }
    }

    private static func write(_ text: String, to bytes: inout [UInt8]) -> Bool {
        guard let length = UInt8(exactly: text.utf8.count) else { return false }
        bytes.append(length)
        bytes += text.utf8
        return true
    }

    /// Every setting of the schema; a test compares them with its sources.
    static let keys = [
        "accept_protocol_versions", "access", "acl_file", "address", "addresses", "algorithms", "allow",
        "allow_anonymous", "allow_zero_length_clientid", "alpn", "audience", "audit", "auto_id_prefix", "base", "batch",
        "bind", "bind_address", "bridges", "broker", "broker_address", "cafile", "cap", "capath", "certfile",
        "check_retain_source", "ciphers", "ciphers_tls1.3", "class", "client_id_ownership", "clientid_prefixes",
        "clients", "close_revoked", "cloud", "compatibility", "confirm", "connect_timeout", "console", "crlfile",
        "deny", "direction", "drain_rate", "duration", "dynamic_security", "enabled", "every", "failures", "family",
        "file", "format", "from", "groups", "handlers", "handshake_timeout", "insecure", "interface", "interval",
        "issuer", "journal", "jwks_file", "jwt", "keep", "keepalive_interval", "key", "key_file", "keyfile", "kind",
        "leeway", "level", "limits", "listeners", "local_cleansession", "local_clientid", "local_prefix",
        "local_username", "lockout", "log", "max_bytes", "max_connections", "max_delay", "max_file_age",
        "max_file_bytes", "max_keepalive", "max_messages", "max_outbox_bytes", "max_packet_size",
        "max_publish_bytes_per_second", "max_publish_rate", "max_qos", "max_queued_bytes", "max_topic_alias_broker",
        "max_unauthenticated_bytes", "message_size_limit", "mode", "mount_point", "name", "notification_topic",
        "on_failure", "origins", "overflow", "password_file", "path", "paths", "pid_file", "plugin", "prefix",
        "priority", "profile", "protocol", "protocol_version", "proxy_protocol", "publish", "qos",
        "queue_qos0_messages", "receive", "receive_maximum", "redact", "reload", "reload_type", "remote_clientid",
        "remote_password", "remote_password_file", "remote_prefix", "remote_username", "require_certificate",
        "require_tls", "resend_after", "response_information", "restart", "restart_timeout", "retain",
        "retain_available", "roles", "round", "routes", "rules", "sample", "scram", "seconds", "segment_bytes",
        "server_reference", "session_expiry", "shards", "site", "site_broker", "site_key", "socket", "socket_mode",
        "sqlite", "stable", "start_type", "store", "subscribe", "sync", "sys_interval", "tcp_keepalive",
        "tcp_user_timeout", "timeout", "tls", "tls_version", "to", "topic", "topic_alias_maximum", "topics",
        "upgrade_outgoing_qos", "use_identity_as_username", "use_os_certs", "use_subject_as_username",
        "use_username_as_clientid", "user", "username", "username_claim", "users", "version", "watch", "websockets",
        "window", "with", "within",
    ]

    /// Values that the schema takes somewhere, and such as tend to break what reads them.
    static let words = [
        "", "~", "true", "false", "0", "1", "2", "-1", "3", "5", "60", "100", "1000", "65535", "65536", "1.5", "1e999",
        "nan", "9223372036854775807", "9223372036854775808", "100ms", "1s", "30s", "5m", "24h", "7d", "9999999999d",
        "1KiB", "64KiB", "1MB", "8GiB", "9223372036854775807GiB", "yes", "off", "a", "b", "é", "a.b", "-a", "ward-7",
        "cloud", "*", "tablet-*", "a/b", "#", "+", "a/#", "a/+/b", "#/a", "a/#/b", "$SYS/#", "$share/g/a", "ward/+/cgm",
        "ward/+/bed/{bed}/cgm", "{bed}", "{1}", "{2}", "{", "{rest...}", "a/{rest...}", "sales/{1}",
        "up/{shard}/{site}/",
        "%u/#", "%c", "pos/%c/#", "both 0", "a out 1 x y", "in", "out", "both", "127.0.0.1:1883", "0.0.0.0:8883",
        "[::1]:1883", "[::]:8883", ":1883", "127.0.0.1:0", "127.0.0.1:99999", "lo", "10.0.0.0/8", "::1", "fe80::/10",
        "300.0.0.0/8", "mqtts://cloud.example:8883", "mqtt://127.0.0.1", "mqtts://[2001:db8::1]", "mqtt://u:p@h:0/x",
        "ws://a/b", "/", "/mqtt", "http://a.example", "certs/site.pem", "/etc/causeway/users", "../a", "data/", "660",
        "0777", "9999", "any", "ipv4", "ipv6", "mqtt", "websockets", "v1", "v2", "3.1", "3.1.1", "mqttv5", "mqttv311",
        "mqttv31", "tlsv1.2", "tlsv1.3", "intermediate", "modern", "RS256", "ES256", "EdDSA", "HS256", "always",
        "system", "interval", "never", "commit", "puback", "drop_oldest", "drop_newest", "disconnect", "alarm",
        "transaction", "telemetry", "avg", "min", "max", "count", "sum", "first", "last", "suggest", "confirm", "auto",
        "continue", "stop", "trace", "debug", "info", "notice", "warning", "error", "text", "json", "mosquitto",
        "identity", "separate", "shared", "medication.insulin", "retail.coupon", "bridge", "relay", "automatic", "lazy",
        "once", "drop", "hmac", "round", "round:2", "round:99", "4-7", "7-4", "0-1023", "all", "scram-sha-256", "\u{0}",
        "\n", "\u{7F}", "\u{2028}", "\u{1F600}", "e\u{301}", "${HOME}", "$${", "100-140 mg/dL",
    ]
}
