import Broker
import Foundation
import Glibc
import MQTT
import NIOCore
import Testing

@testable import SiteServer

@Suite("Listener addresses", .serialized) struct ListenerAddressTests {
    private func unix(_ path: String, mode: UInt16 = 0o600) -> SiteServerConfiguration.Listener {
        .init(name: "unix", unixSocket: .init(path: path, mode: mode), allowAnonymous: true)
    }

    @Test("A Unix socket has its permissions, serves, and is gone after the stop", arguments: [0o600, 0o660, 0o666])
    func unixSocket(mode: UInt16) async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("mqtt.sock")
        try await TestServer.with([unix(path, mode: mode)]) { server in
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == Int(mode))
            #expect(server.listeners[0].address == path)
            #expect(server.listeners[0].port == 0)
            let result = try Tool.run("mosquitto_pub", ["--unix", path, "-t", "a", "-m", "b", "-q", "1"])
            #expect(result.status == 0, "\(result.text)")
            let client = try RawClient(path: path)
            #expect(try client.connect("c").reason == .success)
            #expect(try client.isAlive())
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("A stale socket is replaced; one that somebody listens on, and a file that is none, are not")
    func stale() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("mqtt.sock")
        let left = try UnixSocketFile(.init(path: path))
        close(left.descriptor)
        #expect(FileManager.default.fileExists(atPath: path))
        try await TestServer.with([unix(path)]) { server in
            let error = await #expect(throws: SiteServerError.self) {
                try await TestServer.with([unix(path)]) { _ in }
            }
            #expect(error?.description.contains("somebody listens") == true)
            let client = try RawClient(path: path)
            #expect(try client.connect("c").reason == .success)
        }
        let file = folder.path("file")
        try "kept".write(toFile: file, atomically: true, encoding: .utf8)
        for bad in [file, folder.path("no/such/folder"), folder.path(String(repeating: "x", count: 200)), ""] {
            await #expect(throws: SiteServerError.self) { try await TestServer.with([unix(bad)]) { _ in } }
        }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "kept")
    }

    @Test("A socket that somebody else has put in our place is not removed at the stop")
    func replaced() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("mqtt.sock")
        try await TestServer.with([unix(path)]) { _ in
            #expect(unlink(path) == 0)
            try "other".write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("Without a host, both families are bound on one port; with socket_domain one alone")
    func anyHost() async throws {
        var listener = TestServer.plain
        listener.host = ""
        listener.insecure = true
        let links = (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8)) ?? ""
        let hasVersion6 = links.contains(" lo")
        for (family, isVersion4Bound, isVersion6Bound) in [
            (.any, true, true), (.ipv4, true, false), (.ipv6, false, true),
        ] as [(SiteServerConfiguration.AddressFamily, Bool, Bool)] where hasVersion6 || family != .ipv6 {
            listener.family = family
            try await TestServer.with([listener]) { server in
                for (host, isBound) in [("127.0.0.1", isVersion4Bound), ("::1", isVersion6Bound && hasVersion6)] {
                    let arguments = ["-h", host, "-p", "\(server.port)", "-t", "a", "-m", "b"]
                    let result = try Tool.run("mosquitto_pub", arguments)
                    #expect((result.status == 0) == isBound, "\(family), \(host): \(result.text)")
                }
            }
        }
    }

    @Test("An interface is bound by its addresses; one that is not there is an error")
    func interface() async throws {
        var listener = TestServer.plain
        listener.interface = "lo"
        try await TestServer.with([listener]) { server in
            let isAlive = try server.client("c").isAlive()
            #expect(isAlive)
        }
        listener.interface = "none0"
        let other = listener
        let error = await #expect(throws: SiteServerError.self) { try await TestServer.with([other]) { _ in } }
        #expect(error?.code == .bind)
        #expect(error?.message.contains("none0") == true)
    }

    @Test("A listener's own packet limit is that of its clients alone")
    func packetLimit() async throws {
        var small = TestServer.plain
        small.policy.packetBytesMax = 500
        try await TestServer.with([small, TestServer.plain]) { server in
            let client = try server.client("small")
            try client.send(bytes: [0x30, 0xF5, 0x03])
            guard case .disconnect(let goodbye)? = try client.untilClosed().last else {
                throw DeadlinePassed(description: "DISCONNECT")
            }
            #expect(goodbye.reason == .packetTooLarge)
            let large = try RawClient(port: server.listeners[1].port)
            try large.connect("large")
            try large.publish("a", String(repeating: "x", count: 1_000))
            #expect(try large.isAlive())
        }
    }
}

@Suite("Rates", .serialized) struct RateTests {
    @Test("A bucket gives what it holds at once, then its rate, and keeps debts")
    func bucket() {
        var bucket = TokenBucket(capacity: 10, perSecond: 5, now: 0)
        for _ in 0..<10 {
            #expect(bucket.isOpen)
            bucket.take(1)
        }
        #expect(!bucket.isOpen)
        bucket.fill(now: 200_000_000)
        #expect(bucket.isOpen)
        bucket.take(11)
        #expect(bucket.waitNanoseconds == 2_200_000_000)
        bucket.fill(now: 2_300_000_000)
        #expect(bucket.isOpen)
        bucket.fill(now: 100_000_000_000)
        #expect(bucket.isFull)
        bucket.fill(now: 0)
        #expect(bucket.isFull, "a clock that goes back does nothing")
    }

    @Test("Addresses have their number and their rate, and are forgotten when they are quiet")
    func ledger() {
        var limits = SiteServerLimits()
        limits.connectionsPerAddressMax = 3
        limits.connectionRatePerAddressMax = 2
        limits.connectionBurstPerAddressMax = 5
        var ledger = AddressLedger(limits: limits)
        var admitted = false
        func at(_ seconds: Double) -> BrokerTime {
            BrokerTime(monotonicNanoseconds: UInt64(seconds * 1e9), wallMilliseconds: 0)
        }
        for _ in 0..<3 {
            admitted = ledger.admit("a", now: at(10))
            #expect(admitted)
        }
        admitted = ledger.admit("a", now: at(10))
        #expect(!admitted, "three are open")
        admitted = ledger.admit("b", now: at(10))
        #expect(admitted, "another address is not concerned")
        for _ in 0..<3 { ledger.release("a") }
        for _ in 0..<2 {
            admitted = ledger.admit("a", now: at(10))
            #expect(admitted)
            ledger.release("a")
        }
        admitted = ledger.admit("a", now: at(10))
        #expect(!admitted, "five came at once")
        admitted = ledger.admit("a", now: at(10.6))
        #expect(admitted, "two come in a second")
        ledger.release("a")
        ledger.release("b")
        ledger.sweep(now: at(30))
        #expect(ledger.count == 0)
    }

    @Test("A publisher beyond its rate waits and loses nothing; others are not held up", arguments: [true, false])
    func publishRate(byBytes: Bool) async throws {
        var listener = TestServer.plain
        // A hundred messages of about 1,010 bytes in a second, either way.
        if byBytes { listener.publishBytesPerSecondMax = 101_000 } else { listener.publishRateMax = 100 }
        try await TestServer.with([listener, TestServer.plain]) { server in
            let subscriber = try RawClient(port: server.listeners[1].port)
            try subscriber.connect("subscriber")
            try subscriber.subscribe("a/#")
            let client = try server.client("quick")
            let payload = String(repeating: "x", count: 1_000)
            let started = ContinuousClock.now
            for number in 0..<250 {
                try client.publish("a/\(number)", payload, .atLeastOnce, packetID: UInt16(number + 1))
            }
            let other = try server.client("other")
            #expect(try other.isAlive())
            for number in 0..<250 {
                #expect(String(buffer: try subscriber.nextPublish().topic.bytes) == "a/\(number)")
                guard case .puback(let answer) = try client.next() else { throw DeadlinePassed(description: "PUBACK") }
                #expect(answer.packetID == number + 1)
            }
            // A hundred at once, then a hundred in a second.
            #expect(ContinuousClock.now - started > .milliseconds(1_300))
            #expect(server.server.metrics.publishRatePauses > 0)
            #expect(try client.isAlive())
        }
    }

    @Test("A publisher that is held back is not taken for silent")
    func keepAlive() async throws {
        var listener = TestServer.plain
        listener.publishBytesPerSecondMax = 10_000
        try await TestServer.with([listener]) { server in
            let client = try RawClient(port: server.port)
            try client.send(.connect(Connect(version: .v5, clientID: "slow", keepAliveSeconds: 1)))
            guard case .connack = try client.next() else { throw DeadlinePassed(description: "CONNACK") }
            // A debt of four seconds.
            try client.publish("a", String(repeating: "x", count: 50_000))
            #expect(try client.isAlive())
        }
    }

    @Test("Too many connections of one address in too short a time are closed; the next second lets some in")
    func connectionRate() async throws {
        var limits = SiteServerLimits()
        limits.connectionBurstPerAddressMax = 20
        limits.connectionRatePerAddressMax = 10
        try await TestServer.with(limits: limits) { server in
            var refused = 0
            for _ in 0..<40 {
                let client = try RawClient(port: server.port)
                do { try client.connect("c") } catch { refused += 1 }
            }
            #expect((1...20).contains(refused), "\(refused)")
            try eventually("one gets in again") {
                let client = try RawClient(port: server.port)
                return (try? client.connect("later"))?.reason == .success
            }
        }
    }
}
