import Broker
import Foundation
import MosquittoClient
import MosquittoFixture
import Synchronization
import Testing

@testable import Bridge

@Suite("A bridge to a stock mosquitto", .serialized)
struct BridgeServiceTests {
    private func settings(_ folder: URL, _ port: UInt16) -> BridgeSettings {
        var settings = BridgeSettings(
            name: "cloud",
            host: "127.0.0.1",
            port: port,
            site: "s1",
            outboxDirectory: folder.path + "/outbox/cloud"
        )
        settings.routes = [RouteRule(pattern: "#")]
        settings.restartBaseMilliseconds = 20
        settings.restartCapMilliseconds = 200
        settings.resendAfterMilliseconds = 500
        settings.keepAliveSeconds = 5
        return settings
    }

    private func started(
        _ settings: BridgeSettings,
        _ source: MemorySource
    ) throws -> (service: BridgeService, log: ReportLog) {
        let log = ReportLog()
        let service = try BridgeService(settings: settings, source: source) { log.append($0) }
        try service.start()
        return (service, log)
    }

    private func publish(
        _ source: MemorySource,
        _ numbers: ClosedRange<Int>,
        _ service: BridgeService
    ) {
        for number in numbers { source.append("t/\(number)", "{\"n\":\(number)}") }
        service.sourceAdvanced()
    }

    private func payloads(_ count: Int) -> [UInt64: String] {
        Dictionary(uniqueKeysWithValues: (1...count).map { (UInt64($0), "{\"n\":\($0)}") })
    }

    private func texts(_ cloud: TestCloud) -> [UInt64: String] {
        cloud.stored.mapValues { String(decoding: $0.payload, as: UTF8.self) }
    }

    @Test(
        "brings everything with stamps or envelopes, and the watermark cuts",
        arguments: [MosquittoProtocol.v5, .v311]
    )
    func normal(version: MosquittoProtocol) throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: true)
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.protocolVersion = version
            let (service, _) = try started(settings, source)
            publish(source, 1...500, service)
            try eventually("all confirmed") { service.health.confirmedSequence == 500 }
            #expect(texts(cloud) == payloads(500))
            #expect(cloud.stored[7]?.topic == "up/\(BridgeShard.name(site: "s1"))/s1/t/7")
            let stamp = cloud.content.withLock { $0.stamps.first }
            #expect(stamp?.site == "s1" && stamp?.className == "telemetry")
            #expect(stamp?.receivedMilliseconds == 1_700_000_000_000)
            let health = service.health
            #expect(health.queueMessages == 0 && health.queueBytes == 0 && health.inflight == 0)
            #expect(service.health.sourceRecord == 500)
            try eventually("nothing of the main journal is needed") { service.oldestNeededRecord == 501 }
            service.stop()
            cloud.stop()
        }
    }

    @Test("loses nothing when the broker is killed, and drains without anything new being published")
    func outage() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.confirm = .commit
            let (service, _) = try started(settings, source)
            var cloud = try TestCloud(port: broker.port, commits: true)
            publish(source, 1...100, service)
            try eventually("first part") { service.health.confirmedSequence == 100 }
            broker.kill()
            publish(source, 101...2000, service)
            try eventually("queued on disk") { service.health.queueMessages == 1900 }
            #expect([.waiting, .connecting].contains(service.health.state))
            let before = cloud.stored
            cloud.stop()
            try broker.start()
            // Not a message is published from here on.
            cloud = try TestCloud(port: broker.port, aggregator: "B", commits: true, stored: before)
            try eventually("all confirmed", seconds: 60) { service.health.confirmedSequence == 2000 }
            #expect(texts(cloud) == payloads(2000))
            #expect(service.health.reconnects.values.reduce(0, +) > 0)
            service.stop()
            cloud.stop()
        }
    }

    @Test("goes on after a restart of the site in the middle of an outage, under the same epoch")
    func restart() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            let source = MemorySource()
            let first = try started(settings(folder, broker.port), source).service
            publish(source, 1...300, first)
            try eventually("queued") { first.health.queueMessages == 300 }
            let epoch = first.health.epoch
            first.stop()
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: true)
            let second = try started(settings(folder, broker.port), source).service
            publish(source, 301...400, second)
            try eventually("all confirmed") { second.health.confirmedSequence == 400 }
            #expect(second.health.epoch == epoch)
            #expect(texts(cloud) == payloads(400))
            second.stop()
            cloud.stop()
        }
    }

    @Test("is sent again when the broker lost what it had acknowledged: the aggregator was away")
    func goBack() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let source = MemorySource()
            let (service, _) = try started(settings(folder, broker.port), source)
            publish(source, 1...50, service)
            // Everything is acknowledged by the broker, and nobody was there to get it.
            try eventually("acknowledged") { service.health.acknowledgedTotal >= 50 }
            #expect(service.health.confirmedSequence == 0)
            let cloud = try TestCloud(port: broker.port, commits: true)
            try eventually("all confirmed") { service.health.confirmedSequence == 50 }
            #expect(texts(cloud) == payloads(50))
            #expect(service.health.resentTotal > 0)
            service.stop()
            cloud.stop()
        }
    }

    @Test("puback: the outbox is cut by the broker's acknowledgement")
    func puback() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: false)
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.confirm = .puback
            let (service, _) = try started(settings, source)
            publish(source, 1...200, service)
            try eventually("all confirmed") { service.health.confirmedSequence == 200 }
            try eventually("all there") { cloud.stored.count == 200 }
            service.stop()
            cloud.stop()
        }
    }

    @Test("keeps to a server's receive maximum", arguments: [UInt8(1), 5])
    func receiveMaximum(limit: UInt8) throws {
        try withTemporaryFolder { folder in
            let server = try FakeServer()
            let source = MemorySource()
            var settings = settings(folder, server.port)
            settings.confirm = .puback
            let (service, _) = try started(settings, source)
            publish(source, 1...20, service)
            try server.acceptSession(properties: [0x21, 0, limit])
            var open: [[UInt8]] = []
            var received = 0
            var most = 0
            while received < 20 {
                while received < 20, server.isReadable(seconds: open.isEmpty ? 10 : 0.1),
                    let packet = server.readPacket()
                {
                    guard packet[0] & 0xF0 == 0x30 else { continue }
                    // Fixed header, remaining length (1 or 2 bytes), topic, identifier.
                    let start = packet[1] & 128 == 0 ? 2 : 3
                    let topic = Int(packet[start]) << 8 | Int(packet[start + 1])
                    open.append([packet[start + 2 + topic], packet[start + 3 + topic]])
                    received += 1
                    most = max(most, open.count)
                }
                guard let first = open.first else { break }
                open.removeFirst()
                server.send([0x40, 2] + first)
            }
            for identifier in open { server.send([0x40, 2] + identifier) }
            #expect(received == 20)
            #expect(most == Int(limit))
            try eventually("all confirmed") { service.health.confirmedSequence == 20 }
            service.stop()
        }
    }

    @Test("a silent server is stalled, not live", .timeLimit(.minutes(1)))
    func stalled() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: true)
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.ackTimeoutMilliseconds = 300
            settings.connectTimeoutMilliseconds = 1000
            let (service, _) = try started(settings, source)
            publish(source, 1...10, service)
            try eventually("live") { service.health.confirmedSequence == 10 }
            broker.freeze()
            publish(source, 11...20, service)
            try eventually("stalled") { (service.health.reconnects["stalled"] ?? 0) > 0 }
            broker.thaw()
            try eventually("all confirmed") { service.health.confirmedSequence == 20 }
            #expect(texts(cloud) == payloads(20))
            service.stop()
            cloud.stop()
        }
    }

    @Test(
        "an oversized message is set aside with a gap in its place, and the others go on",
        arguments: [
            BridgeSettings.Confirmation.commit, .puback,
        ]
    )
    func oversized(confirm: BridgeSettings.Confirmation) throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(
                directory: folder,
                lines: ["allow_anonymous true", "max_packet_size 2000"]
            )
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: confirm == .commit)
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.confirm = confirm
            settings.poisonDisconnects = 3
            let (service, _) = try started(settings, source)
            publish(source, 1...3, service)
            source.append("big", "\"" + String(repeating: "x", count: 5000) + "\"")
            publish(source, 5...8, service)
            try eventually("all confirmed", seconds: 30) { service.health.confirmedSequence >= 8 }
            try eventually("all there") { cloud.stored.count >= 8 }
            let gap = cloud.stored.values.compactMap { BridgeGap(decoding: $0.payload) }.first
            #expect(gap?.from == 4 && gap?.to == 4)
            #expect(service.health.dropped.values.reduce(0, +) == 1)
            let files = try FileManager.default.contentsOfDirectory(
                atPath: settings.outboxDirectory + "/dead-letters"
            )
            #expect(files.count == 1)
            service.stop()
            cloud.stop()
        }
    }

    @Test("resumes its TLS session on reconnect, and a wrong authority is never spoken to")
    func tls() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let broker = try MosquittoBroker(
                directory: folder,
                lines: certificates.listenerLines(mutual: true)
            )
            try broker.start()
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.host = "localhost"
            settings.confirm = .puback
            settings.tls = MosquittoTLSOptions(
                cafile: certificates.path("ca.pem"),
                certfile: certificates.path("site.pem"),
                keyfile: certificates.path("site.key")
            )
            let (service, _) = try started(settings, source)
            publish(source, 1...10, service)
            try eventually("confirmed") { service.health.confirmedSequence == 10 }
            #expect(service.health.tlsVersion == "TLSv1.3")
            #expect(service.health.isTLSResumed == false)
            service.pause()
            try eventually("paused") { service.health.state == .paused }
            service.resume()
            publish(source, 11...20, service)
            try eventually("confirmed") { service.health.confirmedSequence == 20 }
            #expect(service.health.isTLSResumed == true)
            service.stop()

            settings.tls?.cafile = certificates.path("other.pem")
            settings.outboxDirectory += "-2"
            let (wrong, _) = try started(settings, source)
            try eventually("refused") { (wrong.health.reconnects["tls"] ?? 0) > 0 }
            #expect(wrong.health.acknowledgedTotal == 0)
            wrong.stop()
        }
    }

    @Test("a full outbox drops the oldest and the cloud is told which")
    func overflow() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            let source = MemorySource()
            var settings = settings(folder, broker.port)
            settings.outboxBytesMax = 256 * 1024
            let (service, _) = try started(settings, source)
            for number in 1...400 {
                source.append("t/\(number)", "\"" + String(repeating: "x", count: 2000) + "\"")
                if number % 20 == 0 { service.sourceAdvanced() }
                if number % 100 == 0 {
                    try eventually("queued") { service.health.lastSequence >= UInt64(number) }
                }
            }
            try eventually("dropped") { (service.health.dropped["queue_full"] ?? 0) > 0 }
            try broker.start()
            let cloud = try TestCloud(port: broker.port, commits: true)
            try eventually("all confirmed", seconds: 30) { service.health.confirmedSequence >= 400 }
            let dropped = service.health.dropped["queue_full"] ?? 0
            let gap = cloud.stored.values.lazy.compactMap { BridgeGap(decoding: $0.payload) }.first {
                $0.from > 0
            }
            #expect(gap?.from == 1 && gap?.to == dropped && gap?.reason == "queue_full")
            #expect(cloud.watermark == 400)
            service.stop()
            cloud.stop()
        }
    }

    @Test("settings that make no sense are refused")
    func refused() throws {
        try withTemporaryFolder { folder in
            let good = settings(folder, 1)
            var bad: [BridgeSettings] = []
            func add(_ change: (inout BridgeSettings) -> Void) {
                var settings = good
                change(&settings)
                bad.append(settings)
            }
            add { $0.host = "cloud.example.com" }
            add { $0.window = 0 }
            add { $0.routes = [] }
            add { $0.prefix = "up/+/" }
            add { $0.prefix = "up" }
            add { $0.isStamped = false }
            add { $0.site = "" }
            add { $0.site = "store 42" }
            add { $0.restartBaseMilliseconds = 1000 }
            for settings in bad {
                #expect(throws: BridgeError.self) {
                    try BridgeService(settings: settings, source: MemorySource()) { _ in }
                }
            }
        }
    }
}

@Suite("An attached site broker", .serialized)
struct AttachedBrokerTests {
    @Test("is listened to, acknowledged after the commit, and given what handlers decide")
    func bothWays() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            var settings = AttachedBrokerSettings(
                host: "127.0.0.1",
                port: broker.port,
                site: "s1",
                filters: ["in/#"],
                outboxDirectory: folder.path + "/outbox"
            )
            settings.restartBaseMilliseconds = 20
            settings.restartCapMilliseconds = 100
            let source = MemorySource()
            let ingested = Mutex<[String]>([])
            let mayCommit = Mutex(false)
            let log = ReportLog()
            let attached = try AttachedBroker(
                settings: settings,
                source: source,
                ingest: { message in
                    ingested.withLock { $0.append(String(decoding: message.payload, as: UTF8.self)) }
                },
                commit: { mayCommit.withLock { $0 } },
                log: { log.append($0) }
            )
            try attached.start()
            try eventually("attached") { attached.health.state == .live }
            try run(
                "/usr/bin/mosquitto_pub",
                ["-h", "127.0.0.1", "-p", "\(broker.port)", "-q", "1", "-t", "in/x", "-m", "reading"],
                in: folder
            )
            // The commit fails: the broker delivers it again, until it does not fail.
            try eventually("delivered again") { ingested.withLock { $0.count } >= 2 }
            mayCommit.withLock { $0 = true }
            try eventually("attached") { attached.health.state == .live }

            let outputs = Mutex<[MosquittoMessage]>([])
            let listener = try MosquittoConnection(
                configuration: MosquittoConfiguration(
                    host: "127.0.0.1",
                    port: broker.port,
                    clientID: "device"
                )
            ) { event in
                if case .message(let message) = event { outputs.withLock { $0.append(message) } }
                if case .subscribed = event {
                    outputs.withLock {
                        $0.append(MosquittoMessage(topic: "", payload: [], qos: 0, retain: false))
                    }
                }
            }
            try listener.start()
            try eventually("listening") { (try? listener.subscribe(["out/#"], qos: 1)) != nil }
            try eventually("subscribed") { outputs.withLock { !$0.isEmpty } }
            source.append(
                "in/x",
                "a client's: stays",
                origin: .bridge,
                publisher: AttachedBroker.publisher
            )
            source.append("out/pump 1", "decision", origin: .handler, publisher: "glucose")
            attached.sourceAdvanced()
            try eventually("decided") { outputs.withLock { $0.contains { $0.topic == "out/pump 1" } } }
            try eventually("confirmed") { attached.outputHealth.confirmedSequence == 1 }
            let decision = outputs.withLock { $0.first { $0.topic == "out/pump 1" } }
            #expect(decision?.payload == Array("decision".utf8))
            #expect(decision?.userProperties.isEmpty == true)
            listener.stop()
            attached.stop()
        }
    }
}
