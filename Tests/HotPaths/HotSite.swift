import Broker
import MQTT
import NIOCore

/// A core with clients that are connected, driven packet by packet: what the server does between two reads.
final class HotSite {
    private let core: BrokerCore
    private var effects = Effects()
    private var now = BrokerTime(monotonicNanoseconds: 1_000_000_000, wallMilliseconds: 1_700_000_000_000)
    private var output = ByteBuffer()
    /// What was delivered since the last look, and the packet identifier that the core gave last.
    private(set) var delivered = 0
    private(set) var acknowledged = 0
    private var toAcknowledge: [(ConnectionID, UInt16)] = []

    init() {
        core = BrokerCore(configuration: BrokerConfiguration(), authorizer: OpenDoor())
        output.reserveCapacity(1 << 20)
        toAcknowledge.reserveCapacity(1_024)
    }

    /// Connects a client, with a filter to subscribe to.
    func connect(_ slot: UInt32, cleanStart: Bool = true, filter: String? = nil, qos: QoS = .atMostOnce) -> ConnectionID
    {
        let id = ConnectionID(slot: slot, generation: 1)
        core.opened(
            id,
            info: ConnectionInfo(listener: "hot", remoteAddress: "hot", allowAnonymous: true),
            now: now
        )
        let connect = Connect(version: .v3_1_1, clientID: "client-\(slot)", cleanStart: cleanStart)
        turn { core.received(id, .connect(connect), now: now, effects: &effects) }
        if let filter {
            let request = Subscribe.Request(filter: filter, options: SubscriptionOptions(qos: qos))
            let subscribe = Subscribe(packetID: 1, requests: [request])
            turn { core.received(id, .subscribe(subscribe), now: now, effects: &effects) }
        }
        return id
    }

    /// One packet as one turn; what the core asks for is done, journal records are on disk at once.
    func receive(_ packet: Packet, from id: ConnectionID) {
        turn { core.received(id, packet, now: now, effects: &effects) }
    }

    /// Subscribers acknowledge what they were given at QoS 1.
    func acknowledgeAll() {
        for (id, packetID) in toAcknowledge {
            turn { core.received(id, .puback(Acknowledgement(packetID: packetID)), now: now, effects: &effects) }
        }
        toAcknowledge.removeAll(keepingCapacity: true)
    }

    private func turn(_ event: () -> Void) {
        event()
        core.endTurn(now: now, effects: &effects)
        while true {
            perform()
            guard !effects.journal.isEmpty else { break }
            let last = effects.journal.firstSequence + UInt64(effects.journal.ends.count) - 1
            effects.journal.removeAll()
            core.committed(through: last, now: now, effects: &effects)
            core.endTurn(now: now, effects: &effects)
        }
        output.clear()
    }

    private func perform() {
        for index in effects.list.indices {
            switch effects.list[index] {
            case .deliver(let id, let delivery):
                let start = output.writerIndex
                delivery.write(to: &output)
                delivered += 1
                note(start, id)
            case .acknowledge: acknowledged += 1
            case .authenticate(let id, _):
                core.authenticated(id, result: .accepted(username: nil), now: now, effects: &effects)
                core.endTurn(now: now, effects: &effects)
            default: break
            }
        }
        effects.list.removeAll(keepingCapacity: true)
    }

    /// The packet identifier of a PUBLISH with QoS 1 that stands in the output: short ones, whose length is one byte.
    private func note(_ start: Int, _ id: ConnectionID) {
        guard let flags = output.getInteger(at: start, as: UInt8.self), flags & 0x06 != 0,
            let topicBytes = output.getInteger(at: start + 2, as: UInt16.self),
            let packetID = output.getInteger(at: start + 4 + Int(topicBytes), as: UInt16.self)
        else { return }
        toAcknowledge.append((id, packetID))
    }
}

/// Everyone may do everything, as where no rules are configured.
private struct OpenDoor: Authorizer {
    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
    func allowsEverything(_ identity: Identity) -> Bool { true }
}
