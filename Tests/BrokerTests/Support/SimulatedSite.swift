import MQTT
import NIOCore
import Testing

@testable import Broker

/// A core with a simulated journal, network and clock. Everything that it sends goes through the real encoder and
/// decoder, so a test reads what a client would.
final class SimulatedSite {
    private(set) var core: BrokerCore
    private let configuration: BrokerConfiguration
    private let authorizer: any Authorizer
    private let readers: [String]
    private var effects = Effects()

    /// Record payloads by sequence; those up to `committed` are on disk.
    private(set) var records: [UInt64: ByteBuffer] = [:]
    private(set) var lastSequence: UInt64 = 0
    private(set) var committed: UInt64 = 0
    private var checkpoint: (sequence: UInt64, bytes: ByteBuffer)?
    /// Whether plain packets come as bytes, as those of a connection do; else all come one by one as packets.
    var takesShortWay = true
    /// Packets that went out encoded already.
    private(set) var shortWayPackets: UInt64 = 0
    /// Whether each batch is committed at once.
    var commitsAtOnce = true
    /// Whether the disk says that it has what it has not.
    var lies = false
    /// Whether what was appended is there after a crash though nobody said so.
    var keepsUncommitted = false
    /// Whether the transport of a connection that the core closes is gone in the same turn.
    var closesAtOnce = true
    /// Whether reading queued messages from the journal ends in the same turn.
    var answersLoads = true
    private var unansweredLoads: [(session: UInt32, records: [UInt64])] = []

    var now = BrokerTime(monotonicNanoseconds: 1_000_000_000, wallMilliseconds: 1_700_000_000_000)
    private var received: [UInt32: [Packet]] = [:]
    private(set) var closed: [UInt32: CloseReason] = [:]
    private(set) var audited: [AuditEvent] = []
    /// The most effects of one turn.
    private(set) var largestTurn = 0
    /// What the listener grants to connections that are opened from now on.
    var policy = ListenerPolicy()
    /// The size of the largest packet that was sent to each client.
    private(set) var largestBytes: [UInt32: Int] = [:]
    private var decoders: [UInt32: PacketDecoder] = [:]
    private var generations: [UInt32: UInt32] = [:]
    var authenticate: (AuthenticationRequest) -> AuthenticationResult = { .accepted(username: $0.username) }

    init(
        configuration: BrokerConfiguration = .init(),
        authorizer: any Authorizer = AllowAll(),
        readers: [String] = []
    ) throws {
        self.configuration = configuration
        self.authorizer = authorizer
        self.readers = readers
        self.core = BrokerCore(configuration: configuration, authorizer: authorizer)
        if !readers.isEmpty { core.addDurableReader(name: "reader", filters: try readers.map { try TopicFilter($0) }) }
    }

    func id(_ slot: UInt32) -> ConnectionID { ConnectionID(slot: slot, generation: generations[slot] ?? 0) }

    // MARK: - Events

    func open(_ slot: UInt32, listener: String = "test", policy: ListenerPolicy? = nil) {
        generations[slot, default: 0] += 1
        closed[slot] = nil
        received[slot] = []
        decoders[slot] = nil
        let info = ConnectionInfo(listener: listener, remoteAddress: "sim", policy: policy ?? self.policy)
        core.opened(id(slot), info: info, now: now)
    }

    /// Reads what the core sends as a client of this version would.
    func listen(_ slot: UInt32, _ version: ProtocolVersion) {
        decoders[slot] = PacketDecoder(version: version, role: .client)
    }

    @discardableResult
    func connect(
        _ slot: UInt32,
        _ connect: Connect,
        listener: String = "test",
        policy: ListenerPolicy? = nil
    ) throws -> Connack {
        open(slot, listener: listener, policy: policy)
        decoders[slot] = PacketDecoder(version: connect.version, role: .client)
        try send(slot, .connect(connect))
        guard case .connack(let connack)? = takeFirst(slot, where: { if case .connack = $0 { true } else { false } })
        else { throw SimulationFailure("no CONNACK") }
        return connack
    }

    func send(_ slot: UInt32, _ packets: Packet...) throws {
        for packet in packets {
            if !takesPlain(slot, packet) { core.received(id(slot), packet, now: now, effects: &effects) }
        }
        try settle()
    }

    /// Sends a packet as the bytes that a client would send, if that is one that the core takes as bytes.
    private func takesPlain(_ slot: UInt32, _ packet: Packet) -> Bool {
        guard takesShortWay, let version = decoders[slot]?.version else { return false }
        var bytes = ByteBuffer()
        var decoder = PacketDecoder(version: version)
        guard PacketEncoder.encode(packet, version: version, into: &bytes),
            bytes.withUnsafeReadableBytes({ decoder.plainPacket(in: $0, at: 0) }) != nil
        else { return false }
        do throws(MQTTError) {
            try core.received(id(slot), bytes: &bytes, decoder: &decoder, now: now, effects: &effects)
        } catch {
            Issue.record("a plain packet is refused: \(error)")
        }
        return true
    }

    /// Bytes of a client, through the real decoder of a server: as a connection feeds the core.
    func send(_ slot: UInt32, bytes: [UInt8], version: ProtocolVersion? = nil) throws {
        var decoder = PacketDecoder(version: version)
        var buffer = ByteBuffer(bytes: bytes)
        do throws(MQTTError) {
            if takesShortWay {
                try core.received(id(slot), bytes: &buffer, decoder: &decoder, now: now, effects: &effects)
            }
            while let packet = try decoder.next(&buffer) {
                core.received(id(slot), packet, now: now, effects: &effects)
            }
        } catch {
            core.violated(id(slot), error: error, now: now, effects: &effects)
        }
        try settle()
    }

    /// One event that is not a client's.
    func act(_ event: (BrokerCore, BrokerTime, inout Effects) -> Void) throws {
        event(core, now, &effects)
        try settle()
    }

    func drop(_ slot: UInt32) throws {
        core.closed(id(slot), now: now, effects: &effects)
        try settle()
    }

    func writable(_ slot: UInt32, _ isWritable: Bool) throws {
        core.writabilityChanged(id(slot), isWritable: isWritable, now: now, effects: &effects)
        try settle()
    }

    func submit(_ commit: HandlerCommit) throws {
        core.submit(commit, now: now, effects: &effects)
        try settle()
    }

    func pass(seconds: Double) throws {
        let steps = max(1, Int(seconds * 2))
        for _ in 0..<steps {
            now.monotonicNanoseconds += UInt64(seconds * 1e9) / UInt64(steps)
            now.wallMilliseconds += Int64(seconds * 1e3) / Int64(steps)
            core.tick(now: now, effects: &effects)
            try settle()
        }
    }

    /// Something that the driver or the node asks of the core.
    func withCore(_ body: (BrokerCore, BrokerTime, inout Effects) -> Void) throws {
        body(core, now, &effects)
        try settle()
    }

    /// The disk has everything that was appended.
    func commit() throws {
        committed = lastSequence
        core.committed(through: committed, now: now, effects: &effects)
        try settle()
    }

    func failJournal() throws {
        core.journalFailed(now: now, effects: &effects)
        try settle()
    }

    /// Writes a checkpoint of all that was appended; keeps the records that are still needed.
    func takeCheckpoint() throws {
        try commit()
        let snapshot = core.snapshot()
        checkpoint = (snapshot.sequence, ByteBuffer(bytes: snapshot.encode()))
        let needed = min(core.oldestNeededRecord, snapshot.sequence + 1)
        records = records.filter { $0.key >= needed }
    }

    /// The process dies and starts again: what was not committed is gone, all connections too.
    func crash() throws {
        if keepsUncommitted { committed = lastSequence }
        for sequence in records.keys where sequence > committed { records[sequence] = nil }
        lastSequence = committed
        effects.removeAll()
        core = BrokerCore(configuration: configuration, authorizer: authorizer)
        if !readers.isEmpty { core.addDurableReader(name: "reader", filters: try readers.map { try TopicFilter($0) }) }
        if let checkpoint { try core.recover(checkpoint: checkpoint.bytes) }
        let first = (checkpoint?.sequence ?? 0) + 1
        if first <= committed {
            for sequence in first...committed {
                guard let record = records[sequence] else { throw SimulationFailure("record \(sequence) is gone") }
                try core.recover(record: record, sequence: sequence)
            }
        }
        core.finishRecovery(nextSequence: lastSequence + 1, now: now)
        received = [:]
        decoders = [:]
    }

    // MARK: - Effects

    private func settle() throws {
        core.endTurn(now: now, effects: &effects)
        while !effects.list.isEmpty || !effects.journal.isEmpty || core.wantsAnotherTurn {
            let turn = effects
            largestTurn = max(largestTurn, turn.list.count)
            effects.removeAll()
            append(turn.journal)
            shortWayPackets += turn.joinedPackets
            for effect in turn.list { try perform(effect, of: turn) }
            if commitsAtOnce && committed < lastSequence {
                committed = lastSequence
                core.committed(through: committed, now: now, effects: &effects)
            } else if lies {
                core.committed(through: lastSequence, now: now, effects: &effects)
            }
            core.endTurn(now: now, effects: &effects)
        }
    }

    private func append(_ journal: JournalAppend) {
        guard !journal.isEmpty else { return }
        #expect(journal.firstSequence == lastSequence + 1, "journal sequences have a gap")
        var start = 0
        for (index, end) in journal.ends.enumerated() {
            records[journal.firstSequence + UInt64(index)] = ByteBuffer(bytes: journal.bytes[start..<end])
            start = end
        }
        #expect(start == journal.bytes.count)
        lastSequence += UInt64(journal.ends.count)
    }

    private func perform(_ effect: Effect, of turn: Effects) throws {
        switch effect {
        case .send(let id, let packet): try take(id, packet)
        case .acknowledge(let id, let kind, let packetID, let reason):
            let answer = Acknowledgement(packetID: packetID, reason: reason)
            switch kind {
            case .puback: try take(id, .puback(answer))
            case .pubrec: try take(id, .pubrec(answer))
            case .pubrel: try take(id, .pubrel(answer))
            case .pubcomp: try take(id, .pubcomp(answer))
            }
        case .write(let id, let packets):
            shortWayPackets += 1
            var bytes = ByteBuffer(string: "prefix")
            packets.write(from: turn.encoded, to: &bytes)
            bytes.moveReaderIndex(forwardBy: 6)
            try decode(id, &bytes)
        case .deliver(let id, let delivery):
            var bytes = ByteBuffer(string: "prefix")
            delivery.write(to: &bytes)
            bytes.moveReaderIndex(forwardBy: 6)
            largestBytes[id.slot] = max(largestBytes[id.slot] ?? 0, bytes.readableBytes)
            try decode(id, &bytes)
        case .close(let id, let reason):
            guard id == self.id(id.slot) else { return }
            closed[id.slot] = reason
            if closesAtOnce { core.closed(id, now: now, effects: &effects) }
        case .authenticate(let id, let request):
            core.authenticated(id, result: authenticate(request), now: now, effects: &effects)
        case .load(let session, let sequences):
            if answersLoads { try load(session, sequences) } else { unansweredLoads.append((session, sequences)) }
        case .audit(let event): audited.append(event)
        case .control, .log: break
        }
    }

    private func load(_ session: UInt32, _ sequences: [UInt64]) throws {
        var messages: [JournaledMessage] = []
        for sequence in sequences {
            #expect(sequence <= committed, "a record was asked for before it was committed")
            guard let record = records[sequence] else { continue }
            messages += try JournalRecord.messages(of: record, sequence: sequence)
        }
        core.loaded(session: session, messages: messages, now: now, effects: &effects)
    }

    /// Answers what was asked for while ``answersLoads`` was false.
    func answerLoads() throws {
        let loads = unansweredLoads
        unansweredLoads = []
        for item in loads {
            try load(item.session, item.records)
            try settle()
        }
    }

    private func take(_ id: ConnectionID, _ packet: Packet) throws {
        var bytes = ByteBuffer()
        PacketEncoder.encode(packet, version: decoders[id.slot]?.version ?? .v5, into: &bytes)
        largestBytes[id.slot] = max(largestBytes[id.slot] ?? 0, bytes.readableBytes)
        try decode(id, &bytes)
    }

    private func decode(_ id: ConnectionID, _ bytes: inout ByteBuffer) throws {
        guard id == self.id(id.slot), decoders[id.slot] != nil else { return }
        while let packet = try decoders[id.slot]?.next(&bytes) { received[id.slot, default: []].append(packet) }
        #expect(bytes.readableBytes == 0)
    }

    // MARK: - What clients got

    /// All packets that a client got since the last call.
    func take(_ slot: UInt32) -> [Packet] {
        defer { received[slot] = [] }
        return received[slot] ?? []
    }

    func takeFirst(_ slot: UInt32, where isWanted: (Packet) -> Bool) -> Packet? {
        guard let index = received[slot]?.firstIndex(where: isWanted) else { return nil }
        return received[slot]?.remove(at: index)
    }

    /// All PUBLISH packets that a client got since the last call; other packets are thrown away.
    func publishes(_ slot: UInt32) -> [Publish] {
        take(slot).compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
    }
}

struct SimulationFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

struct AllowAll: Authorizer {
    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { true }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool { true }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { true }
    func allowsEverything(_ identity: Identity) -> Bool { true }
}

extension Connect {
    static func v5(_ clientID: String, clean: Bool = true, expiry: UInt32 = 0, will: Will? = nil) -> Connect {
        Connect(
            version: .v5,
            clientID: clientID,
            cleanStart: clean,
            will: will,
            properties: expiry == 0 ? [] : [.sessionExpiryInterval(expiry)]
        )
    }

    static func v3(_ clientID: String, clean: Bool = true, will: Will? = nil) -> Connect {
        Connect(version: .v3_1_1, clientID: clientID, cleanStart: clean, will: will)
    }
}

extension Packet {
    static func subscribe(_ filter: String, _ qos: QoS, id: UInt16 = 1, _ properties: Properties = []) -> Packet {
        .subscribe(
            Subscribe(packetID: id, requests: [.init(filter: filter, options: .init(qos: qos))], properties: properties)
        )
    }

    static func publish(
        _ topic: TopicName,
        _ payload: String,
        _ qos: QoS = .atMostOnce,
        id: UInt16 = 0,
        retain: Bool = false,
        duplicate: Bool = false,
        _ properties: Properties = []
    ) -> Packet {
        .publish(
            Publish(
                topic: topic,
                payload: ByteBuffer(string: payload),
                qos: qos,
                retain: retain,
                duplicate: duplicate,
                packetID: id,
                properties: properties
            )
        )
    }

    static func puback(_ id: UInt16) -> Packet { .puback(Acknowledgement(packetID: id)) }
    static func pubrec(_ id: UInt16) -> Packet { .pubrec(Acknowledgement(packetID: id)) }
    static func pubrel(_ id: UInt16) -> Packet { .pubrel(Acknowledgement(packetID: id)) }
    static func pubcomp(_ id: UInt16) -> Packet { .pubcomp(Acknowledgement(packetID: id)) }
}

extension Publish {
    var text: String { String(buffer: payload) }
}

extension SimulatedSite {
    /// A message of the broker's own, as for the `$SYS` tree.
    func publish(_ topic: TopicName, _ text: String) throws {
        try act { core, now, effects in
            _ = core.publish(
                topic: topic,
                payload: ByteBuffer(string: text),
                qos: .atMostOnce,
                retain: false,
                origin: .broker,
                publisher: "",
                now: now,
                effects: &effects
            )
        }
    }
}
