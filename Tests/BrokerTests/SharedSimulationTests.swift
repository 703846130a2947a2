import MQTT
import NIOCore
import Repeatable
import Testing

@testable import Broker

/// Members of a shared subscription that come, go, stall and forget to acknowledge, on a site that crashes and commits
/// late, all by one seed. No session ends, so nothing that was promised may be lost, and QoS 2 comes once in all.
private struct SharedSimulation {
    struct Member {
        let slot: UInt32
        var isConnected = false
        var isSubscribed = false
        /// Exchanges that the member has not answered yet.
        var open: [Packet] = []
        /// QoS 2 identifiers that it has taken and not released: a repetition is the same message.
        var taken: Set<UInt16> = []
    }

    static let filter = "$share/group/job/+"
    var random: SeededRandom
    let site: SimulatedSite
    var members = (1...3).map { Member(slot: UInt32($0)) }
    var got: [String: Int] = [:]
    var promised: Set<String> = []
    var nextNumber = 0
    var nextPacketID: UInt16 = 1

    init(seed: UInt64) throws {
        random = SeededRandom(seed: seed)
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 3
        configuration.queuedResidentBytesMax = 300
        configuration.loadBatchMessages = 3
        site = try SimulatedSite(configuration: configuration)
        for index in members.indices { try join(index) }
        try connectPublisher()
        site.commitsAtOnce = false
    }

    private func connectPublisher() throws { try site.connect(9, .v5("pub", clean: false, expiry: 100_000)) }

    private mutating func join(_ index: Int) throws {
        var connect = Connect.v5("m\(members[index].slot)", clean: false, expiry: .max)
        connect.keepAliveSeconds = 0
        try site.connect(members[index].slot, connect)
        members[index].isConnected = true
        members[index].open = []
        guard !members[index].isSubscribed else { return }
        try site.send(members[index].slot, .subscribe(Self.filter, .exactlyOnce))
        try commit()
        members[index].isSubscribed = true
    }

    mutating func run(steps: Int) throws {
        for _ in 0..<steps {
            let index = Int.random(in: members.indices, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<40: try publish()
            case 40..<55: try read(index)
            case 55..<70: try acknowledge(index)
            case 70..<84: try commit()
            case 84..<90: try toggle(index)
            case 90..<93: try stall(index)
            case 93..<95: try leave(index)
            case 95..<97:
                try commit()
                try site.takeCheckpoint()
                try readPublisher()
            default: try crash()
            }
        }
        for _ in 0..<200 {
            try commit()
            for index in members.indices {
                if !members[index].isConnected || !members[index].isSubscribed { try join(index) }
                try site.writable(members[index].slot, true)
                try read(index)
                while !members[index].open.isEmpty { try acknowledge(index) }
            }
        }
    }

    private mutating func publish() throws {
        guard members.contains(where: \.isSubscribed) else { return }
        nextNumber += 1
        let qos: QoS = Bool.random(using: &random) ? .exactlyOnce : .atLeastOnce
        let topic = TopicName(uncheckedBytes: ByteBuffer(string: "job/\(nextNumber % 5)"))
        try site.send(9, .publish(topic, "\(qos.rawValue)-\(nextNumber)", qos, id: nextPacketID))
        sent[nextPacketID] = "\(qos.rawValue)-\(nextNumber)"
        nextPacketID = nextPacketID == .max ? 1 : nextPacketID + 1
    }

    /// What the publisher has not been answered yet, by its identifier.
    var sent: [UInt16: String] = [:]

    private mutating func readPublisher() throws {
        for packet in site.take(9) {
            switch packet {
            case .puback(let answer), .pubrec(let answer):
                if let text = sent.removeValue(forKey: answer.packetID) { promised.insert(text) }
                if case .pubrec = packet { try site.send(9, .pubrel(answer.packetID)) }
            default: break
            }
        }
    }

    private mutating func commit() throws {
        try site.commit()
        try readPublisher()
    }

    private mutating func read(_ index: Int) throws {
        guard members[index].isConnected else { return }
        for packet in site.take(members[index].slot) {
            switch packet {
            case .publish(let publish):
                if publish.qos == .exactlyOnce {
                    if members[index].taken.insert(publish.packetID).inserted { got[publish.text, default: 0] += 1 }
                } else {
                    got[publish.text, default: 0] += 1
                }
                members[index].open.append(packet)
            case .pubrel: members[index].open.append(packet)
            default: break
            }
        }
    }

    private mutating func acknowledge(_ index: Int) throws {
        guard members[index].isConnected, !members[index].open.isEmpty else { return }
        let slot = members[index].slot
        switch members[index].open.removeFirst() {
        case .publish(let publish):
            try site.send(slot, publish.qos == .atLeastOnce ? .puback(publish.packetID) : .pubrec(publish.packetID))
        case .pubrel(let answer):
            members[index].taken.remove(answer.packetID)
            try site.send(slot, .pubcomp(answer.packetID))
        default: break
        }
        try read(index)
    }

    private mutating func toggle(_ index: Int) throws {
        if members[index].isConnected {
            try read(index)
            try site.drop(members[index].slot)
            members[index].isConnected = false
        } else {
            try join(index)
        }
    }

    private mutating func stall(_ index: Int) throws {
        guard members[index].isConnected else { return }
        try site.writable(members[index].slot, Bool.random(using: &random))
    }

    private mutating func leave(_ index: Int) throws {
        guard members[index].isConnected, members[index].isSubscribed, members.filter(\.isSubscribed).count > 1 else {
            return
        }
        try site.send(members[index].slot, .unsubscribe(Unsubscribe(packetID: 9, filters: [Self.filter])))
        try commit()
        try read(index)
        members[index].isSubscribed = false
    }

    private mutating func crash() throws {
        // What clients had on the way to them arrives, or is lost with the connection.
        for index in members.indices where Bool.random(using: &random) { try read(index) }
        try site.crash()
        for index in members.indices {
            members[index].isConnected = false
            members[index].open = []
        }
        sent = [:]
        try connectPublisher()
    }

    var failures: [String] {
        var found: [String] = []
        for text in promised.sorted() {
            let count = got[text] ?? 0
            if count == 0 { found.append("\(text) was lost") }
        }
        for (text, count) in got.sorted(by: { $0.key < $1.key }) where text.hasPrefix("2-") && count > 1 {
            found.append("\(text) came \(count) times")
        }
        return found
    }
}

@Suite struct SharedSimulationTests {
    @Test(
        "what a shared subscription was promised reaches a member, and QoS 2 one alone, through crashes and departures"
    )
    func nothingIsLostNorDoubled() throws {
        let first = UInt64.random(in: 0...1_000_000_000)
        for seed in first..<(first + 60) {
            var simulation = try SharedSimulation(seed: seed)
            try simulation.run(steps: 400)
            #expect(simulation.failures.isEmpty, "seed \(seed)")
            #expect(simulation.promised.count > 10, "seed \(seed)")
            guard simulation.failures.isEmpty else { return }
        }
    }
}
