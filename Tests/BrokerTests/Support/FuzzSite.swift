import MQTT
import NIOCore

@testable import Broker

/// A core with small limits, a simulated journal and clients that remember what they may be given. It checks, effect by
/// effect and turn by turn, what must hold whatever the clients do.
final class FuzzSite {
    /// A connection as its client sees it.
    private struct Client {
        var version: ProtocolVersion
        var decoder: PacketDecoder
        var receiveMaximum: Int
        var name: String
        /// QoS 1 and 2 messages given and not acknowledged: whether PUBREC was sent.
        var unanswered: [UInt16: (qos: QoS, isReceived: Bool)] = [:]
        /// Identifiers of PUBREC that answered nothing; the core ends them with PUBREL.
        var strayReceipts: Set<UInt16> = []
        /// Identifiers of PUBREC that answered a message.
        var receipts: Set<UInt16> = []
        var isConnected = false
        var aliases: [UInt16: TopicName] = [:]
    }

    private let configuration: BrokerConfiguration
    private let gate = FuzzGate()
    private var core: BrokerCore
    private var effects = Effects()
    private var now = BrokerTime(monotonicNanoseconds: 1_000_000_000, wallMilliseconds: 1_700_000_000_000)
    private var generations: [UInt32: UInt32] = [:]
    private var clients: [UInt32: Client] = [:]
    private var records: [UInt64: ByteBuffer] = [:]
    private var lastSequence: UInt64 = 0
    private var committed: UInt64 = 0
    private var checkpoint: (sequence: UInt64, bytes: ByteBuffer)?
    private var loads: [(session: UInt32, records: [UInt64])] = []
    private var journalFailed = false
    private var assigned = 0

    init(configuration flags: UInt8) {
        var configuration = BrokerConfiguration()
        configuration.inflightMessagesMax = 3
        configuration.queuedMessagesMax = 6
        configuration.queuedBytesMax = 2_000
        configuration.queuedMemoryBytesMax = 1_000
        configuration.queuedResidentBytesMax = 300
        configuration.overflow = flags & 1 == 0 ? .dropNewest : .dropOldest
        configuration.loadBatchMessages = 2
        configuration.receiveMaximum = 3
        configuration.topicAliasMaximum = 3
        configuration.topicLevelsMax = 4
        configuration.subscriptionsPerSessionMax = 4
        configuration.retainedMessagesMax = 4
        configuration.sessionsMax = 4
        configuration.routeCacheEntriesMax = 3
        configuration.packetsBeforeConnackMax = 2
        configuration.bookkeepingRecordBytesMax = 128
        configuration.isDurable = flags & 2 == 0
        self.configuration = configuration
        core = BrokerCore(configuration: configuration, authorizer: gate)
    }

    func isV5(_ slot: UInt32) -> Bool { clients[slot]?.version == .v5 }

    private func id(_ slot: UInt32) -> ConnectionID { ConnectionID(slot: slot, generation: generations[slot] ?? 0) }

    // MARK: - Events

    func open(_ slot: UInt32, _ connect: Connect) throws {
        if clients[slot] != nil { try close(slot) }
        generations[slot, default: 0] += 1
        let window = connect.properties.first { if case .receiveMaximum(let value) = $0 { Int(value) } else { nil } }
        clients[slot] = Client(
            version: connect.version,
            decoder: PacketDecoder(version: connect.version, role: .client),
            receiveMaximum: window ?? 65_535,
            name: connect.clientID
        )
        core.opened(
            id(slot),
            info: ConnectionInfo(listener: "fuzz", remoteAddress: "fuzz", allowAnonymous: true),
            now: now
        )
        try send(slot, .connect(connect))
    }

    func send(_ slot: UInt32, _ packet: Packet) throws {
        guard let client = clients[slot] else { return }
        noteAnswer(packet, of: slot)
        // As on the wire: what the encoder cannot write or the decoder refuses never reaches the core.
        var bytes = ByteBuffer()
        guard PacketEncoder.encode(packet, version: client.version, into: &bytes) else { return }
        var isConnect = false
        if case .connect = packet { isConnect = true }
        var decoder = PacketDecoder(version: isConnect ? nil : client.version, role: .server)
        do {
            try core.received(id(slot), bytes: &bytes, decoder: &decoder, now: now, effects: &effects)
        } catch {
            core.violated(id(slot), error: error, now: now, effects: &effects)
        }
        try settle()
    }

    /// Any answer ends what the core takes it for, whether the client meant it or not.
    private func noteAnswer(_ packet: Packet, of slot: UInt32) {
        guard let client = clients[slot] else { return }
        switch packet {
        case .puback(let answer) where client.unanswered[answer.packetID]?.qos == .atLeastOnce:
            clients[slot]?.unanswered[answer.packetID] = nil
        case .pubrec(let answer):
            guard let message = client.unanswered[answer.packetID], message.qos == .exactlyOnce else {
                clients[slot]?.strayReceipts.insert(answer.packetID)
                break
            }
            clients[slot]?.receipts.insert(answer.packetID)
            if answer.reason.isError { clients[slot]?.unanswered[answer.packetID] = nil }
        case .pubcomp(let answer) where client.receipts.contains(answer.packetID):
            clients[slot]?.receipts.remove(answer.packetID)
            clients[slot]?.unanswered[answer.packetID] = nil
        default: break
        }
    }

    /// The client answers one of the messages that it was given, as it should.
    func acknowledge(_ slot: UInt32, choice: UInt8) throws {
        guard let client = clients[slot], !client.unanswered.isEmpty else { return }
        let identifiers = client.unanswered.keys.sorted()
        let packetID = identifiers[Int(choice) % identifiers.count]
        guard let message = client.unanswered[packetID] else { return }
        let answer = Acknowledgement(packetID: packetID)
        switch (message.qos, message.isReceived) {
        case (.exactlyOnce, false): try send(slot, .pubrec(answer))
        case (.exactlyOnce, true):
            clients[slot]?.unanswered[packetID] = nil
            try send(slot, .pubcomp(answer))
        default:
            clients[slot]?.unanswered[packetID] = nil
            try send(slot, .puback(answer))
        }
    }

    func close(_ slot: UInt32) throws {
        guard clients[slot] != nil else { return }
        clients[slot] = nil
        core.closed(id(slot), now: now, effects: &effects)
        try settle()
    }

    func setWritable(_ slot: UInt32, _ isWritable: Bool) throws {
        guard clients[slot] != nil else { return }
        core.writabilityChanged(id(slot), isWritable: isWritable, now: now, effects: &effects)
        try settle()
    }

    func pass(seconds: UInt64) throws {
        now.monotonicNanoseconds += seconds * 1_000_000_000
        now.wallMilliseconds += Int64(seconds) * 1_000
        core.tick(now: now, effects: &effects)
        try settle()
    }

    func system() throws {
        core.publishSystemTree(TransportStatistics(), now: now, effects: &effects)
        try settle()
    }

    func changeAccess(shut: UInt8) throws {
        gate.shut = shut
        var change = AccessChange()
        if shut & 4 != 0 { change = AccessChange(revokedUsernames: ["u1"]) }
        core.accessChanged(change, now: now, effects: &effects)
        try settle()
    }

    func commit() throws {
        guard !journalFailed, committed < lastSequence else { return }
        committed = lastSequence
        core.committed(through: committed, now: now, effects: &effects)
        try settle()
    }

    func failJournal() throws {
        guard configuration.isDurable, !journalFailed else { return }
        journalFailed = true
        core.journalFailed(now: now, effects: &effects)
        try settle()
    }

    func answerLoads() throws {
        let asked = loads
        loads = []
        for item in asked {
            var messages: [JournaledMessage] = []
            for sequence in item.records {
                guard sequence <= committed else {
                    throw FuzzFinding("record \(sequence) is asked for before its commit")
                }
                guard let record = records[sequence] else {
                    throw FuzzFinding("record \(sequence) is needed, and gone too early")
                }
                messages += try JournalRecord.messages(of: record, sequence: sequence)
            }
            core.loaded(session: item.session, messages: messages, now: now, effects: &effects)
            try settle()
        }
    }

    /// The process dies, and starts again with what is on the disk.
    func crash(withCheckpoint: Bool) throws {
        if withCheckpoint && !journalFailed {
            try commit()
            let snapshot = core.snapshot()
            checkpoint = (snapshot.sequence, ByteBuffer(bytes: snapshot.encode()))
            let needed = min(core.oldestNeededRecord, snapshot.sequence + 1)
            records = records.filter { $0.key >= needed }
        }
        // With all on the disk, the journal alone must give the same as a checkpoint.
        let durable = committed == lastSequence && !journalFailed ? Durable(core, now) : nil
        for sequence in records.keys where sequence > committed { records[sequence] = nil }
        lastSequence = committed
        effects = Effects()
        clients = [:]
        loads = []
        journalFailed = false
        core = BrokerCore(configuration: configuration, authorizer: gate)
        if let checkpoint { try core.recover(checkpoint: checkpoint.bytes) }
        let first = (checkpoint?.sequence ?? 0) + 1
        if first <= committed {
            for sequence in first...committed {
                guard let record = records[sequence] else { throw FuzzFinding("record \(sequence) is gone too early") }
                try core.recover(record: record, sequence: sequence)
            }
        }
        core.finishRecovery(nextSequence: lastSequence + 1, now: now)
        try settle()
        if let durable, configuration.isDurable { try durable.check(core, now) }
    }

    /// Every connection goes, and with it every session that was not to last.
    func end() throws {
        for slot in Array(clients.keys) { try close(slot) }
        try commit()
        try check()
        for case let session? in core.sessions where !session.isPersistent {
            throw FuzzFinding("session \(session.number) outlives its connection")
        }
        for case let connection? in core.connections {
            throw FuzzFinding("connection \(connection.id) outlives its transport")
        }
    }

    // MARK: - Effects

    private func settle() throws {
        core.endTurn(now: now, effects: &effects)
        while !effects.list.isEmpty || !effects.journal.isEmpty {
            let turn = effects
            effects.removeAll()
            try append(turn.journal)
            for effect in turn.list { try perform(effect, of: turn) }
            core.endTurn(now: now, effects: &effects)
        }
    }

    private func append(_ journal: JournalAppend) throws {
        guard !journal.isEmpty else { return }
        guard journal.firstSequence == lastSequence + 1 else { throw FuzzFinding("the journal's sequence has a gap") }
        guard configuration.isDurable else { throw FuzzFinding("a record, though there is no journal") }
        var start = 0
        for (index, end) in journal.ends.enumerated() {
            guard end > start else { throw FuzzFinding("a record is empty") }
            records[journal.firstSequence + UInt64(index)] = ByteBuffer(bytes: journal.bytes[start..<end])
            start = end
        }
        guard start == journal.bytes.count else { throw FuzzFinding("bytes after the last record") }
        lastSequence += UInt64(journal.ends.count)
    }

    private func perform(_ effect: Effect, of turn: Effects) throws {
        switch effect {
        case .send(let id, let packet):
            var bytes = ByteBuffer()
            guard let client = clients[id.slot], id == self.id(id.slot) else { return }
            guard PacketEncoder.encode(packet, version: client.version, into: &bytes) else {
                throw FuzzFinding("a packet that cannot be encoded: \(packet)")
            }
            try take(id, &bytes)
        case .acknowledge(let id, let kind, let packetID, let reason):
            let answer = Acknowledgement(packetID: packetID, reason: reason)
            let packet: Packet =
                switch kind {
                case .puback: .puback(answer)
                case .pubrec: .pubrec(answer)
                case .pubrel: .pubrel(answer)
                case .pubcomp: .pubcomp(answer)
                }
            try perform(.send(id, packet), of: turn)
        case .write(let id, let packets):
            var bytes = ByteBuffer()
            packets.write(from: turn.encoded, to: &bytes)
            while bytes.readableBytes > 0 { try take(id, &bytes, isAlone: false) }
        case .deliver(let id, let delivery):
            var bytes = ByteBuffer()
            delivery.write(to: &bytes)
            try take(id, &bytes)
        case .close(let id, _):
            guard id == self.id(id.slot), clients[id.slot] != nil else { return }
            clients[id.slot] = nil
            core.closed(id, now: now, effects: &effects)
        case .authenticate(let id, let request):
            let result: AuthenticationResult =
                request.username == "u3" ? .refused(.notAuthorized) : .accepted(username: request.username)
            core.authenticated(id, result: result, now: now, effects: &effects)
        case .load(let session, let records): loads.append((session, records))
        case .control, .audit, .log: break
        }
    }

    // MARK: - What a client is given

    private func take(_ id: ConnectionID, _ bytes: inout ByteBuffer, isAlone: Bool = true) throws {
        guard id == self.id(id.slot), var client = clients[id.slot] else {
            bytes.clear()
            return
        }
        defer { if clients[id.slot] != nil { clients[id.slot] = client } }
        guard let packet = try client.decoder.next(&bytes), bytes.readableBytes == 0 || !isAlone else {
            throw FuzzFinding("not one whole packet")
        }
        switch packet {
        case .connack(let connack):
            guard !client.isConnected else { throw FuzzFinding("a second CONNACK") }
            client.isConnected = !connack.reason.isError
        case .publish(let publish):
            guard client.isConnected else { throw FuzzFinding("PUBLISH before CONNACK") }
            try check(publish, &client)
        case .pubrel(let answer):
            guard client.unanswered[answer.packetID]?.qos != .atLeastOnce else {
                throw FuzzFinding("PUBREL for a message of QoS 1")
            }
            // It ends what never began, and opens nothing.
            guard client.strayReceipts.remove(answer.packetID) == nil else { break }
            client.unanswered[answer.packetID] = (.exactlyOnce, true)
        case .disconnect, .suback, .unsuback, .puback, .pubrec, .pubcomp, .pingresp, .auth:
            guard client.isConnected else { throw FuzzFinding("\(packet) before CONNACK") }
        default: throw FuzzFinding("a packet that only a client sends: \(packet)")
        }
    }

    private func check(_ publish: Publish, _ client: inout Client) throws {
        var topic = publish.topic
        if let alias = publish.properties.first({ if case .topicAlias(let value) = $0 { value } else { nil } }) {
            if topic.isEmpty {
                guard let known = client.aliases[alias] else { throw FuzzFinding("a topic alias that was never set") }
                topic = known
            } else {
                client.aliases[alias] = topic
            }
        }
        guard !gate.isShut(topic) else { throw FuzzFinding("a message of \(topic), which nobody may have") }
        guard publish.qos != .atMostOnce else { return }
        if client.unanswered[publish.packetID] != nil && !publish.duplicate {
            throw FuzzFinding("packet identifier \(publish.packetID) is used twice")
        }
        client.unanswered[publish.packetID] = (publish.qos, false)
        let window = min(client.receiveMaximum, configuration.inflightMessagesMax)
        guard client.unanswered.count <= window else {
            throw FuzzFinding("\(client.unanswered.count) messages in flight, at most \(window)")
        }
    }

    // MARK: - What holds between turns

    func check() throws {
        var subscriptions = 0
        for case let session? in core.sessions {
            subscriptions += session.subscriptions.count
            try check(session)
        }
        guard core.table.count == subscriptions else {
            throw FuzzFinding("\(core.table.count) subscriptions in the tree, \(subscriptions) in the sessions")
        }
        let shared = core.sessions.reduce(0) { $0 + ($1?.subscriptions.keys.count { $0.isShared } ?? 0) }
        guard core.table.sharedCount == shared else { throw FuzzFinding("the count of shared subscriptions is wrong") }
        guard core.sessionsByIdentity.count <= configuration.sessionsMax else { throw FuzzFinding("too many sessions") }
        guard core.retained.count <= configuration.retainedMessagesMax else {
            throw FuzzFinding("too much is retained")
        }
        var bytes = 0
        core.retained.forEach { _, message in bytes += message.storedBytes }
        guard bytes == core.retainedBytes else { throw FuzzFinding("the bytes of retained messages are miscounted") }
        for case let connection? in core.connections where connection.state == .connected {
            guard connection.session?.connection === connection else {
                throw FuzzFinding("a connected client without its session")
            }
        }
    }

    private func check(_ session: Session) throws {
        let name = "session \(session.number)"
        guard core.sessionsByNumber[session.number] === session else {
            throw FuzzFinding("\(name) is not in the table")
        }
        guard session.subscriptions.count <= configuration.subscriptionsPerSessionMax else {
            throw FuzzFinding("\(name) has too many subscriptions")
        }
        guard session.queue.count <= configuration.queuedMessagesMax else {
            throw FuzzFinding("\(name): queue too long")
        }
        let bytes = session.queue.reduce(0) { $0 + Int($1.byteCount) }
        let resident = session.queue.reduce(0) { $0 + ($1.message == nil ? 0 : Int($1.byteCount)) }
        guard bytes == session.queuedBytes, resident == session.queuedResidentBytes else {
            throw FuzzFinding("\(name): the queue's bytes are miscounted")
        }
        guard bytes <= configuration.queuedBytesMax else { throw FuzzFinding("\(name): too many bytes queued") }
    }
}

/// What a restart must give back.
private struct Durable {
    private var sessions: [Identity: Set<String>] = [:]
    private var retained: Set<String> = []

    init(_ core: BrokerCore, _ now: BrokerTime) {
        for case let session? in core.sessions where session.isPersistent {
            sessions[session.identity] = Set(session.subscriptions.keys.map(\.string))
        }
        // What has expired is removed when somebody asks for it, and is nobody's loss.
        core.retained.forEach { topic, message in
            if message.expiresNanoseconds > now.monotonicNanoseconds { retained.insert(topic.string) }
        }
    }

    func check(_ core: BrokerCore, _ now: BrokerTime) throws {
        let after = Durable(core, now)
        guard after.sessions == sessions else {
            throw FuzzFinding("a restart changes sessions: \(sessions), \(after.sessions)")
        }
        guard after.retained == retained else { throw FuzzFinding("a restart changes what is retained") }
    }
}

/// Shuts topics by their first letter.
private final class FuzzGate: Authorizer, @unchecked Sendable {
    // SAFETY: a script runs on one thread.
    var shut: UInt8 = 0

    func isShut(_ topic: TopicName) -> Bool {
        switch topic.bytes.getInteger(at: topic.bytes.readerIndex, as: UInt8.self) {
        case UInt8(ascii: "a"): shut & 1 != 0
        case UInt8(ascii: "b"): shut & 2 != 0
        default: false
        }
    }

    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { !isShut(topic) }
    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        shut & 1 == 0 || !filter.string.hasPrefix("a")
    }
    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { !isShut(topic) }
    func allowsEverything(_ identity: Identity) -> Bool { shut == 0 }
}
