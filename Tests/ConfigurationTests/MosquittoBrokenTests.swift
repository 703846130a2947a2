import CausewayConfiguration
import Testing

/// A file of Mosquitto that is refused: by which line, in which words.
struct BrokenMosquittoFile: Sendable, CustomTestStringConvertible {
    var name: String
    var line: Int
    var message: String
    var text: String

    init(_ name: String, line: Int = 1, _ message: String, _ text: String) {
        self.name = name
        self.line = line
        self.message = message
        self.text = text
    }

    var testDescription: String { name }
}

@Suite("Broken files of Mosquitto")
struct MosquittoBrokenTests {
    static let files: [BrokenMosquittoFile] = general + listeners + security + bridges

    static let general: [BrokenMosquittoFile] = [
        .init("an unknown option", line: 2, "Unknown configuration variable 'max_conections'", "\nmax_conections 4\n"),
        .init("a tab instead of a space", "Unknown configuration variable", "port\t1883\n"),
        .init("no value", "Empty 'max_queued_messages' value", "max_queued_messages\n"),
        .init("no value but spaces", "Empty 'sys_interval' value", "sys_interval   \n"),
        .init("a word for a number", "'max_queued_messages' value not a number", "max_queued_messages many\n"),
        .init("a number with letters", "'max_queued_bytes' value not a number", "max_queued_bytes 10k\n"),
        .init("a number that does not fit", "'max_queued_bytes' value out of range", "max_queued_bytes 4294967296\n"),
        .init("a number beyond all", "out of range", "max_queued_bytes 99999999999999999999\n"),
        .init("yes for true", "Invalid 'persistence' value (yes)", "persistence yes\n"),
        .init("too many in flight", "must be <= 65535", "max_inflight_messages 65536\n"),
        .init("a packet size below all packets", "'max_packet_size' must be >= 20", "max_packet_size 19\n"),
        .init("a keep alive beyond the protocol", "Invalid 'max_keepalive' value (65536)", "max_keepalive 65536\n"),
        .init("a negative keep alive", "Invalid 'max_keepalive' value (-1)", "max_keepalive -1\n"),
        .init("a payload beyond the protocol", "Invalid 'message_size_limit'", "message_size_limit 268435456\n"),
        .init("a negative memory limit", "Invalid 'memory_limit' value (-5)", "memory_limit -5\n"),
        .init("a sys interval beyond a day", "Invalid 'sys_interval' value (65536)", "sys_interval 65536\n"),
        .init("an expiration without unit", "persistent_client_expiration", "persistent_client_expiration 10\n"),
        .init("an expiration of nothing", "persistent_client_expiration", "persistent_client_expiration 0d\n"),
        .init("an expiration in minutes of hours", "persistent_client_expiration", "persistent_client_expiration 3x\n"),
        .init("a retained expiry of nothing", "must be >= 1", "retain_expiry_interval 0\n"),
        .init("a log destination that is none", "Invalid 'log_dest' value (console)", "log_dest console\n"),
        .init("a log file without name", "Empty \"log_dest file\" value", "log_dest file\n"),
        .init("two log files", line: 2, "Duplicate \"log_dest file\"", "log_dest file a\nlog_dest file b\n"),
        .init("a log type that is none", "Invalid 'log_type' value (verbose)", "log_type verbose\n"),
        .init("a facility that is none", "Invalid 'log_facility' value (8)", "log_facility 8\n"),
        .init(
            "two locations",
            line: 2,
            "Duplicate 'persistence_location'",
            "persistence_location a\npersistence_location b\n"
        ),
        .init("no such folder", "Unable to open include_dir", "include_dir /nowhere\n"),
    ]

    static let listeners: [BrokenMosquittoFile] = [
        .init("a port beyond all", "Invalid 'port' value (65536)", "listener 65536\n"),
        .init("a port that is a word", "'listener port' value not a number", "listener mqtt\n"),
        .init("a Unix socket without path", "must provide a Unix socket path", "listener 0\n"),
        .init("port 0", "Invalid 'port' value (0)", "port 0\n"),
        .init("two bind addresses", line: 2, "Duplicate 'bind_address'", "bind_address 127.0.0.1\nbind_address ::1\n"),
        .init("a mount point without listener", "'mount_point' option requires a listener", "mount_point a/\n"),
        .init("a mount point with a wildcard", line: 2, "wildcard", "listener 1883\nmount_point a/#\n"),
        .init(
            "versions for the default listener",
            line: 2,
            "requires a listener",
            "port 1883\naccept_protocol_versions 4\n"
        ),
        .init("a protocol that is none", line: 2, "Invalid 'protocol' value (http)", "listener 1883\nprotocol http\n"),
        .init("QoS 3", "'max_qos' must be between 0 and 2", "max_qos 3\n"),
        .init("aliases beyond the protocol", line: 2, "max_topic_alias", "listener 1883\nmax_topic_alias 65536\n"),
        .init("a family that is none", line: 2, "Invalid 'socket_domain' value", "listener 1883\nsocket_domain ipx\n"),
        .init("a PROXY version that is none", line: 2, "must be 1 or 2", "listener 1883\nenable_proxy_protocol 3\n"),
        .init("a certificate without key", line: 2, "Both certfile and keyfile", "listener 1883\ncertfile a.pem\n"),
        .init("authorities without certificate", line: 2, "without certfile", "listener 1883\ncafile a.pem\n"),
        .init("authorities without listener", "'cafile' option requires a listener", "cafile a.pem\n"),
        .init(
            "certificates of nobody",
            "require_certificate without cafile",
            "listener 1883\ncertfile a\nkeyfile b\nrequire_certificate true\n"
        ),
        .init(
            "TLS behind a proxy that ends it",
            "cannot be used with `enable_proxy_protocol 2`",
            "listener 1883\ncertfile a\nkeyfile b\nenable_proxy_protocol 2\n"
        ),
    ]

    static let security: [BrokenMosquittoFile] = [
        .init(
            "per listener after the fact",
            line: 2,
            "must be set before any other security settings",
            "allow_anonymous true\nper_listener_settings true\n"
        ),
        .init(
            "a password file for no listener",
            line: 2,
            "requires a listener to be defined first",
            "per_listener_settings true\npassword_file a\n"
        ),
        .init("a long prefix", "length must be <= 50", "auto_id_prefix \(String(repeating: "x", count: 51))\n"),
        .init("an option without plugin", "requires plugin", "plugin_opt_file a\n"),
        .init("a plugin without path", "Empty 'plugin' value", "plugin\n"),
        .init("a plugin that is not loaded", line: 2, "not previously loaded", "listener 1883\nplugin_use a\n"),
        .init("a plugin loaded twice", line: 2, "Duplicate plugin name", "plugin_load a b.so\nplugin_load a c.so\n"),
        .init("an option without name", line: 2, "Invalid 'plugin_opt_'", "plugin a.so\nplugin_opt_x 1\n"),
    ]

    static let bridges: [BrokenMosquittoFile] = [
        .init("an address without bridge", "requires a bridge to be defined first", "address a:1883\n"),
        .init("a bridge without name", "Empty 'connection' value", "connection\n"),
        .init("a bridge to nowhere", "no remote addresses defined", "connection a\ntopic #\n"),
        .init("a bridge for nothing", "no topics defined", "connection a\naddress b\n"),
        .init("two of one name", line: 4, "Duplicate bridge name 'a'", bridge + "connection a\naddress b\ntopic #\n"),
        .init("a port of 0", line: 2, "Invalid bridge port value (0)", "connection a\naddress b:0\ntopic #\n"),
        .init("two addresses lines", line: 4, "'address' only allowed once", bridge + "address c\n"),
        .init("a direction that is none", line: 4, "Invalid bridge topic direction 'up'", bridge + "topic a up\n"),
        .init("QoS 3 of a topic", line: 4, "Invalid bridge QoS level '3'", bridge + "topic a out 3\n"),
        .init("a prefix with a wildcard", line: 4, "local prefix '+/'", bridge + "topic a out 0 +/ b/\n"),
        .init("a prefix that hides a wildcard", line: 4, "combination 'ab#'", bridge + "topic # out 0 \"\" ab\n"),
        .init("nothing onto nothing", line: 4, "Invalid bridge remapping", bridge + "topic \"\" out 0 a\n"),
        .init("a quote that stays open", line: 4, "Missing closing quote", bridge + "topic \"a b\n"),
        .init("a filter that is none", line: 4, "Invalid bridge topic 'a#'", bridge + "topic a# out\n"),
        .init("a manual start", line: 4, "Manual start_type not supported", bridge + "start_type manual\n"),
        .init("a start that is none", line: 4, "Invalid 'start_type'", bridge + "start_type now\n"),
        .init("a cap below the base", line: 4, "backoff cap is lower", bridge + "restart_timeout 10 5\n"),
        .init(
            "a protocol of a bridge",
            line: 4,
            "Invalid 'bridge_protocol_version'",
            bridge + "bridge_protocol_version 5\n"
        ),
        .init("a window of nothing", line: 4, "bridge_receive_maximum", bridge + "bridge_receive_maximum 0\n"),
        .init("two passwords", line: 5, "Duplicate 'password'", bridge + "remote_password a\npassword b\n"),
        .init("a certificate of a bridge without key", "bridge_keyfile", bridge + "bridge_certfile a\n"),
        .init("a shared key without identity", "missing bridge_identity", bridge + "bridge_psk aa\n"),
        .init(
            "two bridges that are one client here",
            line: 4,
            "local_clientid of 'b' is not unique",
            bridge + "connection b\naddress c\ntopic #\nlocal_clientid local..a\n"
        ),
    ]

    private static let bridge = "connection a\naddress b\ntopic #\n"

    @Test("is refused with its line, in Mosquitto's words", arguments: files)
    func refused(_ file: BrokenMosquittoFile) throws {
        let outcome = MosquittoSettings.load(file: "m.conf", sources: .texts(["m.conf": file.text]))
        guard case .refused(let problems) = outcome else {
            Issue.record("it was taken")
            return
        }
        let found = problems.map(\.description)
        #expect(
            problems.contains { $0.severity == .error && $0.line == file.line && $0.message.contains(file.message) },
            "\(found)"
        )
        #expect(problems.allSatisfy { $0.file == "m.conf" })
    }

    @Test("all mistakes of a file are told at once, those of what it includes with their own file")
    func allAtOnce() {
        let sources = MosquittoSources.texts([
            "m.conf": "sys_interval x\ninclude_dir d\nlistener 99999\n",
            "d/b.conf": "\nlog_type a\n",
            "d/A.conf": "listener x\ninclude_dir d\n",
            "d/note.txt": "not looked at",
        ])
        let problems = MosquittoSettings.load(file: "m.conf", sources: sources).problems
        #expect(
            problems.map { "\($0.file):\($0.line)" } == [
                "m.conf:1", "d/A.conf:1", "d/A.conf:2", "d/b.conf:2", "m.conf:3",
            ]
        )
    }

    @Test("a file that is not there, a folder, and bytes that are no text are told so")
    func unreadable() {
        let sources = MosquittoSources.texts(["m.conf": "a"])
        #expect(MosquittoSettings.load(file: "x.conf", sources: sources).problems.map(\.file) == ["x.conf"])
        #expect(
            MosquittoSettings.load(file: "/tmp", sources: .disk).problems.first?.message.contains("directory") == true
        )
        let bytes = MosquittoSources(read: { _ in .success([0x61, 0xFF, 0x0A]) }, list: { _ in .success([]) })
        #expect(
            MosquittoSettings.load(file: "m.conf", sources: bytes).problems.first?.message.contains("UTF-8") == true
        )
    }
}

extension MosquittoSources {
    /// Files that are texts of a test.
    static func texts(_ files: [String: String]) -> MosquittoSources {
        MosquittoSources(
            read: { path in
                files[path].map { .success(Array($0.utf8)) } ?? .failure(Failure("there is no such file"))
            },
            list: { folder in
                let names = files.keys.filter { $0.hasPrefix(folder + "/") }.map {
                    String($0.dropFirst(folder.count + 1))
                }
                return names.isEmpty ? .failure(Failure("there is no such file")) : .success(names)
            }
        )
    }
}
