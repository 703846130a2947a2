import Broker
import Journal
import MQTT
import NIOCore
import Synchronization
import TestSupport

/// One life of a broker: the real core and the real journal, driven as a site drives them, on a simulated machine.
final class BrokerProcess {
    let machine: Machine
    let kernel: Kernel
    let core: BrokerCore
    let journal: Journal?
    let stepper: JournalStepper?
    let watcher: any Watcher
    private let plant: Plant?
    private let notices: NoticeBox
    var effects = Effects()
    /// Connections by slot.
    private var connections: [Acceptor?] = []
    private var generations: [UInt32] = []
    private var touched: [Acceptor] = []
    private(set) var appendedThrough: UInt64
    private var isStepPlanned = false
    private var isLookPlanned = false
    private var isTurnPlanned = false
    private(set) var isDead = false
    private(set) var hasFailed = false
    /// Records that journal readers beside the core still need.
    var externalOldestNeeded: () -> UInt64 = { .max }

    // Checkpoints.
    private var bytesSince = 0
    private var waiting: (snapshot: BrokerSnapshot, through: UInt64, oldestNeeded: UInt64)?
    private var isWriting = false
    private var isAnyWritten = false
    /// Records before it are needed by nobody in the core, as far as the disk knows.
    private var retirableBefore: UInt64 = 0
    private var journalRoom = JournalRoom.ample

    /// Bytes towards a client from which on it counts as one that does not read.
    private static let unreadBytesMax = 6 * 1024
    private static let tickNanoseconds = Time.second / 2

    init(_ machine: Machine, _ core: BrokerCore, _ opened: OpenedJournal?, _ watcher: any Watcher, plant: Plant?) {
        self.machine = machine
        kernel = machine.kernel
        self.core = core
        journal = opened?.journal
        stepper = opened?.stepper
        notices = opened?.notices ?? NoticeBox()
        appendedThrough = (opened?.recovery.nextSequence ?? 1) - 1
        self.watcher = watcher
        self.plant = plant
        kernel.after(Self.tickNanoseconds) { [weak self] in self?.tick() }
    }

    /// The core is recovered: from here on its events count.
    func begin() { retirableBefore = min(core.oldestNeededRecord, appendedThrough + 1) }

    var time: BrokerTime {
        BrokerTime(monotonicNanoseconds: machine.monotonic, wallMilliseconds: machine.wall)
    }

    // MARK: - Connections

    /// Takes a connection.
    func accept(_ link: Link, from client: any LinkEnd, named peer: String, policy: ListenerPolicy) {
        let slot = connections.firstIndex { $0 == nil } ?? connections.count
        if slot == connections.count {
            connections.append(nil)
            generations.append(0)
        }
        generations[slot] += 1
        let id = ConnectionID(slot: UInt32(slot), generation: generations[slot])
        let acceptor = Acceptor(id, link, peer, self)
        connections[slot] = acceptor
        link.connect(client: client, server: acceptor)
        kernel.trace.note(.opened, link.number, slot)
        let info = ConnectionInfo(listener: "sim", remoteAddress: peer, policy: policy)
        core.opened(id, info: info, now: time)
    }

    private func connection(_ id: ConnectionID) -> Acceptor? {
        guard Int(id.slot) < connections.count, let found = connections[Int(id.slot)], found.id == id else {
            return nil
        }
        return found
    }

    func received(_ bytes: ByteBuffer, _ acceptor: Acceptor) {
        guard !isDead, !acceptor.isClosing else { return }
        acceptor.input.writeImmutableBuffer(bytes)
        let before = acceptor.input
        do throws(MQTTError) {
            if let plant {
                while !acceptor.isClosing, let packet = try acceptor.decoder.next(&acceptor.input) {
                    for packet in plant.altered(packet, acceptor, kernel) {
                        core.received(acceptor.id, packet, now: time, effects: &effects)
                    }
                }
            } else {
                try core.received(
                    acceptor.id,
                    bytes: &acceptor.input,
                    decoder: &acceptor.decoder,
                    now: time,
                    effects: &effects
                )
            }
        } catch {
            core.violated(acceptor.id, error: error, now: time, effects: &effects)
        }
        endTurn()
        guard !isDead else { return }
        watch(
            before.getSlice(at: before.readerIndex, length: acceptor.input.readerIndex - before.readerIndex),
            acceptor
        )
        acceptor.input.discardReadBytes()
    }

    /// Tells the checks what has been taken of a client.
    private func watch(_ taken: ByteBuffer?, _ acceptor: Acceptor) {
        guard var taken else { return }
        // A journal that has failed keeps nothing more.
        let record = hasFailed ? .max : appendedThrough
        while let packet = try? acceptor.shadow.next(&taken) {
            kernel.trace.say("    site < \(acceptor.peer) \(packet.line)")
            switch packet {
            case .disconnect(let disconnect) where disconnect.reason == .success:
                watcher.disconnected(acceptor.link, record: record, isKept: journal == nil)
            case .puback(let answer): watcher.settles(acceptor.peer, answer.packetID, record: record, acceptor.link)
            default: break
            }
        }
    }

    func ended(_ acceptor: Acceptor) {
        guard !isDead, connection(acceptor.id) != nil else { return }
        connections[Int(acceptor.id.slot)] = nil
        kernel.trace.say("    site: \(acceptor.peer) is gone")
        core.closed(acceptor.id, now: time, effects: &effects)
        endTurn()
    }

    func drained(_ acceptor: Acceptor) {
        guard !isDead, !acceptor.isWritable,
            acceptor.link.pending(from: .server) < Self.unreadBytesMax / 2
        else { return }
        acceptor.isWritable = true
        core.writabilityChanged(acceptor.id, isWritable: true, now: time, effects: &effects)
        endTurn()
    }

    // MARK: - Turns

    /// One call of the core and what it asks for.
    func turn(_ body: (BrokerCore, BrokerTime, inout Effects) -> Void) {
        guard !isDead else { return }
        body(core, time, &effects)
        endTurn()
    }

    private func endTurn() {
        core.endTurn(now: time, effects: &effects)
        while !isDead, !effects.list.isEmpty || !effects.journal.isEmpty {
            let turn = effects
            effects.removeAll()
            for effect in turn.list {
                if case .write(let id, let packets) = effect {
                    write(packets, from: turn.encoded, to: id)
                } else {
                    perform(effect)
                }
            }
            append(turn.journal)
            flush()
            core.endTurn(now: time, effects: &effects)
        }
        guard core.wantsAnotherTurn, !isTurnPlanned, !isDead else { return }
        isTurnPlanned = true
        kernel.after(200 * Time.microsecond) { [weak self] in
            guard let self, !isDead else { return }
            isTurnPlanned = false
            endTurn()
        }
    }

    private func tick() {
        guard !isDead else { return }
        lookAtRoom()
        seekRoom()
        turn { $0.tick(now: $1, effects: &$2) }
        kernel.after(Self.tickNanoseconds) { [weak self] in self?.tick() }
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .deliver(let id, let delivery):
            guard let acceptor = connection(id), !acceptor.isClosing else { return }
            let start = acceptor.output.writerIndex
            delivery.write(to: &acceptor.output)
            kernel.trace.say("    site > \(acceptor.peer) \(acceptor.packets(from: start).map(\.line))")
            sent(acceptor)
        case .acknowledge(let id, let kind, let packetID, let reason):
            let answer = Acknowledgement(packetID: packetID, reason: reason)
            switch kind {
            case .puback: send(.puback(answer), to: id)
            case .pubrec: send(.pubrec(answer), to: id)
            case .pubrel: send(.pubrel(answer), to: id)
            case .pubcomp: send(.pubcomp(answer), to: id)
            }
        case .send(let id, let packet): send(packet, to: id)
        case .close(let id, _): close(id)
        case .authenticate(let id, let request):
            kernel.within(machine.setup.hop) { [weak self] in
                self?.turn {
                    $0.authenticated(id, result: .accepted(username: request.username), now: $1, effects: &$2)
                }
            }
        case .load(let session, let records):
            kernel.within(machine.setup.diskLatency) { [weak self] in self?.load(session, records) }
        case .write, .control, .audit, .log: break
        }
    }

    /// Packets that are encoded already, side by side.
    private func write(_ packets: EncodedPackets, from encoded: ByteBuffer, to id: ConnectionID) {
        guard let acceptor = connection(id), !acceptor.isClosing else { return }
        let start = acceptor.output.writerIndex
        packets.write(from: encoded, to: &acceptor.output)
        for packet in acceptor.packets(from: start) {
            kernel.trace.say("    site > \(acceptor.peer) \(packet.line)")
            sent(acceptor)
        }
    }

    private func send(_ packet: Packet, to id: ConnectionID) {
        guard let acceptor = connection(id), !acceptor.isClosing else { return }
        PacketEncoder.encode(packet, version: acceptor.decoder.version ?? .v5, into: &acceptor.output)
        kernel.trace.say("    site > \(acceptor.peer) \(packet.line)")
        sent(acceptor)
    }

    private func sent(_ acceptor: Acceptor) {
        acceptor.link.versionsSent.append(watcher.rulesVersion)
        touched.append(acceptor)
    }

    private func flush() {
        let all = touched
        touched = []
        for acceptor in all where acceptor.output.readableBytes > 0 {
            acceptor.link.send(acceptor.output, from: .server)
            acceptor.output.clear()
            guard acceptor.isWritable, acceptor.link.pending(from: .server) > Self.unreadBytesMax else { continue }
            acceptor.isWritable = false
            core.writabilityChanged(acceptor.id, isWritable: false, now: time, effects: &effects)
        }
    }

    private func close(_ id: ConnectionID) {
        guard let acceptor = connection(id), !acceptor.isClosing else { return }
        acceptor.isClosing = true
        acceptor.link.send(acceptor.output, from: .server)
        acceptor.output.clear()
        acceptor.link.close(from: .server)
        kernel.within(machine.setup.hop) { [weak self] in self?.ended(acceptor) }
    }

    // MARK: - The journal

    private func append(_ records: JournalAppend) {
        guard !records.isEmpty, !hasFailed else { return }
        let last = records.firstSequence + UInt64(records.ends.count) - 1
        appendedThrough = last
        guard let journal else {
            core.committed(through: last, now: time, effects: &effects)
            return
        }
        journal.append(firstSequence: records.firstSequence, bytes: records.bytes, ends: records.ends)
        planStep()
        bytesSince += records.bytes.count
        if bytesSince >= machine.setup.checkpointBytes, waiting == nil, !isWriting { takeSnapshot() }
        if plant == .earlyAcknowledgement { core.committed(through: last, now: time, effects: &effects) }
    }

    private func planStep() {
        guard !isStepPlanned else { return }
        isStepPlanned = true
        kernel.within(machine.setup.diskLatency) { [weak self] in
            guard let self, !isDead else { return }
            isStepPlanned = false
            kernel.trace.note(.commit, Int(appendedThrough), machine.disk.calls)
            stepper?.step()
            guard machine.lookAtPower(), let journal else { return }
            if journal.isStalled { planStep() }
            planLook()
        }
    }

    private func planLook() {
        guard !isLookPlanned else { return }
        isLookPlanned = true
        kernel.within(machine.setup.hop) { [weak self] in
            guard let self, !isDead else { return }
            isLookPlanned = false
            look()
        }
    }

    /// What the journal has told since.
    private func look() {
        for notice in notices.take() {
            switch notice {
            case .committed(let sequence):
                kernel.trace.note(.notice, Int(sequence))
                turn { $0.committed(through: sequence, now: $1, effects: &$2) }
                watcher.committed(through: sequence)
                if let ready = waiting, ready.through <= sequence { planCheckpoint() }
            case .stalled, .short: kernel.trace.note(.stall)
            case .relieved: break
            case .failed:
                hasFailed = true
                kernel.trace.note(.diskFailure)
                turn { $0.journalFailed(now: $1, effects: &$2) }
                watcher.journalFailed()
            }
        }
        lookAtRoom()
    }

    /// Tells the core how much room the journal has.
    private func lookAtRoom() {
        guard let journal, !hasFailed, !isDead else { return }
        let room: JournalRoom =
            switch journal.room {
            case .ample: .ample
            case .reserve: .reserve
            case .none: .none
            }
        guard room != journalRoom else { return }
        let was = journalRoom
        journalRoom = room
        turn { $0.roomChanged(to: room, now: $1, effects: &$2) }
        if was == .ample { makeRoom() }
    }

    /// While there is no room, looks whether a checkpoint would free a segment.
    private func seekRoom() {
        guard let journal, !hasFailed, !isDead, journalRoom != .ample else { return }
        planStep()
        guard waiting == nil, !isWriting, journal.couldRetire(before: core.oldestNeededRecord) else { return }
        takeSnapshot()
    }

    private func makeRoom() {
        guard let journal, isAnyWritten || journal.firstSequence > 1 else { return }
        journal.retire(before: min(retirableBefore, externalOldestNeeded()))
        _ = machine.lookAtPower()
    }

    private func load(_ session: UInt32, _ records: [UInt64]) {
        guard !isDead else { return }
        var messages: [JournaledMessage] = []
        do throws(JournalError) {
            try journal?.read(sequences: records) { sequence, payload in
                let record = ByteBuffer(bytes: payload)
                messages += (try? JournalRecord.messages(of: record, sequence: sequence)) ?? []
                return true
            }
        } catch {
            watcher.unexpected("queued messages cannot be read: \(error)")
        }
        kernel.trace.say("    site reads \(records) for session \(session): \(messages.map(\.reference))")
        turn { $0.loaded(session: session, messages: messages, now: $1, effects: &$2) }
    }

    // MARK: - Checkpoints

    func takeSnapshot() {
        guard journal != nil, waiting == nil, !isWriting, !hasFailed else { return }
        bytesSince = 0
        waiting = (core.snapshot(), appendedThrough, core.oldestNeededRecord)
        // What it speaks of may be committed already.
        if let journal, journal.committedSequence >= appendedThrough { planCheckpoint() }
    }

    private func planCheckpoint() {
        guard let ready = waiting, !isWriting else { return }
        isWriting = true
        waiting = nil
        kernel.within(machine.setup.diskLatency) { [weak self] in
            guard let self, !isDead else { return }
            isWriting = false
            write(ready)
        }
    }

    private func write(_ ready: (snapshot: BrokerSnapshot, through: UInt64, oldestNeeded: UInt64)) {
        guard let journal else { return }
        kernel.trace.note(.checkpoint, Int(ready.through), machine.disk.calls)
        do throws(JournalError) {
            try journal.writeCheckpoint(through: ready.through, bytes: ready.snapshot.encode())
            isAnyWritten = true
            retirableBefore = min(ready.oldestNeeded, ready.through + 1)
            watcher.wroteCheckpoint()
            var oldest = min(ready.oldestNeeded, externalOldestNeeded(), ready.through + 1)
            if plant == .earlyRetirement { oldest = ready.through + 1 }
            journal.retire(before: oldest)
        } catch {
            // The last one stays good.
        }
        if machine.lookAtPower(), journal.isStalled { planStep() }
    }

    // MARK: - The end

    /// Says goodbye to all, and commits what is there.
    func shutDown() {
        turn { $0.shutDown(now: $1, effects: &$2) }
        journal?.close()
        stepper?.step()
        _ = notices.take().map { if case .committed(let sequence) = $0 { watcher.committed(through: sequence) } }
    }

    /// Ends it. What was under way to clients goes its own way.
    func die(_ part: (Link) -> Void) {
        isDead = true
        for case let acceptor? in connections { part(acceptor.link) }
        connections = []
        touched = []
        watcher.died(committed: journal?.committedSequence ?? 0)
    }
}

/// A journal that was opened, with what it tells.
struct OpenedJournal {
    let journal: Journal
    let stepper: JournalStepper
    let recovery: Recovery
    let notices: NoticeBox

    init(_ configuration: Journal.Configuration, _ disk: any Disk) throws(JournalError) {
        let box = NoticeBox()
        (journal, stepper, recovery) = try Journal.openStepped(configuration, disk: disk) { box.add($0) }
        notices = box
    }
}

/// What a journal has told and nobody has looked at.
final class NoticeBox: Sendable {
    private let notices = Mutex<[CommitNotice]>([])

    func add(_ notice: CommitNotice) { notices.withLock { $0.append(notice) } }

    func take() -> [CommitNotice] {
        notices.withLock { notices in
            defer { notices = [] }
            return notices
        }
    }
}
