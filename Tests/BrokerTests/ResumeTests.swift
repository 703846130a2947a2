import MQTT
import NIOCore
import Testing

@testable import Broker

/// A client comes back with a smaller Receive Maximum than it had when its messages were sent (section 4.9).
@Suite struct ResumeTests {
    private func client(window: UInt16? = nil, packetBytes: UInt32? = nil) -> Connect {
        var connect = Connect.v5("sub", clean: false, expiry: 600)
        if let window { connect.properties.values.append(.receiveMaximum(window)) }
        if let packetBytes { connect.properties.values.append(.maximumPacketSize(packetBytes)) }
        return connect
    }

    /// A site whose subscriber was given five messages and went without an answer.
    private func site(_ qos: QoS) throws -> SimulatedSite {
        let site = try SimulatedSite()
        try site.connect(1, client())
        try site.send(1, .subscribe("t", qos))
        try site.connect(2, .v3("pub"))
        for id: UInt16 in 1...5 { try site.send(2, .publish("t", "\(id)", qos, id: id)) }
        return site
    }

    @Test("[MQTT-4.6.0-6] what waited for the disk when its client went is not overtaken by what came later")
    func notOvertaken() throws {
        func output(_ text: String, _ record: UInt64) -> HandlerCommit {
            let output = HandlerCommit.Output(
                topic: "t",
                payload: ByteBuffer(string: text),
                qos: .atLeastOnce,
                retain: false,
                properties: []
            )
            return HandlerCommit(
                handler: "h",
                position: MessageReference(record: record, index: 0),
                key: "",
                state: nil,
                outputs: [output],
                decision: nil
            )
        }
        let site = try SimulatedSite()
        try site.connect(1, client())
        try site.send(1, .subscribe("t", .atLeastOnce))
        _ = site.take(1)
        site.commitsAtOnce = false
        try site.submit(output("one", 1))
        try site.drop(1)
        try site.submit(output("two", 2))
        try site.commit()
        try site.connect(1, client())
        var texts = site.publishes(1).map(\.text)
        try site.commit()
        texts += site.publishes(1).map(\.text)
        #expect(texts == ["one", "two"])
    }

    @Test("[MQTT-3.3.4-9] no more is repeated at once than the new connection's Receive Maximum, in order")
    func paced() throws {
        let site = try site(.atLeastOnce)
        let first = site.publishes(1)
        #expect(first.count == 5)
        try site.drop(1)
        try site.connect(1, client(window: 2))
        var again = site.publishes(1)
        #expect(again.map(\.text) == ["1", "2"])
        // What is new waits behind what is repeated.
        try site.send(2, .publish("t", "6", .atLeastOnce, id: 6))
        #expect(site.publishes(1).isEmpty)
        var order = again.map(\.text)
        while let next = again.first {
            again.removeFirst()
            try site.send(1, .puback(next.packetID))
            let more = site.publishes(1)
            #expect(again.count + more.count <= 2)
            again += more
            order += more.map(\.text)
            for publish in more { #expect(publish.duplicate == (publish.text != "6")) }
        }
        #expect(order == ["1", "2", "3", "4", "5", "6"])
        #expect(site.core.statistics.inflightMessages == 0)
    }

    @Test("[MQTT-3.3.4-9] a client that takes its own session over is given no more than it takes now")
    func takenOver() throws {
        let site = try site(.atLeastOnce)
        _ = site.publishes(1)
        try site.connect(3, client(window: 1))
        #expect(site.publishes(3).map(\.text) == ["1"])
        // And back to a larger one before anything was answered.
        try site.connect(4, client(window: 3))
        #expect(site.publishes(4).map(\.text) == ["1", "2", "3"])
    }

    @Test("[MQTT-3.1.2-24] what the client does not take any more makes room for what it does")
    func smallerPackets() throws {
        let site = try SimulatedSite()
        try site.connect(1, client())
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        let large = String(repeating: "x", count: 300)
        try site.send(2, .publish("t", large, .atLeastOnce, id: 1))
        try site.send(2, .publish("t", "small", .atLeastOnce, id: 2))
        try site.send(2, .publish("t", "last", .atLeastOnce, id: 3))
        _ = site.publishes(1)
        try site.connect(3, client(window: 1, packetBytes: 100))
        let given = site.publishes(3)
        #expect(given.map(\.text) == ["small"])
        try site.send(3, .puback(given[0].packetID))
        #expect(site.publishes(3).map(\.text) == ["last"])
    }

    @Test("[MQTT-4.4.0-1] PUBREL is repeated at once, and PUBLISH when there is room")
    func releases() throws {
        let site = try site(.exactlyOnce)
        let first = site.publishes(1)
        #expect(first.count == 5)
        try site.send(1, .pubrec(first[0].packetID))
        try site.send(1, .pubrec(first[1].packetID))
        try site.drop(1)
        _ = site.take(1)
        try site.connect(1, client(window: 1))
        #expect(site.take(1) == [.pubrel(first[0].packetID), .pubrel(first[1].packetID)])
        try site.send(1, .pubcomp(first[0].packetID))
        #expect(site.take(1).isEmpty)
        try site.send(1, .pubcomp(first[1].packetID))
        #expect(site.publishes(1).map(\.text) == ["3"])
        // One that was not repeated yet is answered, from the connection before.
        try site.send(1, .pubrec(first[3].packetID))
        try site.send(1, .pubcomp(first[3].packetID))
        try site.send(1, .pubrec(first[2].packetID))
        try site.send(1, .pubcomp(first[2].packetID))
        #expect(site.publishes(1).map(\.text) == ["5"])
    }

    @Test("[MQTT-3.3.4-9] after a restart too, when the messages are read from the journal")
    func afterARestart() throws {
        let site = try site(.atLeastOnce)
        try site.crash()
        try site.connect(1, client(window: 2))
        var order: [String] = []
        var open = site.publishes(1)
        #expect(open.count == 2)
        while let next = open.first {
            open.removeFirst()
            order.append(next.text)
            try site.send(1, .puback(next.packetID))
            open += site.publishes(1)
            #expect(open.count <= 2)
        }
        #expect(order == ["1", "2", "3", "4", "5"])
        #expect(site.core.statistics.dropped[.lost] == nil)
    }

    @Test("A message too large for its client does not stop the queue behind it")
    func largeMessageAtTheHead() throws {
        let site = try SimulatedSite()
        try site.connect(1, client(window: 1, packetBytes: 100))
        try site.send(1, .subscribe("t", .exactlyOnce))
        try site.connect(2, .v3("pub"))
        site.commitsAtOnce = false
        try site.send(2, .publish("t", String(repeating: "x", count: 300), .exactlyOnce, id: 1))
        try site.send(2, .publish("t", "small", .exactlyOnce, id: 2))
        try site.commit()
        try site.commit()
        #expect(site.publishes(1).map(\.text) == ["small"])
    }

    @Test("After a restart the packet identifiers of a session without open exchanges begin at 1 again")
    func packetIdentifiers() throws {
        let site = try SimulatedSite()
        try site.connect(1, client())
        try site.send(1, .subscribe("t", .atLeastOnce))
        try site.connect(2, .v3("pub"))
        for id: UInt16 in 1...3 { try site.send(2, .publish("t", "\(id)", .atLeastOnce, id: id)) }
        for publish in site.publishes(1) { try site.send(1, .puback(publish.packetID)) }
        try site.crash()
        try site.connect(1, client())
        try site.connect(2, .v3("pub"))
        try site.send(2, .publish("t", "4", .atLeastOnce, id: 4))
        #expect(site.publishes(1).map(\.packetID) == [1])
    }
}
