import MQTT
import NIOCore
import Testing

@testable import Broker

/// Sessions, delivery, order and flow control: sections 4.1 to 4.6 and 4.9.
@Suite struct DeliveryStatements {
    private func site(_ qos: QoS = .exactlyOnce, version: ProtocolVersion = .v5) throws -> SimulatedSite {
        let site = try SimulatedSite()
        try join(site, version)
        try site.send(1, .subscribe("t/#", qos))
        _ = site.take(1)
        try site.connect(9, .v5("pub", clean: false, expiry: 600))
        return site
    }

    @discardableResult
    private func join(_ site: SimulatedSite, _ version: ProtocolVersion = .v5) throws -> Connack {
        try site.connect(1, version == .v5 ? .v5("sub", clean: false, expiry: 600) : .v3("sub", clean: false))
    }

    @Test("[MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.2-3] QoS 1: sent once with a new identifier, held until PUBACK")
    func qos1() throws {
        let site = try site(.atLeastOnce)
        try site.send(9, .publish("t/1", "a", .atLeastOnce, id: 1))
        let first = try #require(site.publishes(1).first)
        #expect(first.qos == .atLeastOnce && !first.duplicate && first.packetID != 0)
        try site.pass(seconds: 30)
        #expect(site.publishes(1).isEmpty, "[MQTT-4.4.0-1]: never sent again on one connection")
        try site.drop(1)
        try join(site)
        let again = try #require(site.publishes(1).first)
        #expect(again.packetID == first.packetID && again.duplicate)
        try site.send(1, .puback(again.packetID))
        try site.drop(1)
        try join(site)
        #expect(site.publishes(1).isEmpty)
    }

    @Test(
        "[MQTT-4.3.2-4] [MQTT-4.3.2-5] QoS 1: each PUBLISH is acknowledged, and after that its identifier means a new message"
    )
    func qos1Inbound() throws {
        let site = try site()
        for text in ["a", "b"] {
            try site.send(9, .publish("t/1", text, .atLeastOnce, id: 5, duplicate: text == "b"))
            #expect(site.take(9) == [.puback(5)])
        }
        #expect(site.publishes(1).map(\.text) == ["a", "b"])
    }

    @Test(
        "[MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] QoS 2: PUBLISH until PUBREC, PUBREL until PUBCOMP",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func qos2(version: ProtocolVersion) throws {
        let site = try site(version: version)
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 1))
        let sent = try #require(site.publishes(1).first)
        #expect(sent.qos == .exactlyOnce && !sent.duplicate && sent.packetID != 0)
        try site.drop(1)
        try join(site, version)
        let again = site.publishes(1)
        #expect(again.map(\.packetID) == [sent.packetID])
        #expect(again.map(\.duplicate) == [true])
        try site.send(1, .pubrec(sent.packetID))
        #expect(site.take(1) == [.pubrel(sent.packetID)])
        for _ in 0..<2 {
            try site.drop(1)
            try join(site, version)
            #expect(site.take(1) == [.pubrel(sent.packetID)], "PUBREL again, PUBLISH never")
        }
        try site.crash()
        try join(site, version)
        #expect(site.take(1) == [.pubrel(sent.packetID)])
        try site.send(1, .pubcomp(sent.packetID))
        try site.drop(1)
        try join(site, version)
        #expect(site.take(1).isEmpty)
    }

    @Test("[MQTT-4.3.3-7] a QoS 2 message that was sent does not expire any more")
    func sentDoesNotExpire() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 1, [.messageExpiryInterval(5)]))
        let sent = try #require(site.publishes(1).first)
        try site.drop(1)
        try site.pass(seconds: 20)
        try join(site)
        let again = site.publishes(1)
        #expect(again.map(\.packetID) == [sent.packetID])
        try site.send(1, .pubrec(sent.packetID))
        #expect(site.take(1) == [.pubrel(sent.packetID)])
    }

    @Test(
        "[MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] QoS 2: one message until PUBREL, over reconnects and restarts",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func qos2Inbound(version: ProtocolVersion) throws {
        let site = try site(.atMostOnce)
        func publisher() throws {
            try site.connect(9, version == .v5 ? .v5("pub", clean: false, expiry: 600) : .v3("pub", clean: false))
        }
        try publisher()
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 5))
        #expect(site.take(9) == [.pubrec(5)])
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 5, duplicate: true))
        #expect(site.take(9) == [.pubrec(5)])
        try site.drop(9)
        try publisher()
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 5, duplicate: true))
        #expect(site.take(9) == [.pubrec(5)])
        #expect(site.publishes(1).map(\.text) == ["a"])
        try site.crash()
        try join(site)
        try publisher()
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 5, duplicate: true))
        #expect(site.take(9) == [.pubrec(5)])
        #expect(site.publishes(1).isEmpty)
        try site.send(9, .pubrel(5))
        #expect(site.take(9) == [.pubcomp(5)])
        try site.send(9, .publish("t/1", "b", .exactlyOnce, id: 5))
        #expect(site.publishes(1).map(\.text) == ["b"])
    }

    @Test("[MQTT-4.3.3-9] after a PUBREC with an error the identifier means a new message")
    func pubrecWithError() throws {
        let site = try site()
        try site.send(9, .publish("$SYS/no", "a", .exactlyOnce, id: 5))
        #expect(site.take(9) == [.pubrec(Acknowledgement(packetID: 5, reason: .notAuthorized))])
        try site.send(9, .publish("t/1", "b", .exactlyOnce, id: 5))
        #expect(site.take(9) == [.pubrec(5)])
        #expect(site.publishes(1).map(\.text) == ["b"])
    }

    @Test("[MQTT-4.3.3-13] the exchange of a QoS 2 message goes on though the message has expired")
    func exchangeGoesOn() throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a", .exactlyOnce, id: 1, [.messageExpiryInterval(2)]))
        try site.pass(seconds: 10)
        try site.send(9, .pubrel(1))
        #expect(site.take(9) == [.pubrec(1), .pubcomp(1)])
    }

    @Test(
        "[MQTT-2.2.1-5] an acknowledgement of an exchange that is not there harms nothing and is answered as its kind says",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func unknownExchange(version: ProtocolVersion) throws {
        let site = try site(version: version)
        try site.send(1, .puback(77), .pubcomp(77))
        #expect(site.take(1).isEmpty)
        let reason: ReasonCode = version == .v5 ? .packetIdentifierNotFound : .success
        try site.send(1, .pubrec(77))
        #expect(site.take(1) == [.pubrel(Acknowledgement(packetID: 77, reason: reason))])
        try site.send(1, .pubrel(77))
        #expect(site.take(1) == [.pubcomp(Acknowledgement(packetID: 77, reason: reason))])
        #expect(site.closed[1] == nil)
    }

    @Test("[MQTT-4.4.0-1] [MQTT-4.6.0-1] what was not acknowledged is sent again in its order, under its identifiers")
    func redelivery() throws {
        let site = try site()
        for id: UInt16 in 1...6 {
            try site.send(9, .publish("t/1", "\(id)", id % 2 == 0 ? .atLeastOnce : .exactlyOnce, id: id))
        }
        let sent = site.publishes(1)
        #expect(Set(sent.map(\.text)) == ["1", "2", "3", "4", "5", "6"])
        try site.send(1, .puback(sent.filter { $0.qos == .atLeastOnce }[1].packetID))
        let left = sent.filter { $0.text != sent.filter { $0.qos == .atLeastOnce }[1].text }
        for crashes in [false, true] {
            if crashes { try site.crash() } else { try site.drop(1) }
            try join(site)
            let again = site.publishes(1)
            #expect(Set(again.map(\.packetID)) == Set(left.map(\.packetID)))
            #expect(again.filter { $0.qos == .atLeastOnce }.map(\.text) == ["2", "6"])
            #expect(again.filter { $0.qos == .exactlyOnce }.map(\.text) == ["1", "3", "5"])
            #expect(!again.map(\.duplicate).contains(false))
        }
    }

    @Test("[MQTT-4.6.0-4] PUBREL goes in the order in which PUBREC came, also where the disk holds it back")
    func releaseOrder() throws {
        let site = try site()
        for id: UInt16 in 1...4 { try site.send(9, .publish("t/1", "\(id)", .exactlyOnce, id: id)) }
        let identifiers = site.publishes(1).map(\.packetID)
        let order = [identifiers[2], identifiers[0], identifiers[3], identifiers[1]]
        site.commitsAtOnce = false
        for packetID in order { try site.send(1, .pubrec(packetID)) }
        try site.commit()
        #expect(site.take(1) == order.map { .pubrel($0) })
    }

    @Test(
        "[MQTT-4.4.0-2] a PUBACK or PUBREC with an error ends the exchange: nothing is sent again",
        arguments: [QoS.atLeastOnce, .exactlyOnce]
    )
    func errorsAcknowledge(qos: QoS) throws {
        let site = try site()
        try site.send(9, .publish("t/1", "a", qos, id: 1))
        let packetID = try #require(site.publishes(1).first).packetID
        let answer = Acknowledgement(packetID: packetID, reason: .quotaExceeded)
        try site.send(1, qos == .atLeastOnce ? .puback(answer) : .pubrec(answer))
        #expect(site.take(1).isEmpty, "no PUBREL")
        try site.drop(1)
        try join(site)
        #expect(site.take(1).isEmpty)
    }

    @Test(
        "[MQTT-4.5.0-1] [MQTT-3.1.2-5] messages for a session whose client is away are kept with it",
        arguments: [ProtocolVersion.v3_1_1, .v5]
    )
    func keptForSessions(version: ProtocolVersion) throws {
        let site = try site(version: version)
        try site.drop(1)
        try site.send(9, .publish("t/1", "0"), .publish("t/1", "1", .atLeastOnce, id: 1))
        try site.send(9, .publish("t/1", "2", .exactlyOnce, id: 2), .publish("other", "3", .atLeastOnce, id: 3))
        try #expect(join(site, version).sessionPresent, "[MQTT-3.1.2-4]")
        #expect(site.publishes(1).map(\.text) == ["1", "2"])
    }

    @Test(
        "[MQTT-4.6.0-5] [MQTT-4.6.0-6] messages of one client to one topic keep their order, live, queued and mixed",
        arguments: QoS.allCases
    )
    func order(qos: QoS) throws {
        let site = try site(qos)
        var got: [String] = []
        func takeAll() throws {
            while true {
                let batch = site.publishes(1)
                guard !batch.isEmpty else { return }
                for publish in batch {
                    got.append(publish.text)
                    if publish.qos == .atLeastOnce { try site.send(1, .puback(publish.packetID)) }
                    if publish.qos == .exactlyOnce {
                        try site.send(1, .pubrec(publish.packetID), .pubcomp(publish.packetID))
                    }
                }
            }
        }
        for number: UInt16 in 1...300 {
            try site.send(9, .publish("t/1", "\(number)", qos, id: qos == .atMostOnce ? 0 : number), .pubrel(number))
            if number == 100 && qos != .atMostOnce {
                try takeAll()
                try site.drop(1)
            }
            if number == 200 && qos != .atMostOnce { try join(site) }
        }
        try takeAll()
        #expect(got == (1...300).map(String.init))
    }

    @Test(
        "[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] no more messages are on the way to a client than its Receive Maximum",
        arguments: [1, 3, 20] as [UInt16]
    )
    func outboundWindow(maximum: UInt16) throws {
        let site = try SimulatedSite()
        var connect = Connect.v5("sub", clean: false, expiry: 600)
        connect.properties.values.append(.receiveMaximum(maximum))
        try site.connect(1, connect)
        try site.send(1, .subscribe("t/#", .exactlyOnce))
        _ = site.take(1)
        try site.connect(9, .v5("pub"))
        for id: UInt16 in 1...50 {
            try site.send(9, .publish("t/1", "\(id)", id % 2 == 0 ? .atLeastOnce : .exactlyOnce, id: id), .pubrel(id))
        }
        var got: [String] = []
        while true {
            let batch = site.publishes(1)
            guard let first = batch.first else { break }
            #expect(batch.count <= Int(maximum))
            got += batch.map(\.text)
            try site.send(1, .pingreq)
            #expect(site.take(1) == [.pingresp], "[MQTT-3.3.4-10] [MQTT-4.9.0-3]: other packets do not wait")
            for publish in batch where publish.packetID != first.packetID || maximum == 1 || batch.count == 1 {
                try finish(publish, site)
            }
            if batch.count > 1 { try finish(first, site) }
        }
        #expect(got.count == 50)
    }

    private func finish(_ publish: Publish, _ site: SimulatedSite) throws {
        if publish.qos == .atLeastOnce {
            try site.send(1, .puback(publish.packetID))
        } else {
            try site.send(1, .pubrec(publish.packetID))
            _ = site.takeFirst(1) { $0 == .pubrel(publish.packetID) }
            try site.send(1, .pubcomp(publish.packetID))
        }
    }

    @Test(
        "[MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-3.1.2-23] a session lives with its connection, then as long as its expiry says"
    )
    func sessionLife() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v5("c", clean: true, expiry: 20))
        try site.send(1, .subscribe("t", .atLeastOnce))
        for _ in 0..<10 {
            try site.pass(seconds: 30)
            try site.send(1, .pingreq)
        }
        try site.drop(1)
        try site.pass(seconds: 15)
        try #expect(site.connect(1, .v5("c", clean: false, expiry: 20)).sessionPresent)
        try site.drop(1)
        try site.pass(seconds: 30)
        #expect(site.core.statistics.sessions == 0)
        try #expect(!site.connect(1, .v5("c", clean: false, expiry: 20)).sessionPresent)
        try site.connect(2, .v5("d", clean: false, expiry: 0))
        try site.drop(2)
        #expect(site.core.statistics.sessions == 1, "an expiry of 0 ends it with the connection")
    }

    @Test("[MQTT-3.1.2-6] [MQTT-3.1.4-4] a clean session ends with its connection and shares nothing with the next one")
    func cleanSession() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("c", clean: false))
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(9, .v3("pub"))
        try site.drop(1)
        try site.send(9, .publish("t", "old", .atLeastOnce, id: 1))
        try #expect(!site.connect(1, .v3("c", clean: true)).sessionPresent)
        #expect(site.publishes(1).isEmpty)
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.drop(1)
        try #expect(!site.connect(1, .v3("c", clean: false)).sessionPresent)
        try site.send(9, .publish("t", "new", .atLeastOnce, id: 2))
        #expect(site.publishes(1).isEmpty)
    }

    @Test("[MQTT-3.1.2-7] of 3.1.1: retained messages outlive the session that published them")
    func retainedOutlivesSession() throws {
        let site = try SimulatedSite()
        try site.connect(1, .v3("c"))
        try site.send(1, .publish("t", "kept", .atLeastOnce, id: 1, retain: true))
        try site.drop(1)
        try site.connect(2, .v3("d"))
        try site.send(2, .subscribe("t", .atMostOnce))
        #expect(site.publishes(2).map(\.text) == ["kept"])
    }

    @Test(
        "[MQTT-3.1.4-3] [MQTT-3.1.4-2] a client that connects again takes its session; the connection before is closed"
    )
    func takeOver() throws {
        let site = try SimulatedSite()
        for (clean, expiry): (Bool, UInt32) in [(false, 60), (true, 60), (true, 0)] {
            try site.connect(1, .v5("c", clean: clean, expiry: expiry))
            try site.connect(2, .v5("c", clean: clean, expiry: expiry))
            let end = site.takeFirst(1) { if case .disconnect = $0 { true } else { false } }
            guard case .disconnect(let disconnect)? = end else {
                Issue.record("no DISCONNECT")
                return
            }
            #expect(disconnect.reason == .sessionTakenOver)
            #expect(site.closed[1]?.reason == .sessionTakenOver)
            #expect(site.closed[2] == nil)
        }
        try site.connect(3, .v3("d"))
        try site.connect(4, .v3("d"))
        #expect(site.closed[3] != nil)
        #expect(site.take(3).isEmpty, "3.1.1 has no DISCONNECT of a server")
    }
}
