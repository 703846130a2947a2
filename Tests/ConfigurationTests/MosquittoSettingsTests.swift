import CausewayConfiguration
import Testing

@Suite("Files of Mosquitto")
struct MosquittoSettingsTests {
    private func settings(_ text: String, _ more: [String: String] = [:]) throws -> MosquittoSettings {
        let files = more.merging(["m.conf": text]) { $1 }
        let outcome = MosquittoSettings.load(file: "m.conf", sources: .texts(files))
        return try #require(outcome.value, "\(outcome.problems)")
    }

    @Test("an empty file has Mosquitto's defaults and is for this machine alone")
    func defaults() throws {
        let settings = try settings("")
        #expect(settings.isLocalOnly)
        #expect(settings.listeners.isEmpty)
        #expect(settings.maxInflightMessages == 20)
        #expect(settings.maxQueuedMessages == 1_000)
        #expect(settings.maxQueuedBytes == 0)
        #expect(settings.maxPacketBytes == 2_000_000)
        #expect(settings.sysIntervalSeconds == 10)
        #expect(settings.checkRetainSource && settings.isRetainAvailable && !settings.persistence)
        #expect(settings == MosquittoSettings(file: "m.conf"))
    }

    @Test("comments, empty lines, spaces before and behind, line ends of Windows and words after a value do not count")
    func lines() throws {
        let settings = try settings(
            "# a comment\r\n\r\n   max_queued_messages   7 and more\r\n  # another\npersistence true # yes\n"
                + "clientid_prefixes  a b  \n"
        )
        #expect(settings.maxQueuedMessages == 7)
        #expect(settings.persistence)
        #expect(settings.clientIDPrefixes == "a b")
    }

    @Test("numbers are read as C reads them", arguments: [("0x10", 16), ("010", 8), ("-3", 0), ("+12", 12), ("0", 0)])
    func numbers(_ text: String, _ value: Int) throws {
        #expect(try settings("max_queued_messages \(text)\n").maxQueuedMessages == value)
    }

    @Test("a listener has what stands below it, the next one nothing of it")
    func listeners() throws {
        let settings = try settings(
            """
            listener 8883 10.0.0.1
            certfile c.pem
            keyfile k.pem
            cafile ca.pem
            crlfile crl.pem
            require_certificate true
            use_identity_as_username true
            tls_version tlsv1.3
            max_connections 5
            max_qos 1
            accept_protocol_versions 4, 5
            mount_point ward/
            listener 8080
            protocol websockets
            websockets_origin https://a.example
            websockets_origin https://b.example
            max_connections -1
            socket_domain ipv4
            max_topic_alias 3
            max_topic_alias_broker 4
            enable_proxy_protocol 1
            listener 0 /run/m.sock
            listener 1884 # a comment
            """
        )
        #expect(!settings.isLocalOnly)
        let ports = settings.listeners.map(\.port)
        #expect(ports == [8_883, 8_080, 0, 1_884])
        let tls = settings.listeners[0]
        #expect(tls.host == "10.0.0.1")
        #expect(tls.certificateFile == .init("c.pem", place: MosquittoPlace(file: "m.conf", line: 2)))
        #expect(tls.revocationFile?.value == "crl.pem")
        #expect(tls.requireCertificate && tls.useIdentityAsUsername)
        #expect(tls.maxConnections == 5 && tls.maxQoS == 1)
        #expect(tls.protocolVersions == [4, 5])
        #expect(tls.mountPoint == "ward/")
        let web = settings.listeners[1]
        #expect(web.wireProtocol == .websockets && web.host == nil && web.maxConnections == nil)
        #expect(web.origins == ["https://a.example", "https://b.example"])
        #expect(web.socketDomain == .ipv4 && web.maxTopicAlias == 3 && web.maxTopicAliasBroker == 4)
        #expect(web.proxyProtocol == 1)
        #expect(settings.listeners[2].socketPath == "/run/m.sock")
        #expect(settings.listeners[3].host == nil)
    }

    @Test("port and bind_address make one listener of their own; other options alone make none that counts")
    func defaultListener() throws {
        let settings = try settings("bind_address 127.0.0.1\nport 1999\nmax_qos 1\n")
        #expect(settings.listeners.map(\.port) == [1_999])
        #expect(settings.listeners[0].host == "127.0.0.1")
        #expect(settings.listeners[0].maxQoS == 1)
        #expect(try self.settings("max_connections 3\n").isLocalOnly)
    }

    @Test("security belongs to the listener with per_listener_settings, and to all without")
    func perListener() throws {
        let own = try settings(
            "per_listener_settings true\nlistener 1\npassword_file a\nlistener 2\nallow_anonymous true\n"
        )
        #expect(own.listeners[0].security.passwordFile?.value == "a")
        #expect(own.listeners[1].security.allowAnonymous == true)
        #expect(own.security == MosquittoSecurity())
        let all = try settings("listener 1\npassword_file a\nlistener 2\nlistener_allow_anonymous true\n")
        #expect(all.security.passwordFile?.value == "a")
        #expect(all.listeners[0].security == MosquittoSecurity())
        #expect(all.listeners[1].security.allowAnonymous == true)
    }

    @Test("included files are read in the order of their names, each with a fresh mind")
    func includes() throws {
        let settings = try settings(
            "listener 1\ninclude_dir d\nmax_qos 0\n",
            ["d/b.conf": "max_queued_messages 2\nlistener 3\n", "d/A.conf": "max_queued_messages 1\nlistener 2\n"]
        )
        #expect(settings.maxQueuedMessages == 2)
        #expect(settings.listeners.map(\.port) == [1, 2, 3])
        #expect(settings.listeners.map(\.maxQoS) == [0, 2, 2])
        #expect(settings.listeners[1].place == MosquittoPlace(file: "d/A.conf", line: 2))
    }

    @Test("the log is what is asked for")
    func log() throws {
        let settings = try settings(
            "log_dest stdout\nlog_dest file /var/log/m.log\nlog_type error\nlog_type notice\nconnection_messages false\n"
        )
        #expect(settings.log.destinations == [.standardOutput, .file("/var/log/m.log")])
        #expect(settings.log.kinds == [.error, .notice])
        #expect(!settings.log.connectionMessages)
        #expect(try self.settings("log_dest stderr\nlog_dest none\nlog_type all\n").log.destinations.isEmpty)
    }

    @Test("a bridge keeps every word of its block")
    func bridge() throws {
        let settings = try settings(
            """
            connection hospital
            addresses a.example:8883 b.example [::1]:1884
            topic alarm/# out 1
            topic + in 2 local/ remote/
            topic # both 0 "" up/
            topic "with space" BOTH 1
            topic "" out 1 here there
            topic x # all
            remote_clientid r
            remote_username u
            remote_password p w
            local_clientid l
            cleansession true
            local_cleansession false
            start_type lazy
            threshold 0
            idle_timeout 0
            keepalive_interval 2
            restart_timeout 10 90000 60
            notifications false
            notifications_local_only true
            notification_topic state/x
            try_private false
            round_robin true
            bridge_attempt_unsubscribe false
            bridge_outgoing_retain false
            bridge_protocol_version mqttv50
            bridge_max_packet_size 1000
            bridge_max_topic_alias 5
            bridge_receive_maximum 9
            bridge_session_expiry_interval 100
            bridge_reload_type immediate
            bridge_bind_address 10.0.0.2
            bridge_tcp_keepalive 1 2 3
            bridge_tcp_user_timeout 500
            bridge_cafile ca.pem
            bridge_insecure true
            bridge_alpn mqtt
            """
        )
        let bridge = try #require(settings.bridges.first)
        #expect(
            bridge.addresses == [
                .init(host: "a.example", port: 8_883), .init(host: "b.example"), .init(host: "::1", port: 1_884),
            ]
        )
        let topics = bridge.topics.map {
            [$0.pattern ?? "-", $0.direction.rawValue, "\($0.qos)", $0.localPrefix, $0.remotePrefix]
        }
        #expect(
            topics == [
                ["alarm/#", "out", "1", "", ""], ["+", "in", "2", "local/", "remote/"], ["#", "both", "0", "", "up/"],
                ["with space", "both", "1", "", ""], ["-", "out", "1", "here", "there"], ["x", "out", "0", "", ""],
            ]
        )
        #expect(bridge.remoteClientID == "r" && bridge.remoteUsername == "u" && bridge.remotePassword == "p w")
        #expect(bridge.cleanSession && bridge.localCleanSession == false)
        #expect(bridge.startType == .lazy && bridge.threshold == 1 && bridge.idleTimeoutSeconds == 1)
        #expect(bridge.keepAliveSeconds == 5)
        #expect(bridge.restart == .backoff(baseSeconds: 10, capSeconds: 7_200, stableSeconds: 60))
        #expect(!bridge.notifications && bridge.notificationsLocalOnly && bridge.notificationTopic == "state/x")
        #expect(!bridge.tryPrivate && bridge.roundRobin && !bridge.attemptUnsubscribe && !bridge.outgoingRetain)
        #expect(bridge.protocolVersion == .mqttv50 && bridge.reloadType == .immediate)
        #expect(bridge.maxPacketBytes == 1_000 && bridge.maxTopicAlias == 5 && bridge.receiveMaximum == 9)
        #expect(bridge.sessionExpirySeconds == 100 && bridge.bindAddress == "10.0.0.2")
        #expect(bridge.tcpKeepAlive == [1, 2, 3] && bridge.tcpUserTimeoutMilliseconds == 500)
        #expect(bridge.tls.isUsed && bridge.tls.skipsHostNameCheck && bridge.tls.applicationProtocol == "mqtt")
    }

    @Test("a bridge's names are Mosquitto's where it has none of its own")
    func bridgeNames() throws {
        let bridge = try #require(
            try settings("connection cloud\naddress a\ntopic #\nrestart_timeout 3\n").bridges.first
        )
        #expect(bridge.effectiveRemoteClientID(hostName: "ward") == "ward.cloud")
        #expect(bridge.effectiveLocalClientID(hostName: "ward") == "local.ward.cloud")
        #expect(bridge.restart == .constant(seconds: 3))
        #expect(bridge.notifications && bridge.tryPrivate && bridge.protocolVersion == .mqttv311)
    }

    @Test("every option of mosquitto.conf(5) that has no counterpart leaves a note with its line")
    func notes() throws {
        let settings = try settings(
            "autosave_interval 10\nmemory_limit 1000\nretry_interval 2\nlog_dest syslog\nplugin /x/auth.so\nallow_duplicate_messages false\n"
        )
        #expect(
            settings.notes.map { "\($0.place.line) \($0.effect)" } == [
                "1 moot", "2 different", "3 moot", "4 different", "6 moot", "5 impossible",
            ]
        )
    }
}
