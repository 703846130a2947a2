import Foundation
import MQTT
import MosquittoClient
import MosquittoFixture
import Synchronization
import Testing

@testable import Bridge

/// The relay between two stock mosquittos: links that break, TLS, reloads.
@Suite(.serialized)
struct RelayBrokersTests {
    /// A client that publishes or keeps what it is sent.
    private final class Peer: Sendable {
        private struct Shared: Sendable {
            var payloads: [String] = []
            var isSubscribed = false
            var published = 0
        }

        private let shared = Mutex(Shared())
        private let connection: Mutex<MosquittoConnection?> = Mutex(nil)

        init(_ port: UInt16, _ id: String, filter: String? = nil, qos: UInt8 = 2) throws {
            var configuration = MosquittoConfiguration(host: "127.0.0.1", port: port, clientID: id)
            configuration.keepAliveSeconds = 60
            let made = try MosquittoConnection(configuration: configuration) { [weak self] event in
                guard let self else { return }
                switch event {
                case .connected:
                    guard let filter else { return shared.withLock { $0.isSubscribed = true } }
                    _ = try? connection.withLock { $0 }?.subscribe([filter], qos: qos)
                case .subscribed: shared.withLock { $0.isSubscribed = true }
                case .message(let message):
                    shared.withLock { $0.payloads.append(String(decoding: message.payload, as: UTF8.self)) }
                case .published: shared.withLock { $0.published += 1 }
                case .connectFailed, .disconnected, .unsubscribed: break
                }
            }
            connection.withLock { $0 = made }
            try made.start()
            try eventually("\(id) is ready") { self.shared.withLock { $0.isSubscribed } }
        }

        deinit { connection.withLock { $0 }?.stop() }

        var payloads: [String] { shared.withLock { $0.payloads } }
        var published: Int { shared.withLock { $0.published } }

        func publish(_ topic: String, _ payload: String, qos: UInt8, retain: Bool = false) throws {
            let connection = connection.withLock { $0 }
            _ = try connection?.publish(topic: topic, payload: Array(payload.utf8), qos: qos, retain: retain)
        }
    }

    /// Enough for the messages of a test, none of them dropped by mosquitto's own limits.
    private static let roomy = ["allow_anonymous true", "max_queued_messages 0"]

    private func sample(
        _ remote: UInt16,
        _ topics: [RelayTopic],
        _ change: (inout RelaySettings) -> Void = { _ in }
    ) -> RelaySettings { .sample(remote, topics, change) }

    @Test(
        "The link breaks again and again: QoS 1 loses nothing, QoS 2 comes exactly once, and from here in order",
        arguments: [UInt8(1), 2]
    )
    func brokenLinks(qos: UInt8) throws {
        let count = 1_500
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(state: seed)
        try withTemporaryFolder { folder in
            let here = try MosquittoBroker(directory: folder, lines: Self.roomy)
            let there = try MosquittoBroker(directory: folder, lines: Self.roomy)
            try here.start()
            try there.start()
            let level = try #require(QoS(rawValue: qos))
            let topics = [
                RelayTopic(pattern: "up/#", direction: .out, qos: level, remotePrefix: "site/"),
                RelayTopic(pattern: "down/#", direction: .in, qos: level, remotePrefix: "site/"),
            ]
            let settings = sample(there.port, topics) {
                $0.restart = .constant(milliseconds: 5)
                $0.stateDirectory = folder.path
            }
            let bench = try RelayBench(settings, localPort: here.port)
            let upSink = try Peer(there.port, "up-sink", filter: "site/up/#", qos: qos)
            let downSink = try Peer(here.port, "down-sink", filter: "down/#", qos: qos)
            let upSource = try Peer(here.port, "up-source")
            let downSource = try Peer(there.port, "down-source")
            try eventually("the relay is up") { bench.relay.health.state == .live }
            for number in 0..<count {
                try upSource.publish("up/x", "\(number)", qos: qos)
                try downSource.publish("site/down/x", "\(number)", qos: qos)
                if number % 25 == 0 {
                    // Mosquitto 2.0.11 forgets that it sent PUBREL, and publishes again, if a connection breaks while
                    // it takes up its exchanges: so it is given the time for that.
                    try eventually("the relay is up again") { bench.relay.health.state == .live }
                    usleep(UInt32.random(in: 5_000..<20_000, using: &random))
                    bench.relay.pause()
                    usleep(UInt32.random(in: 0..<3_000, using: &random))
                    bench.relay.resume()
                }
            }
            let wanted = (0..<count).map { "\($0)" }
            try eventually("all have arrived, seed \(seed)", seconds: 60) {
                Set(upSink.payloads).count == count && Set(downSink.payloads).count == count
            }
            try eventually("nothing is under way") {
                bench.relay.health.inflight == 0 && bench.relay.health.inboundInflight == 0
            }
            #expect((bench.relay.health.reconnects["paused"] ?? 0) >= 10, "seed \(seed)")
            if qos == 2 {
                #expect(upSink.payloads == wanted, "seed \(seed)")
                // Not in order: a lost PUBREC makes the other broker repeat that PUBLISH after it released others.
                #expect(downSink.payloads.count == count, "seed \(seed)")
            }
            bench.relay.stop()
        }
    }

    @Test("An outage of the other broker: what is published meanwhile waits in the session here, and all of it arrives")
    func outage() throws {
        try withTemporaryFolder { folder in
            let here = try MosquittoBroker(directory: folder, lines: Self.roomy)
            let there = try MosquittoBroker(directory: folder, lines: Self.roomy)
            try here.start()
            let settings = sample(there.port, [RelayTopic(pattern: "#", direction: .out, qos: .atLeastOnce)])
            let bench = try RelayBench(settings, localPort: here.port)
            let source = try Peer(here.port, "source")
            try eventually("the relay has its session here") {
                bench.relay.health.reconnects["unreachable", default: 0] > 0
            }
            for number in 0..<3_000 { try source.publish("a/b", "\(number)", qos: 1) }
            try eventually("the broker here has them") { source.published == 3_000 }
            // Of all that only a window is in this process.
            #expect(bench.relay.health.waiting <= 20)
            // The subscriber must be there first: these messages are not retained.
            let door = try freePort()
            let gate = try MosquittoBroker(directory: folder, port: door, lines: Self.roomy)
            try gate.start()
            let sink = try Peer(door, "sink", filter: "#", qos: 1)
            var moved = settings
            moved.addresses = [.init(host: "127.0.0.1", port: door)]
            try bench.relay.change(to: moved)
            try eventually("all have arrived", seconds: 60) { sink.payloads.count >= 3_000 }
            #expect(sink.payloads == (0..<3_000).map { "\($0)" })
            bench.relay.stop()
        }
    }

    @Test("D14: without a usable authority the relay never gets further than TCP, 100 times", arguments: 0..<4)
    func badAuthorities(kind: Int) throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let here = try MosquittoBroker(directory: folder, lines: Self.roomy)
            let there = try MosquittoBroker(
                directory: folder,
                lines: certificates.listenerLines() + ["log_type all", "log_dest stdout"]
            )
            try here.start()
            try there.start()
            let empty = folder.appendingPathComponent("empty.pem")
            try Data().write(to: empty)
            let emptyFolder = folder.appendingPathComponent("no-authorities")
            try FileManager.default.createDirectory(at: emptyFolder, withIntermediateDirectories: true)
            var options = MosquittoTLSOptions()
            switch kind {
            case 0: options.cafile = empty.path
            case 1: options.cafile = folder.path + "/missing.pem"
            case 2: options.cafile = certificates.path("other.pem")
            default: options.capath = emptyFolder.path
            }
            let settings = sample(there.port, [RelayTopic(pattern: "#")]) {
                $0.tls = options
                $0.restart = .constant(milliseconds: 1)
            }
            let bench = try RelayBench(settings, localPort: here.port)
            try eventually("it tried 100 times", seconds: 60) {
                bench.relay.health.reconnects.values.reduce(0, +) >= 100
            }
            bench.relay.stop()
            let log = try String(contentsOfFile: folder.path + "/mosquitto-\(there.port).log", encoding: .utf8)
            #expect(!log.contains("host.sample"))
            #expect(bench.relay.health.acknowledgedTotal == 0 && bench.relay.health.sentTotal == 0)
        }
    }

    @Test("TLS with our certificate: the name is checked, the version shown")
    func tls() throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let here = try MosquittoBroker(directory: folder, lines: Self.roomy)
            let there = try MosquittoBroker(directory: folder, lines: certificates.listenerLines(mutual: true))
            try here.start()
            try there.start()
            let options = MosquittoTLSOptions(
                cafile: certificates.path("ca.pem"),
                certfile: certificates.path("site.pem"),
                keyfile: certificates.path("site.key")
            )
            for host in ["localhost", "127.0.0.1"] {
                let settings = sample(there.port, [RelayTopic(pattern: "#", qos: .atLeastOnce)]) {
                    $0.addresses = [.init(host: host, port: there.port)]
                    $0.tls = options
                }
                let bench = try RelayBench(settings, localPort: here.port)
                try eventually("it is up") { bench.relay.health.state == .live }
                #expect(bench.relay.health.tlsVersion == "TLSv1.3")
                let source = try Peer(here.port, "source")
                // More than one TLS record, and more than one write takes.
                try source.publish("t", String(repeating: "x", count: 900_000), qos: 1)
                try eventually("it has gone over") { bench.relay.health.acknowledgedTotal == 1 }
                bench.relay.stop()
            }
        }
    }

    @Test("A reload adds, changes and removes bridges while the others go on")
    func reload() throws {
        try withTemporaryFolder { folder in
            let here = try MosquittoBroker(directory: folder, lines: Self.roomy)
            let there = try MosquittoBroker(directory: folder, lines: Self.roomy)
            try here.start()
            try there.start()
            let service = RelayService(
                attach: { _ in
                    guard let descriptor = connectToLoopback(here.port) else {
                        throw DeadlinePassed(description: "the local broker is away")
                    }
                    return descriptor
                },
                log: { _ in }
            )
            func named(_ name: String, _ filter: String, immediate: Bool = false) -> RelaySettings {
                var settings = RelaySettings(
                    name: name,
                    hostName: "host",
                    addresses: [.init(host: "127.0.0.1", port: there.port)],
                    topics: [RelayTopic(pattern: filter, direction: .out, qos: .atLeastOnce)]
                )
                settings.restart = .constant(milliseconds: 10)
                settings.reloadsImmediately = immediate
                settings.stateDirectory = folder.path
                return settings
            }
            func isLive(_ name: String) -> Bool { service.relay(named: name)?.health.state == .live }
            let sink = try Peer(there.port, "sink", filter: "+", qos: 1)
            let source = try Peer(here.port, "source")
            try service.start()
            try service.apply([named("one", "a"), named("two", "b")])
            try eventually("both are up") { isLive("one") && isLive("two") }
            let first = service.relay(named: "one")
            try service.apply([named("one", "a"), named("two", "c", immediate: true), named("three", "d")])
            try eventually("the new one is up") { isLive("three") && isLive("two") }
            #expect(service.relay(named: "one") === first)
            #expect(first?.health.reconnects.isEmpty == true)
            for topic in ["a", "b", "c", "d"] { try source.publish(topic, topic, qos: 1) }
            try eventually("three arrive") { Set(sink.payloads) == ["a", "c", "d"] }
            try service.apply([named("three", "d")])
            #expect(service.relay(named: "one") == nil && service.health.map(\.name) == ["three"])
            #expect(throws: BridgeError.self) { try service.apply([named("three", "d"), named("three", "e")]) }
            for topic in ["a", "d"] { try source.publish(topic, topic + "2", qos: 1) }
            try eventually("one arrives") { sink.payloads.contains("d2") }
            #expect(!sink.payloads.contains("a2") && !sink.payloads.contains("b"))
            service.stop()
        }
    }

    @Test("A lazy reload counts from the next connection on")
    func lazyReload() throws {
        let core = try CoreSide()
        let remote = try PacketServer(version: .v3_1_1)
        let first = RelaySettings.sample(remote.port, [RelayTopic(pattern: "one/#", direction: .in)])
        let bench = try RelayBench(first, localPort: core.port)
        try core.accept(subscribes: false)
        try remote.accept()
        guard case .subscribe(let before) = try remote.next() else { throw DeadlinePassed(description: "no SUBSCRIBE") }
        #expect(before.requests.map(\.filter) == ["one/#"])
        try bench.relay.change(to: .sample(remote.port, [RelayTopic(pattern: "two/#", direction: .in)]))
        #expect(remote.isSilent(seconds: 0.3))
        remote.hangUp()
        core.packets.hangUp()
        try core.accept(subscribes: false)
        try remote.accept()
        guard case .subscribe(let after) = try remote.next() else { throw DeadlinePassed(description: "no SUBSCRIBE") }
        #expect(after.requests.map(\.filter) == ["two/#"])
        #expect(after.packetID == 1)
    }

    @Test("A resolver that hangs and a host that answers nothing hold up neither this side nor the end")
    func blackHole() throws {
        let core = try CoreSide()
        let settings = RelaySettings.sample(9, [RelayTopic(pattern: "#", direction: .out, qos: .atLeastOnce)]) {
            // TEST-NET-1 (RFC 5737): packets to it are lost.
            $0.addresses = [.init(host: "192.0.2.1", port: 1_883)]
        }
        let bench = try RelayBench(settings, localPort: core.port)
        try core.accept()
        core.packets.send(.publish(.text("a", "1")))
        core.packets.send(.publish(.text("a", "2", qos: .atLeastOnce, id: 1)))
        try eventually("what the core sends is taken", seconds: 5) {
            bench.relay.health.waiting == 1 && bench.relay.health.dropped["not_connected"] == 1
        }
        let start = Date()
        bench.relay.stop()
        #expect(Date().timeIntervalSince(start) < 2)
    }
}
