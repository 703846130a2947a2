import CausewayConfiguration
import Testing

@Suite("A site made of a file of Mosquitto")
struct MosquittoSiteTests {
    private func site(
        _ text: String,
        ports: [Int] = [],
        baseFolder: String? = nil
    ) throws -> (site: SiteConfiguration, notes: [MosquittoNote]) {
        let outcome = MosquittoSettings.load(file: "m.conf", sources: .texts(["m.conf": text]))
        let settings = try #require(outcome.value, "\(outcome.problems)")
        var notes = settings.notes
        let options = SiteConfiguration.MosquittoOptions(
            site: "ward-3",
            hostName: "box",
            baseFolder: baseFolder,
            ports: ports
        )
        return (SiteConfiguration(mosquitto: settings, options: options, notes: &notes), notes)
    }

    @Test("without a listener only this machine connects, anonymously, on port 1883 or those of the command line")
    func localMode() throws {
        let local = try site("").site.listeners
        #expect(local.map(\.bind.description) == ["localhost:1883"])
        #expect(local[0].allowAnonymous)
        #expect(try site("", ports: [1_888, 1_889]).site.listeners.map(\.bind.port) == [1_888, 1_889])
        #expect(try site("allow_anonymous false\n").site.listeners[0].allowAnonymous == false)
        // A listener of the file makes the command line's port void.
        let own = try site("listener 1884\n", ports: [1_888]).site.listeners
        #expect(own.map(\.bind.description) == ["*:1884"])
    }

    @Test(
        "strangers enter only where Mosquitto's rules say so",
        arguments: [
            ("listener 1884\n", false),
            ("listener 1884\nallow_anonymous true\n", true),
            ("listener 1884\nlistener_allow_anonymous true\nallow_anonymous false\n", true),
            ("listener 1884\nlistener_allow_anonymous false\nallow_anonymous true\n", false),
            ("per_listener_settings true\nlistener 1884\nallow_anonymous true\n", true),
            ("per_listener_settings true\nlistener 1884\n", false),
            ("port 1884\nallow_anonymous true\n", true),
            ("allow_anonymous true\nplugin /x/unknown.so\nlistener 1884\n", false),
        ]
    )
    func anonymous(_ text: String, _ expected: Bool) throws {
        #expect(try site(text).site.listeners.map(\.allowAnonymous) == [expected])
    }

    @Test("limits are Mosquitto's, and no limit of Mosquitto's is one of ours that nobody reaches")
    func limits() throws {
        let common = try site("").site.limits
        #expect(common.maxInflightMessages == 20 && common.receiveMaximum == 20)
        #expect(common.maxQueuedMessages == 1_000 && common.overflow == .dropNewest)
        #expect(common.maxQueuedBytes == 1 << 40 && common.maxPacketBytes == 2_000_000)
        #expect(common.maxKeepAliveSeconds == 0 && common.sessionExpiryMax == nil)
        let own = try site(
            """
            max_inflight_messages 0
            max_queued_messages 0
            max_keepalive 100
            persistent_client_expiration 2d
            message_size_limit 64
            queue_qos0_messages true
            upgrade_outgoing_qos true
            check_retain_source false
            retain_available false
            global_max_connections 7
            global_max_clients 8
            max_inflight_bytes 9
            """
        ).site.limits
        #expect(own.maxInflightMessages == 65_535 && own.maxQueuedMessages == 1_000_000_000)
        #expect(own.maxKeepAliveSeconds == 100 && own.sessionExpiryMax == .seconds(172_800))
        #expect(own.messageSizeLimit == 64 && own.maxInflightBytes == 9)
        #expect(own.queueQoS0Messages && own.upgradeOutgoingQoS && !own.checkRetainSource && !own.isRetainAvailable)
        #expect(own.maxConnections == 7 && own.maxSessions == 8)
    }

    @Test(
        "the journal lies beside Mosquitto's own file, and there is none without persistence",
        arguments: [
            ("", false, "data"),
            ("persistence true\n", true, "causeway"),
            ("persistence true\npersistence_location /var/lib/m\n", true, "/var/lib/m/causeway"),
            ("persistence true\npersistence_location /var/lib/m/\n", true, "/var/lib/m/causeway"),
            ("persistence true\npersistence_file a.db\n", true, "a.db.causeway"),
            ("plugin /usr/lib/mosquitto_persist_sqlite.so\n", true, "causeway"),
        ]
    )
    func journal(_ text: String, _ isEnabled: Bool, _ path: String) throws {
        let journal = try site(text).site.journal
        #expect(journal.isEnabled == isEnabled)
        #expect(journal.path == path)
    }

    @Test("users and rules are those of the listener or of all, and of the plugins that are known")
    func security() throws {
        let all = try site("password_file p\nacl_file a\nlistener 1884\n").site
        #expect(all.users?.passwordFile == "p" && all.access?.aclFile == "a")
        #expect(all.listeners[0].users == nil && all.listeners[0].access == nil)
        let own = try site("per_listener_settings true\nlistener 1884\npassword_file p\nlistener 1885\nacl_file a\n")
            .site
        #expect(own.users == nil && own.access == nil)
        #expect(own.listeners[0].users?.passwordFile == "p" && own.listeners[0].access == nil)
        #expect(own.listeners[1].users == nil && own.listeners[1].access?.aclFile == "a")
        let plugins = try site(
            """
            plugin_load acl /usr/lib/mosquitto_acl_file.so
            plugin_opt_acl_file a
            plugin_load users /usr/lib/mosquitto_password_file.so
            plugin_opt_password_file p
            listener 1884
            plugin_use acl
            plugin_use users
            listener 1885
            """
        ).site
        #expect(plugins.listeners[0].users?.passwordFile == "p" && plugins.listeners[0].access?.aclFile == "a")
        #expect(plugins.listeners[1].users == nil)
        let dynamic = try site("plugin mosquitto_dynamic_security.so\nplugin_opt_config_file d.json\nlistener 1\n").site
        #expect(dynamic.access?.dynamicSecurityFile == "d.json")
    }

    @Test(
        "what protects and cannot be had is left out, and said",
        arguments: [
            "listener 8883\npsk_hint ward\npsk_file keys\n",
            "listener 8883\ncertfile c\nkeyfile k\ncapath /etc/ssl\nrequire_certificate true\n",
        ]
    )
    func impossibleListeners(_ text: String) throws {
        let (site, notes) = try site("listener 1884\n" + text)
        #expect(site.listeners.map(\.bind.port) == [1_884])
        #expect(notes.contains { $0.effect == .impossible })
    }

    @Test("a bridge whose other side could not be checked is left out, and said")
    func impossibleBridges() throws {
        let bridge = "connection a\naddress b\ntopic #\n"
        let (closed, notes) = try site(bridge + "bridge_psk aa\nbridge_identity b\n")
        #expect(closed.relays.isEmpty)
        #expect(notes.contains { $0.effect == .impossible })
        #expect(try site(bridge).site.relays.map(\.remoteClientID) == ["box.a"])
        #expect(try site(bridge).site.relays.map(\.localClientID) == ["local.box.a"])
    }

    @Test("relative paths count from the folder that is given")
    func paths() throws {
        let text = "password_file ./p\npid_file /run/m.pid\npersistence true\nlistener 8883\ncertfile c\nkeyfile k\n"
        let site = try site(text, baseFolder: "/etc/mosquitto").site
        #expect(site.users?.passwordFile == "/etc/mosquitto/p")
        #expect(site.pidFile == "/run/m.pid")
        #expect(site.journal.path == "/etc/mosquitto/causeway")
        #expect(site.listeners[0].tls?.certificateFile == "/etc/mosquitto/c")
        #expect(Set(site.fileReferences.map(\.path)) == ["/etc/mosquitto/p", "/etc/mosquitto/c", "/etc/mosquitto/k"])
    }

    // MARK: Written as site.yaml

    static let files = [
        "",
        "allow_anonymous false\nmax_keepalive 90\nlog_type error\nlog_dest file /var/log/m.log\nsys_interval 0\n",
        "persistence true\npersistence_location /var/lib/mosquitto/\npersistent_client_expiration 1w\n"
            + "listener 1883\nallow_anonymous true\nclientid_prefixes ward-\nuser mosquitto\npid_file /run/m.pid\n",
        """
        per_listener_settings true
        listener 1883 10.0.0.1
        password_file /etc/p
        acl_file /etc/a
        mount_point ward/
        max_qos 1
        accept_protocol_versions 4,5
        use_username_as_clientid true
        auto_id_prefix x: y
        listener 8883
        certfile /c.pem
        keyfile /k.pem
        cafile /ca.pem
        crlfile /crl.pem
        require_certificate true
        use_subject_as_username true
        tls_version tlsv1.3
        max_connections 12
        listener 8080 ::1
        protocol websockets
        websockets_origin https://a.example
        enable_proxy_protocol 2
        proxy_protocol_v2_require_tls true
        allow_anonymous true
        max_topic_alias 0
        max_topic_alias_broker 3
        listener 0 /run/m.sock
        allow_zero_length_clientid false
        """,
        """
        listener 1884
        password_file /etc/p w d
        connection cloud
        addresses mqtt.example.com:8883 10.0.0.9
        bridge_cafile /ca.pem
        bridge_protocol_version mqttv50
        remote_username ward
        remote_password "p\\ä${x} #
        restart_timeout 3
        topic # both 2 here/ there/
        topic "" out 0 a b
        topic "a b/+" in
        connection other
        address 127.0.0.1
        topic x
        start_type lazy
        notifications false
        bridge_tcp_keepalive 1 2 3
        restart_timeout 1 9 3
        plugin mosquitto_dynamic_security.so
        plugin_opt_config_file /var/lib/d.json
        """,
    ]

    @Test("written and read again it is the same site, and the same text", arguments: files)
    func roundTrip(_ text: String) throws {
        var site = try site(text).site
        let written = try site.text(header: "A site.\nMade for a test.")
        #expect(written == (try site.text(header: "A site.\nMade for a test.")))
        let outcome = SiteConfiguration.load(text: written, file: "site.yaml", environment: [:])
        var loaded = try #require(outcome.value, "\(outcome.problems)\n\(written)")
        Self.withoutPlaces(&site)
        Self.withoutPlaces(&loaded)
        #expect(loaded == site, "\(written)")
        #expect(try loaded.text(header: "A site.\nMade for a test.") == written)
    }

    /// Where things stand differs, and nothing else may.
    private static func withoutPlaces(_ site: inout SiteConfiguration) {
        site.file = ""
        site.fileReferences = []
        for index in site.listeners.indices { site.listeners[index].position = .start }
        let nowhere = MosquittoPlace(file: "", line: 0)
        for index in site.relays.indices {
            site.relays[index].place = nowhere
            for topic in site.relays[index].topics.indices { site.relays[index].topics[topic].place = nowhere }
        }
    }

    @Test("the text is for people: comments, and nothing that is as it would be anyway")
    func text() throws {
        let written = try site("listener 1883\nallow_anonymous true\n").site.text(header: "From m.conf.")
        #expect(written.hasPrefix("# From m.conf.\n\nsite: ward-3\n"))
        #expect(written.contains("  - bind: \"*:1883\"\n    insecure: true\n    allow_anonymous: true\n"))
        #expect(!written.contains("max_qos"))
        #expect(!written.contains("overflow"))
    }
}
