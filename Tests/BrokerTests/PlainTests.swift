import MQTT
import NIOCore
import Testing

@testable import Broker

/// Two sites that are told the same, one of which takes plain packets the short way. Whatever their clients see must be
/// the same, packet by packet.
private struct TwoWays {
    struct Client {
        let slot: UInt32
        let version: ProtocolVersion
        let properties: Properties
        var nextPacketID: UInt16 = 1
        var isConnected = false
    }

    var random: Seeded
    let short: SimulatedSite
    let long: SimulatedSite
    var clients = [
        Client(slot: 1, version: .v3_1_1, properties: []),
        Client(slot: 2, version: .v5, properties: []),
        Client(slot: 3, version: .v5, properties: [.topicAliasMaximum(4), .receiveMaximum(3)]),
        Client(slot: 4, version: .v5, properties: [.maximumPacketSize(150)]),
        Client(slot: 5, version: .v3_1, properties: []),
    ]
    /// The first thing that they did not do alike.
    private(set) var difference: String?
    /// A fault to find: this PUBLISH of the first client is kept from one of the sites.
    var lostPublish = Int.max
    private var publishes = 0

    init(seed: UInt64) throws {
        random = Seeded(state: seed)
        var configuration = BrokerConfiguration()
        configuration.isDurable = Bool.random(using: &random)
        configuration.inflightMessagesMax = 4
        configuration.queuedMessagesMax = 8
        configuration.payloadBytesMax = 6_000
        configuration.routeCacheEntriesMax = 6
        short = try SimulatedSite(configuration: configuration)
        long = try SimulatedSite(configuration: configuration)
        long.takesShortWay = false
    }

    mutating func run(steps: Int) throws {
        for index in clients.indices { try connect(index) }
        for step in 0..<steps {
            let index = Int.random(in: clients.indices, using: &random)
            guard clients[index].isConnected else {
                try connect(index)
                continue
            }
            switch Int.random(in: 0..<40, using: &random) {
            case 0: try connect(index)
            case 1:
                try both { try $0.drop(clients[index].slot) }
                clients[index].isConnected = false
            case 2:
                try both { [isWritable = Bool.random(using: &random)] in
                    try $0.writable(clients[index].slot, isWritable)
                }
            case 3...5: try subscribe(index)
            case 6: try send(index, [.unsubscribe(Unsubscribe(packetID: nextID(index), filters: [filter()]))])
            case 7: try both { try $0.pass(seconds: 1) }
            default: try publish(index)
            }
            try compare(step)
            guard difference == nil else { return }
        }
        if short.core.statistics != long.core.statistics { difference = "the statistics" }
    }

    private func both(_ body: (SimulatedSite) throws -> Void) throws {
        try body(short)
        try body(long)
    }

    private mutating func connect(_ index: Int) throws {
        let client = clients[index]
        let isClean = Bool.random(using: &random)
        let connect = Connect(
            version: client.version,
            clientID: "c\(client.slot)",
            cleanStart: client.version == .v5 ? isClean : true,
            properties: client.version != .v5
                ? [] : Properties(client.properties.values + (isClean ? [] : [.sessionExpiryInterval(60)]))
        )
        try both {
            $0.open(client.slot)
            $0.listen(client.slot, client.version)
            try $0.send(client.slot, .connect(connect))
        }
        clients[index].isConnected = true
    }

    private mutating func nextID(_ index: Int) -> UInt16 {
        defer { clients[index].nextPacketID += 1 }
        return clients[index].nextPacketID
    }

    private mutating func topic() -> String {
        ["a/b", "a/b", "a/b", "a/c", "ä/ö", "d", "x/y/z", "$own", "long/\(String(repeating: "t", count: 40))"]
            .randomElement(using: &random) ?? "a"
    }

    private mutating func filter() -> String {
        ["a/b", "a/+", "#", "ä/#", "d", "+/y/+", "$share/g/a/b", "a/c", "long/+"].randomElement(using: &random) ?? "a"
    }

    private mutating func qos() -> QoS { QoS(rawValue: .random(in: 0...2, using: &random)) ?? .atMostOnce }

    private mutating func subscribe(_ index: Int) throws {
        let isV5 = clients[index].version == .v5
        let filter = filter()
        let options = SubscriptionOptions(
            qos: qos(),
            noLocal: isV5 && !filter.hasPrefix("$share") && Bool.random(using: &random),
            retainAsPublished: isV5 && Bool.random(using: &random)
        )
        let hasIdentifier = isV5 && Int.random(in: 0..<4, using: &random) == 0
        let subscribe = Subscribe(
            packetID: nextID(index),
            requests: [.init(filter: filter, options: options)],
            properties: hasIdentifier ? [.subscriptionIdentifier(7)] : []
        )
        try send(index, [.subscribe(subscribe)])
    }

    private mutating func publish(_ index: Int) throws {
        var packets: [Packet] = []
        let topic = topic()
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let qos = Int.random(in: 0..<8, using: &random) == 0 ? .exactlyOnce : min(qos(), .atLeastOnce)
            let bytes =
                [0, 3, 64, 110, 111, 112, 117, 118, 119, 120, 121, 122, 123, 124, 4_095, 7_000]
                .randomElement(using: &random) ?? 0
            let isV5 = clients[index].version == .v5
            let publish = Publish(
                topic: TopicName(
                    uncheckedBytes: ByteBuffer(string: Bool.random(using: &random) ? topic : self.topic())
                ),
                payload: ByteBuffer(repeating: UInt8(truncatingIfNeeded: publishes), count: bytes),
                qos: qos,
                retain: Int.random(in: 0..<12, using: &random) == 0,
                packetID: qos == .atMostOnce ? 0 : nextID(index),
                properties: isV5 && Int.random(in: 0..<6, using: &random) == 0 ? [.contentType("t")] : []
            )
            publishes += 1
            packets.append(.publish(publish))
        }
        try send(index, packets)
    }

    /// All packets in one read.
    private mutating func send(_ index: Int, _ packets: [Packet]) throws {
        let client = clients[index]
        func bytes(_ packets: [Packet]) -> [UInt8] {
            var bytes = ByteBuffer()
            for packet in packets { PacketEncoder.encode(packet, version: client.version, into: &bytes) }
            return Array(bytes.readableBytesView)
        }
        try short.send(client.slot, bytes: bytes(packets), version: client.version)
        let isLost = publishes > lostPublish
        if isLost { lostPublish = .max }
        try long.send(client.slot, bytes: bytes(isLost ? Array(packets.dropLast()) : packets), version: client.version)
    }

    /// Holds what the clients got against each other, and answers it.
    private mutating func compare(_ step: Int) throws {
        for index in clients.indices {
            let client = clients[index]
            let packets = short.take(client.slot)
            let others = long.take(client.slot)
            guard packets == others else {
                difference = "step \(step), client \(client.slot): \(packets) and \(others)"
                return
            }
            if short.closed[client.slot] != long.closed[client.slot] {
                difference = "step \(step), client \(client.slot): closed"
                return
            }
            if short.closed[client.slot] != nil { clients[index].isConnected = false }
            var answers: [Packet] = []
            for packet in packets {
                switch packet {
                case .publish(let publish) where publish.qos == .atLeastOnce:
                    if Int.random(in: 0..<5, using: &random) > 0 { answers.append(.puback(publish.packetID)) }
                case .publish(let publish) where publish.qos == .exactlyOnce:
                    answers.append(.pubrec(publish.packetID))
                case .pubrec(let answer): answers.append(.pubrel(answer.packetID))
                case .pubrel(let answer): answers.append(.pubcomp(answer.packetID))
                default: break
                }
            }
            if !answers.isEmpty, clients[index].isConnected { try send(index, answers) }
        }
    }
}

@Suite struct PlainTests {
    @Test("the short way of plain messages and the long way give every client the same, packet by packet")
    func bothWaysAreOne() throws {
        let first = UInt64.random(in: 0...1_000_000_000)
        var taken: UInt64 = 0
        for seed in first..<(first + 40) {
            var ways = try TwoWays(seed: seed)
            try ways.run(steps: 250)
            #expect(ways.difference == nil, "seed \(seed)")
            taken += ways.short.shortWayPackets
            #expect(ways.long.shortWayPackets == 0)
            guard ways.difference == nil else { return }
        }
        #expect(taken > 1_000, "hardly a packet took the short way, from seed \(first)")
    }

    @Test("a single PUBLISH that one of the ways loses is found")
    func aLossIsFound() throws {
        for seed: UInt64 in 1...5 {
            var ways = try TwoWays(seed: seed)
            ways.lostPublish = 100
            try ways.run(steps: 250)
            #expect(ways.difference != nil, "seed \(seed)")
        }
    }

    @Test("packets side by side for one client are one effect, and a packet in between ends it")
    func neighboursAreJoined() throws {
        let site = try SimulatedSite(configuration: .init())
        try site.connect(1, .v3("p"))
        try site.connect(2, .v3("s"))
        try site.send(2, .subscribe("a/b", .atMostOnce))
        _ = site.take(2)
        func bytes(_ topics: [TopicName]) -> [UInt8] {
            var bytes = ByteBuffer()
            for topic in topics {
                PacketEncoder.encode(.publish(topic, "x"), version: .v3_1_1, into: &bytes)
            }
            return Array(bytes.readableBytesView)
        }
        // The first one of a topic asks for its routes.
        try site.send(1, bytes: bytes(["a/b", "other"]), version: .v3_1_1)
        let before = site.shortWayPackets
        try site.send(1, bytes: bytes(["a/b", "a/b", "other", "a/b"]), version: .v3_1_1)
        #expect(site.shortWayPackets - before == 3)
        #expect(site.publishes(2).count == 4)
        #expect(site.core.statistics.messagesReceived == 6)
        #expect(site.core.statistics.messagesSent == 4)
    }
}
