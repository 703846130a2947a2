import MosquittoClient
import Testing

@testable import Cloud

@Suite struct LinkMessageTests {
    private func stamp(_ site: String = "store-1", className: String = "telemetry") -> BridgeStamp {
        BridgeStamp(
            site: site,
            epoch: 4,
            sequence: 9,
            className: className,
            receivedMilliseconds: noon,
            queuedMilliseconds: 5,
            isReplayed: false
        )
    }

    private func rejection(_ message: LinkMessage) -> Rejection? {
        guard case .failure(let error) = message.ingestMessage(milliseconds: noon) else { return nil }
        return error.reason
    }

    @Test func `a stamped message becomes a part of its site's stream`() throws {
        let link = LinkMessage(topic: "up/07/store-1/ward/3/cgm", payload: [1, 2], stamp: stamp())
        let message = try link.ingestMessage(milliseconds: noon + 3).get()
        #expect(message.site == "store-1" && message.epoch == 4 && message.sequence == 9)
        #expect(message.topic == "ward/3/cgm" && message.payload == [1, 2])
        #expect(message.eventMilliseconds == noon && message.receivedMilliseconds == noon + 3)
        #expect(message.drop == nil)
    }

    @Test(arguments: [
        "", "up", "up/07/store-1", "up/07/store-1/", "down/07/store-1/x", "up//store-1/x", "up/07//x",
        "up/07/sto re/x", "up/07/st.re/x", "/up/07/store-1/x", "up/07/störe/x",
    ])
    func `a topic of another form is rejected`(topic: String) {
        #expect(rejection(LinkMessage(topic: topic, payload: [], stamp: stamp())) == .topic)
    }

    @Test func `no stamp, another site's stamp and oversize are rejected`() {
        #expect(rejection(LinkMessage(topic: "up/07/store-1/x", payload: [], stamp: nil)) == .unstamped)
        #expect(rejection(LinkMessage(topic: "up/07/store-2/x", payload: [], stamp: stamp())) == .wrongSite)
        let long = String(repeating: "x", count: LinkMessage.topicBytesMax + 1)
        #expect(rejection(LinkMessage(topic: "up/07/store-1/\(long)", payload: [], stamp: stamp())) == .oversize)
        let odd = stamp(className: String(repeating: "c", count: 65))
        #expect(rejection(LinkMessage(topic: "up/07/store-1/x", payload: [], stamp: odd)) == .oversize)
    }

    @Test func `a gap record says what was dropped`() throws {
        func drop(_ gap: BridgeGap) throws -> PolicyDrop? {
            let link = LinkMessage(topic: "up/07/store-1/_gap", payload: gap.encode(), stamp: stamp(className: "gap"))
            return try link.ingestMessage(milliseconds: noon).get().drop
        }
        #expect(
            try drop(BridgeGap(from: 3, to: 8, count: 6, reason: "queue_full"))
                == PolicyDrop(range: 3...8, reason: "queue_full")
        )
        #expect(
            try drop(BridgeGap(from: 0, to: 0, count: 5, reason: "redaction"))
                == PolicyDrop(range: nil, unnumbered: 5, reason: "redaction")
        )
        #expect(try drop(BridgeGap(from: 1, to: 1, count: 1, reason: "<b>\n"))?.reason == "other")
        #expect(try drop(BridgeGap(from: 0, to: 9, count: 1, reason: "x")) == nil)
        #expect(try drop(BridgeGap(from: 0, to: 0, count: .max, reason: "x")) == nil)
    }

    @Test func `the envelope of MQTT 3.1.1 is taken off`() {
        let envelope = BridgeEnvelope(stamp: stamp(), payload: Array(#"{"value":3}"#.utf8))
        let message = LinkMessage(
            MosquittoMessage(topic: "up/07/store-1/x", payload: envelope.encode(), qos: 1, retain: false)
        )
        #expect(message.stamp == stamp())
        #expect(message.payload == Array(#"{"value":3}"#.utf8))
    }
}
