import MQTT
import NIOCore
import Testing

@testable import Broker

/// Rules that a test changes: topics below `secret/` and filters that reach there, by user.
private final class Rules: Authorizer, @unchecked Sendable {
    // SAFETY: a test runs on one thread.
    var secretUsers: Set<String> = ["nurse", "doctor"]
    /// How often rights were resolved.
    var resolutions = 0

    final class Rights: ClientRights {
        let maySeeSecrets: Bool
        init(_ maySeeSecrets: Bool) { self.maySeeSecrets = maySeeSecrets }
        var allowsEverything: Bool { maySeeSecrets }
        func mayPublish(_ topic: TopicName) -> Bool { maySeeSecrets || !topic.string.hasPrefix("secret/") }
        func maySubscribe(_ filter: TopicFilter) -> Bool {
            maySeeSecrets || !filter.unshared.string.hasPrefix("secret/")
        }
        func mayUnsubscribe(_ filter: TopicFilter) -> Bool { filter.string != "kept" }
        /// Everything: what was subscribed to is what holds secrets back, as with a default of dynamic security.
        func mayReceive(_ topic: TopicName) -> Bool { true }
    }

    func rights(of identity: Identity, listener: String?) -> any ClientRights {
        resolutions += 1
        return Rights(identity.username.map(secretUsers.contains) ?? false)
    }

    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool {
        rights(of: identity, listener: nil).mayPublish(topic)
    }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        rights(of: identity, listener: nil).maySubscribe(filter)
    }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
    func allowsEverything(_ identity: Identity) -> Bool { false }
}

@Suite("Revocation") struct RevocationTests {
    private func user(_ name: String?, _ clientID: String, clean: Bool = true, expiry: UInt32? = nil) -> Connect {
        var connect = Connect.v5(clientID, clean: clean, expiry: expiry ?? 0)
        connect.username = name
        return connect
    }

    private func revoke(_ site: SimulatedSite, _ rules: Rules, _ name: String, kicks: Bool = false) throws {
        rules.secretUsers.remove(name)
        let change = AccessChange(revokedUsernames: kicks ? [name] : [])
        try site.withCore { core, now, effects in core.accessChanged(change, now: now, effects: &effects) }
    }

    @Test("the identifier of a QoS 2 message that may not be sent again is not used before its client lets go of it")
    func openExchange() throws {
        let rules = Rules()
        let site = try SimulatedSite(authorizer: rules)
        let nurse = user("nurse", "c1", clean: false, expiry: 600)
        try site.connect(1, nurse)
        try site.send(1, .subscribe("secret/#", .exactlyOnce), .subscribe("open", .exactlyOnce, id: 2))
        try site.connect(2, user("doctor", "c2"))
        try site.send(2, .publish("secret/a", "one", .exactlyOnce, id: 1))
        let first = try #require(site.publishes(1).first)
        // The client has it, but its PUBREC does not come.
        try site.drop(1)
        try revoke(site, rules, "nurse")
        try site.connect(1, nurse)
        #expect(site.take(1) == [.pubrel(first.packetID)])
        try site.send(2, .publish("open", "two", .exactlyOnce, id: 2))
        let second = try #require(site.publishes(1).first)
        #expect(second.text == "two" && second.packetID != first.packetID)
        try site.send(1, .pubcomp(first.packetID))
        #expect(site.core.statistics.inflightMessages == 1)
    }

    @Test("D4: what is revoked while online, offline, queued or in flight is delivered to nobody from then on")
    func subscriptions() throws {
        let rules = Rules()
        let site = try SimulatedSite(authorizer: rules)
        for (slot, name) in [(UInt32(1), "nurse"), (2, "doctor")] {
            try site.connect(slot, user(name, "c\(slot)", clean: false, expiry: 600))
            try site.send(slot, .subscribe("secret/#", .atLeastOnce))
            try site.send(slot, .subscribe("open/#", .atLeastOnce))
            _ = site.take(slot)
        }
        try site.connect(3, user("doctor", "pub"))
        // In flight, not acknowledged; then queued while away.
        try site.send(3, .publish("secret/inflight", "x", .atLeastOnce, id: 1))
        #expect(site.publishes(1).map(\.topic.string) == ["secret/inflight"])
        try site.drop(1)
        try site.send(3, .publish("secret/queued", "x", .atLeastOnce, id: 2))
        try site.send(3, .publish("open/queued", "x", .atLeastOnce, id: 3))
        try revoke(site, rules, "nurse")
        try site.send(3, .publish("secret/offline", "x", .atLeastOnce, id: 4))
        try site.connect(1, user("nurse", "c1", clean: false, expiry: 600))
        try site.send(3, .publish("secret/online", "x", .atMostOnce))
        try site.send(3, .publish("open/online", "x", .atLeastOnce, id: 5))
        #expect(site.publishes(1).map(\.topic.string) == ["open/queued", "open/online"])
        #expect(site.publishes(2).count == 6, "whose rights are as they were gets everything")
        // Not even a restart brings it back.
        try site.crash()
        try site.connect(1, user("nurse", "c1", clean: false, expiry: 600))
        try site.connect(3, user("doctor", "pub"))
        try site.send(3, .publish("secret/late", "x", .atLeastOnce, id: 6))
        #expect(!site.publishes(1).contains { $0.topic.string.hasPrefix("secret/") })
    }

    @Test("D11: a QoS 2 message that is held for its PUBREL is asked about again there", arguments: [true, false])
    func heldForRelease(isPersistent: Bool) throws {
        let rules = Rules()
        var configuration = BrokerConfiguration()
        configuration.releasesQoS2OnPubrel = true
        let site = try SimulatedSite(configuration: configuration, authorizer: rules)
        try site.connect(1, user("nurse", "c1", clean: !isPersistent, expiry: isPersistent ? 600 : 0))
        try site.connect(2, user("doctor", "c2", clean: false, expiry: 600))
        try site.send(2, .subscribe("secret/#", .exactlyOnce))
        try site.send(1, .publish("secret/x", "x", .exactlyOnce, id: 5))
        _ = site.take(1)
        try revoke(site, rules, "nurse")
        try site.send(1, .pubrel(Acknowledgement(packetID: 5)))
        #expect(site.take(1) == [.pubcomp(Acknowledgement(packetID: 5))])
        #expect(site.publishes(2).isEmpty)
        #expect(site.audited.contains { $0.kind == .publishDenied && $0.subject == "secret/x" })
    }

    @Test("A change counts for the next message of every session, and rights are resolved once for each")
    func generation() throws {
        let rules = Rules()
        let site = try SimulatedSite(authorizer: rules)
        try site.connect(1, user("nurse", "c1"))
        try site.send(1, .publish("secret/x", "x"))
        let before = rules.resolutions
        for number in 1...50 { try site.send(1, .publish("secret/x", "x", .atLeastOnce, id: UInt16(number))) }
        #expect(rules.resolutions == before)
        _ = site.take(1)
        try revoke(site, rules, "nurse")
        try site.send(1, .publish("secret/x", "x", .atLeastOnce, id: 99))
        #expect(site.take(1) == [.puback(Acknowledgement(packetID: 99, reason: .notAuthorized))])
    }

    @Test("The connections of a revoked user end with 0x87 in the same turn, those of others go on")
    func kicks() throws {
        let rules = Rules()
        let site = try SimulatedSite(authorizer: rules)
        try site.connect(1, user("nurse", "c1"))
        try site.connect(2, user("nurse", "c2", clean: false, expiry: 600))
        try site.connect(3, user("doctor", "c3"))
        try site.connect(4, user(nil, "c4"))
        try revoke(site, rules, "nurse", kicks: true)
        #expect(site.closed[1]?.reason == .notAuthorized)
        #expect(site.closed[2]?.reason == .notAuthorized)
        #expect(site.closed[3] == nil && site.closed[4] == nil)
        #expect(
            site.take(1).contains {
                if case .disconnect(let packet) = $0 { packet.reason == .notAuthorized } else { false }
            }
        )
        try site.withCore { core, now, effects in
            core.accessChanged(AccessChange(revokesAnonymous: true), now: now, effects: &effects)
        }
        #expect(site.closed[4]?.reason == .notAuthorized)
        #expect(site.closed[3] == nil)
    }

    @Test("An administrator ends connections by user and by client identifier (0x98)")
    func administration() throws {
        let site = try SimulatedSite()
        try site.connect(1, user("nurse", "c1"))
        try site.connect(2, user(nil, "c2"))
        try site.connect(3, user("till", "c3"))
        var counts: [Int] = []
        try site.withCore { core, now, effects in
            counts.append(core.kick(username: nil, now: now, effects: &effects))
            counts.append(core.kick(clientID: "c3", now: now, effects: &effects))
            counts.append(core.kick(username: "nobody", now: now, effects: &effects))
        }
        #expect(counts == [1, 1, 0])
        #expect(site.closed[2]?.reason == .administrativeAction)
        #expect(site.closed[3]?.reason == .administrativeAction)
        #expect(site.closed[1] == nil)
    }

    @Test("A change is worked off in slices, and a second one during the first loses nobody")
    func slices() throws {
        let rules = Rules()
        var configuration = BrokerConfiguration()
        configuration.accessSweepSessions = 10
        let site = try SimulatedSite(configuration: configuration, authorizer: rules)
        for number in 0..<100 { try site.connect(UInt32(number), user("u\(number)", "c\(number)")) }
        try site.withCore { core, now, effects in
            let first = AccessChange(revokedUsernames: Set((0..<50).map { "u\($0)" }))
            core.accessChanged(first, now: now, effects: &effects)
            #expect(core.accessSweep != nil, "one turn does not do it all")
            let second = AccessChange(revokedUsernames: Set((50..<90).map { "u\($0)" }))
            core.accessChanged(second, now: now, effects: &effects)
        }
        for _ in 0..<12 { try site.pass(seconds: 0.5) }
        for number in 0..<100 { #expect((site.closed[UInt32(number)] != nil) == (number < 90), "\(number)") }
        #expect(site.core.accessSweep == nil)
    }

    @Test("A credential that runs out ends the connection (0xA0), not before")
    func expiry() throws {
        let site = try SimulatedSite()
        let wall = site.now.wallMilliseconds
        site.authenticate = { .expiring(username: $0.username, wallMilliseconds: wall + 10_000) }
        try site.connect(1, user("nurse", "c1"))
        try site.pass(seconds: 9)
        #expect(site.closed[1] == nil)
        try site.pass(seconds: 2)
        #expect(site.closed[1]?.reason == .maximumConnectTime)
        site.authenticate = { .expiring(username: $0.username, wallMilliseconds: .max) }
        try site.connect(2, user("nurse", "c2"))
        try site.pass(seconds: 60)
        #expect(site.closed[2] == nil)
    }

    @Test("UNSUBSCRIBE that is not allowed is answered with 0x87")
    func unsubscribe() throws {
        let site = try SimulatedSite(authorizer: Rules())
        try site.connect(1, user("till", "c1"))
        try site.send(1, .subscribe("kept", .atMostOnce))
        _ = site.take(1)
        try site.send(1, .unsubscribe(Unsubscribe(packetID: 7, filters: ["kept"])))
        #expect(site.take(1) == [.unsuback(Unsuback(packetID: 7, reasons: [.notAuthorized]))])
    }
}

@Suite("Client identifiers and identities") struct ClientIDOwnershipTests {
    private func site(_ ownership: ClientIDOwnership) throws -> SimulatedSite {
        var configuration = BrokerConfiguration()
        configuration.clientIDOwnership = ownership
        return try SimulatedSite(configuration: configuration)
    }

    private func connect(_ name: String?, _ version: ProtocolVersion = .v5, clean: Bool = false) -> Connect {
        var connect =
            version == .v5 ? Connect.v5("device", clean: clean, expiry: 600) : Connect.v3("device", clean: clean)
        connect.username = name
        return connect
    }

    @Test("D1: another identity with the client identifier is refused with 0x85; who was there stays, also while away")
    func identity() throws {
        let site = try site(.identity)
        try site.connect(1, connect("a"))
        try #expect(site.connect(2, connect("b")).reason == .clientIdentifierNotValid)
        try #expect(site.connect(3, connect(nil, clean: true)).reason == .clientIdentifierNotValid)
        try #expect(site.connect(4, connect("b", .v3_1_1)).reason == .clientIdentifierNotValid)
        #expect(site.closed[1] == nil)
        #expect(site.audited.filter { $0.kind == .clientRefused }.count == 3)
        #expect(site.audited.first { $0.kind == .clientRefused }?.username == "b")
        try site.drop(1)
        try #expect(site.connect(5, connect("b")).reason == .clientIdentifierNotValid)
        try #expect(site.connect(6, connect("a")).sessionPresent)
        // Once the session is over, the identifier is free.
        try site.send(6, .disconnect(Disconnect(properties: [.sessionExpiryInterval(0)])))
        try #expect(site.connect(7, connect("b")).reason == .success)
        // A restart forgets neither.
        try site.crash()
        try #expect(site.connect(8, connect("a")).reason == .clientIdentifierNotValid)
        try #expect(site.connect(9, connect("b")).sessionPresent)
    }

    @Test("Separate identities have separate sessions under one client identifier")
    func separate() throws {
        let site = try site(.separate)
        try site.connect(1, connect("a"))
        try #expect(!site.connect(2, connect("b")).sessionPresent)
        #expect(site.closed[1] == nil && site.closed[2] == nil)
        #expect(site.core.statistics.sessions == 2)
    }

    @Test("Where identifiers are shared, the last one takes the session over, whatever its user name is")
    func shared() throws {
        let site = try site(.shared)
        try site.connect(1, connect("a"))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try #expect(site.connect(2, connect("b")).sessionPresent)
        #expect(site.closed[1]?.reason == .sessionTakenOver)
        try site.connect(3, .v5("pub"))
        try site.send(3, .publish("t", "x", .atLeastOnce, id: 1))
        #expect(site.publishes(2).count == 1)
        #expect(site.core.statistics.sessions == 2)
        try site.crash()
        try #expect(site.connect(4, connect("b")).sessionPresent)
        try #expect(!site.connect(5, connect("c", clean: true)).sessionPresent)
        #expect(site.core.statistics.sessions == 1)
    }

    @Test("An assigned client identifier that somebody foresaw is not given out")
    func foreseen() throws {
        let site = try site(.identity)
        var squatter = Connect.v5("auto-0-1", clean: false, expiry: 600)
        squatter.username = "squatter"
        try site.connect(1, squatter)
        try #expect(site.connect(2, .v5("")).reason == .success)
    }
}

@Suite("What the audit log is told") struct AuditEmissionTests {
    private final class Nothing: Authorizer {
        func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { false }
        func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { false }
        func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { false }
        func allowsEverything(_ identity: Identity) -> Bool { false }
    }

    @Test("Who came, went, was refused and what was denied, with names, address and listener")
    func events() throws {
        let site = try SimulatedSite(authorizer: Nothing())
        var connect = Connect.v5("c1")
        connect.username = "nurse"
        try site.connect(1, connect)
        try site.send(1, .publish("t/1", "secret payload", .atLeastOnce, id: 1))
        try site.send(1, .subscribe("t/#", .atLeastOnce))
        try site.send(1, .publish("$CONTROL/dynamic-security/v1", "{}"))
        try site.send(1, .disconnect(Disconnect()))
        site.authenticate = { _ in .refused(.badUserNameOrPassword) }
        try site.connect(2, connect)
        let kinds = site.audited.map(\.kind)
        #expect(
            kinds == [
                .clientConnected, .publishDenied, .subscribeDenied, .administrationDenied, .clientDisconnected,
                .clientRefused,
            ]
        )
        #expect(site.audited.allSatisfy { $0.username == "nurse" && $0.clientID == "c1" && $0.listener == "test" })
        #expect(site.audited.allSatisfy { $0.remoteAddress == "sim" })
        #expect(site.audited[1].subject == "t/1" && site.audited[2].subject == "t/#")
        #expect(!site.audited.contains { "\($0)".contains("secret payload") })
    }

    @Test("A client cannot flood it: denials are counted, and told with the next one that is")
    func flood() throws {
        let site = try SimulatedSite(authorizer: Nothing())
        try site.connect(1, .v5("c1"))
        for _ in 0..<1_000 { try site.send(1, .publish("t", "x")) }
        #expect(site.audited.count { $0.kind == .publishDenied } == 30)
        try site.pass(seconds: 61)
        try site.send(1, .pingreq, .publish("t", "x"))
        #expect(site.audited.last?.reason == "not authorized; 970 more before were not recorded")
        let before = site.audited.count
        site.authenticate = { _ in .refused(.notAuthorized) }
        for slot in 10..<400 { try site.connect(UInt32(slot), .v5("c\(slot)")) }
        #expect(site.audited.count - before == 100)
    }
}
