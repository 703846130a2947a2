import CausewayConfiguration
import Foundation
import Testing

@Suite struct ExamplesTests {
    private func site(_ text: String, file: String = "/etc/causeway/site.yaml") throws -> SiteConfiguration {
        let outcome = SiteConfiguration.load(text: text, file: file, environment: [:])
        return try #require(outcome.value, "\(outcome.problems.map(\.description).joined(separator: "\n"))")
    }

    private func cloud(_ text: String) throws -> CloudConfiguration {
        let outcome = CloudConfiguration.load(text: text, file: "cloud.yaml", environment: [:])
        return try #require(outcome.value, "\(outcome.problems.map(\.description).joined(separator: "\n"))")
    }

    @Test func `the example of the design document loads, with warnings for what is not done yet`() throws {
        let outcome = SiteConfiguration.load(text: Examples.design, file: "site.yaml", environment: [:])
        #expect(outcome.problems.map(\.path) == ["handlers[3].timeout", "bridges[0].routes[2].sample"])
        #expect(outcome.problems.allSatisfy { $0.severity == .warning })
        let site = try #require(outcome.value)
        #expect(site.site == "store-0042")
        #expect(site.listeners.map(\.bind.description) == ["127.0.0.1:1883", "0.0.0.0:8883"])
        #expect(site.listeners.map(\.allowAnonymous) == [true, false])
        #expect(site.listeners[1].tls?.certificateFile == "certs/site.pem")
        #expect(site.listeners[1].tls?.requireCertificate == true)
        #expect(site.journal.maxBytes == 8 << 30)
        #expect(site.journal.keep == .seconds(86_400))
        #expect(site.handlers.map(\.plugin) == ["medication.insulin", "retail.coupon", "rule", "process"])
        #expect(site.handlers[1].parameters == ["catalogue": .text("coupons.yaml"), "cooldown": .text("24h")])
        #expect(site.handlers[2].parameters["publish"]?["topic"] == .text("alarm/{1}"))
        #expect(site.handlers[3].parameters["command"] == .list([.text("python3"), .text("upsell.py")]))
        #expect(site.handlers[3].timeout == .milliseconds(200))
        let bridge = try #require(site.bridges.first)
        #expect(bridge.address.description == "mqtts://broker.example.com:8883")
        #expect(bridge.confirm == .commit)
        #expect(bridge.routes.map(\.trafficClass) == [.alarm, .transaction, .telemetry])
        #expect(bridge.routes[1].redact == ["customer": .hmac, "card": .drop])
        #expect(bridge.routes[2].sample?.keep == [.avg, .min, .max, .count])
        #expect(bridge.routes[2].sample?.every == .seconds(60))
    }

    @Test func `every setting of a site is taken over`() throws {
        let site = try site(Examples.everySetting)
        #expect(site.users?.passwordFile == "/etc/causeway/users")
        #expect(site.limits.maxInflightMessages == 10)
        #expect(site.limits.maxQueuedMessages == 5_000)
        #expect(site.limits.maxQueuedBytes == 32 << 20)
        #expect(site.limits.overflow == .dropOldest)
        #expect(site.limits.maxPacketBytes == 1_000_000)
        #expect(site.limits.maxTopicLevels == 16)
        #expect(site.limits.maxSubscriptions == 100)
        #expect(site.limits.maxSessions == 500)
        #expect(site.limits.sessionExpiryMax == .seconds(604_800))
        #expect(site.limits.receiveMaximum == 50)
        #expect(site.limits.topicAliasMaximum == 0)
        #expect(site.limits.maxRetainedMessages == 1_000)
        #expect(site.limits.maxKeepAliveSeconds == 300)
        #expect(site.limits.connectTimeout == .seconds(5))
        let devices = site.listeners[0]
        #expect(devices.name == "devices")
        #expect(devices.bind == NetworkAddress(host: "::", port: 8883))
        #expect(devices.maxConnections == 300)
        #expect(devices.maxPacketBytes == 65_536)
        #expect(devices.maxKeepAliveSeconds == 120)
        #expect(devices.allowAnonymous)
        #expect(devices.tls?.minimumVersion == .tls13)
        #expect(devices.tls?.keyFile == "/etc/causeway/certs/site.key")
        #expect(site.listeners[1].isInsecureAllowed)
        #expect(site.listeners[1].maxPacketBytes == nil)
        #expect(site.listeners[1].maxKeepAliveSeconds == nil)
        let access = try #require(site.access?.rules)
        #expect(access[0].users == ["nurse-*", "doctor"])
        #expect(access[0].clients == ["tablet-*"])
        #expect(access[0].receive == ["ward/+/cgm"])
        #expect(access[1].publish == ["pos/%c/#"])
        #expect(access[1].receive == ["down/%c"])
        #expect(site.journal.path == "/var/lib/causeway")
        #expect(site.journal.sync == .interval(.milliseconds(50)))
        #expect(site.journal.segmentBytes == 16 << 20)
        #expect(site.journal.reserveBytes == 32 << 20)
        #expect(site.journal.reserveTopics == ["alarm/#"])
        #expect(site.journal.encryption?.source == .file("/etc/causeway/secrets/journal.key"))
        #expect(site.journal.encryption?.retiredKeyFiles == ["/etc/causeway/secrets/old.key"])
        #expect(site.siteKeyFile == "/etc/causeway/secrets/site.key")
        let handler = try #require(site.handlers.first)
        #expect(handler.mode == .auto)
        #expect(handler.isEnabled == false)
        #expect(handler.parameters["target"] == .map(["low": .integer(100), "high": .number(140.5)]))
        #expect(handler.parameters["names"] == .list([.text("a"), .text("1"), .bool(true), .null]))
        #expect(handler.parameters["note"] == .text("5"))
        #expect(handler.parameters["negative"] == .integer(-3))
        #expect(handler.parameterPositions["target.high"] == SourcePosition(line: 47, column: 39))
        let bridge = try #require(site.bridges.first)
        #expect(bridge.address.description == "mqtts://[2001:db8::1]:8883")
        #expect(bridge.site == "ward_7_north")
        #expect(bridge.wireProtocol == .mqttv311)
        #expect(bridge.tls?.skipsHostNameCheck == true)
        #expect(bridge.passwordFile == "/etc/causeway/secrets/cloud.password")
        #expect(bridge.shards == 4)
        #expect(bridge.keepAlive == .seconds(30))
        #expect(bridge.restart.base == .seconds(2))
        #expect(bridge.window == 64)
        #expect(bridge.resendAfter == .seconds(20))
        #expect(bridge.overflow == .dropNewest)
        #expect(bridge.drainRate == 500)
        let route = try #require(bridge.routes.first)
        #expect(route.qos == 0)
        #expect(route.retain)
        #expect(
            route.redact == [
                "patient.name": .drop, "patient.id": .hmac, "mgdl": .round(decimals: 0), "bpm": .round(decimals: 1),
                "kg": .round(decimals: 2),
            ]
        )
        #expect(site.console?.bind.port == 9000)
        #expect(site.log.level == .debug)
        #expect(site.log.format == .json)
        #expect(site.fileReferences.count == 12)
    }

    @Test func `a site without optional settings has the stated defaults`() throws {
        let site = try site("site: s1\nlisteners: [{ bind: 127.0.0.1:1883 }]\n")
        #expect(site.journal.path == "/etc/causeway/data")
        #expect(site.journal.sync == .always)
        #expect(site.limits == LimitsConfiguration())
        #expect(site.access == nil)
        #expect(site.console == nil)
        #expect(site.listeners[0].name == "127.0.0.1:1883")
        #expect(site.listeners[0].maxConnections == 10_000)
        #expect(site.resolve("coupons.yaml") == "/etc/causeway/coupons.yaml")
    }

    @Test func `anonymous clients are let in by default on plain loopback without users only`() throws {
        let text = "site: s1\nusers: { password_file: u }\nlisteners: [{ bind: 127.0.0.1:1883 }]\n"
        #expect(try site(text).listeners[0].allowAnonymous == false)
    }

    @Test func `every example in docker loads`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        var count = 0
        for folder in ["docker/examples", "docker/compose"] {
            let path = root.appendingPathComponent(folder).path
            for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasSuffix(".yaml") {
                let text = try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
                switch ConfigurationKind.of(text: text) {
                case .site:
                    let problems = SiteConfiguration.load(text: text, file: name, environment: [:]).problems
                    #expect(problems.filter { $0.severity == .error } == [])
                case .cloud:
                    let problems = CloudConfiguration.load(text: text, file: name, environment: [:]).problems
                    #expect(problems.filter { $0.severity == .error } == [])
                }
                count += 1
            }
        }
        #expect(count >= 4)
    }

    @Test func `a site can attach to an existing broker`() throws {
        let broker = try #require(try site(Examples.attached).siteBroker)
        #expect(broker.address.description == "mqtts://mosquitto.shop.local:8883")
        #expect(broker.topics == ["pos/#", "fridge/+/temp"])
        #expect(broker.username == "causeway")
    }

    @Test func `a cloud with a broker of its own loads`() throws {
        let cloud = try cloud(Examples.embeddedCloud)
        guard case .embedded(let broker) = cloud.broker else {
            Issue.record("expected an embedded broker")
            return
        }
        #expect(broker.listeners.count == 2)
        #expect(cloud.shards == .only([0, 2, 4, 5, 6, 7]))
        #expect(cloud.databasePath == "/var/lib/causeway/cloud.sqlite")
        #expect(cloud.batch.maxMessages == 500)
        #expect(cloud.batch.maxDelay == .milliseconds(20))
    }

    @Test func `a cloud beside an existing broker loads`() throws {
        let cloud = try cloud(Examples.existingCloud)
        guard case .existing(let broker) = cloud.broker else {
            Issue.record("expected an existing broker")
            return
        }
        #expect(broker.address.host == "nats.example.com")
        #expect(cloud.shards == .all)
        #expect(cloud.databasePath == "cloud.sqlite")
    }

    @Test func `variables of the environment stand for their values`() throws {
        let text =
            "site: ${SITE}-${N}\nlisteners: [{ bind: \"127.0.0.1:${PORT}\", max_connections: \"${MAX}\" }]\n"
            + "log: { level: \"${LEVEL}\" }\njournal: { path: \"$${HOME}/a$b\" }\n"
        let environment = ["SITE": "shop", "N": "7", "PORT": "1999", "MAX": "12", "LEVEL": "debug"]
        let outcome = SiteConfiguration.load(text: text, file: "site.yaml", environment: environment)
        let site = try #require(outcome.value, "\(outcome.problems)")
        #expect(site.site == "shop-7")
        #expect(site.listeners[0].bind.port == 1999)
        #expect(site.listeners[0].maxConnections == 12)
        #expect(site.log.level == .debug)
        #expect(site.journal.path == "${HOME}/a$b")
    }

    @Test func `a handler's plugin is checked against the plugins there are`() {
        let text =
            "site: s\nlisteners: [{ bind: 127.0.0.1:1 }]\n"
            + "handlers: [{ name: h, plugin: retail.cupon, topics: [a] }]\n"
        let outcome = SiteConfiguration.load(
            text: text,
            file: "site.yaml",
            environment: [:],
            plugins: ["retail.coupon", "medication.insulin"]
        )
        #expect(
            outcome.problems.map(\.description) == [
                "site.yaml:3:31: error: handlers[0].plugin: there is no plugin 'retail.cupon' "
                    + "(did you mean 'retail.coupon'?)"
            ]
        )
    }
}
