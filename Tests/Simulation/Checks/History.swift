import MQTT
import NIOCore

/// What the world has promised and seen, held against the invariants of a site.
///
/// 1. what was acknowledged with QoS 1 or 2 is delivered or still queued; 2. QoS 2 comes exactly once; 3. the order of
/// each publisher, topic and QoS holds; 4. nothing comes that was not published; 5. nothing comes that is not allowed;
/// 6. the retained message is the last that was taken; 8. a will comes at most once, and never after a goodbye. 7 is
/// the cloud's, which is no part of the world. 0 stands for what the standard, or a healthy disk, rules out.
final class History {
    struct Violation: Sendable {
        let invariant: Int
        let text: String
        let time: UInt64
    }

    private struct WillState {
        /// The client has said goodbye, and that is on the disk.
        var isOver = false
    }

    let kernel: Kernel
    let rules: Rules
    var messages: [SimulatedMessage] = []
    private(set) var violations: [Violation] = []
    var counts = Counts()
    private var wills: [Int: WillState] = [:]
    private var goodbyes: [(will: Int, record: UInt64)] = []
    private var settling: [(device: Device, packetID: UInt16, message: Int, record: UInt64)] = []
    /// Members of the shared subscription.
    var members: [Device] = []
    private var devices: [String: Device] = [:]
    /// The last acknowledged retained message of each topic.
    private(set) var lastRetained: [String: Int] = [:]
    var onJournalFailure: () -> Void = {}

    static let sharedFilter = "$share/group/j/#"

    init(_ kernel: Kernel, _ rules: Rules) {
        self.kernel = kernel
        self.rules = rules
    }

    func add(_ device: Device) {
        devices[device.name] = device
        if device.traits.subscriptions.contains(where: { $0.filter == Self.sharedFilter }) { members.append(device) }
    }

    func fail(_ invariant: Int, _ text: String) {
        kernel.trace.note(.violation, invariant)
        kernel.trace.say("VIOLATION of \(invariant): \(text)")
        violations.append(Violation(invariant: invariant, text: text, time: kernel.now))
    }

    // MARK: - Publishers

    func publish(_ publisher: String, _ topic: String, _ qos: QoS, retain: Bool, clears: Bool) -> SimulatedMessage {
        var message = SimulatedMessage(
            number: messages.count,
            publisher: publisher,
            topic: topic,
            qos: qos,
            retain: retain,
            clears: clears
        )
        if topic.hasPrefix("x/") { message.fate = .void }
        messages.append(message)
        counts.published += 1
        kernel.trace.note(.publish, message.number, Int(qos.rawValue))
        kernel.trace.say("  \(publisher) publishes \(message.number) to \(topic) with QoS \(qos.rawValue)")
        return message
    }

    func acknowledged(_ number: Int) {
        kernel.trace.note(.acknowledged, number)
        guard messages[number].fate != .void else { return }
        messages[number].fate = .acknowledged
        counts.acknowledged += 1
        if messages[number].retain { lastRetained[messages[number].topic] = number }
    }

    func refused(_ number: Int) {
        kernel.trace.note(.refused, number)
        giveUp(number)
    }

    /// Its publisher will never know.
    func giveUp(_ number: Int) {
        if messages[number].fate == .open { messages[number].fate = .unknown }
    }

    /// A handler's output is decided, or never was.
    func decide(_ number: Int, isDecided: Bool) {
        messages[number].fate = isDecided ? .acknowledged : .void
        if isDecided { counts.acknowledged += 1 }
    }

    // MARK: - Wills

    /// The will of a connection that is about to be made.
    func will(_ client: String, on link: Link) -> SimulatedMessage {
        var message = SimulatedMessage(
            number: messages.count,
            publisher: client,
            topic: "w/\(client)",
            qos: .exactlyOnce,
            retain: false,
            clears: false
        )
        message.fate = .unknown
        messages.append(message)
        wills[message.number] = WillState()
        link.will = message.number
        return message
    }

    // MARK: - Receivers

    func asked(_ device: Device, _ filter: String) {
        guard !device.traits.isPersistent, filter.hasPrefix("r/") else { return }
        device.record.retainedFloor = lastRetained
    }

    /// Whether a member may leave the shared subscription: somebody else must be there.
    func mayLeave(_ device: Device, _ filter: String) -> Bool {
        guard filter == Self.sharedFilter else { return true }
        return members.contains { member in
            member !== device && member.holdings.contains { $0.want.filter == filter && $0.reliableFrom != nil }
        }
    }

    func lostSession(_ device: Device) { fail(1, "\(device.name) has lost its session") }

    /// A QoS 2 packet came, new or again.
    func given(_ publish: Publish, to device: Device, isOpen: Bool) {
        guard let number = SimulatedMessage.number(in: publish.payload) else { return }
        if isOpen, let other = device.record.given[publish.packetID], other != number {
            fail(2, "\(device.name): identifier \(publish.packetID) given to \(number), not over for \(other)")
        }
        device.record.given[publish.packetID] = number
    }

    /// The application is given a message.
    func delivered(_ publish: Publish, to device: Device, rules version: Int) {
        counts.delivered += 1
        let topic = publish.topic.string
        kernel.trace.note(.application, SimulatedMessage.number(in: publish.payload) ?? -1, Int(publish.qos.rawValue))
        if device.traits.username == Rules.visitor, !rules.allows(device.name, Rules.prefix(of: topic), at: version) {
            fail(5, "\(device.name) was sent a message of \(topic) that it may not be given")
        }
        if publish.payload.readableBytes == 0, topic.hasPrefix("r/") { return }
        guard let number = SimulatedMessage.number(in: publish.payload), messages.indices.contains(number),
            messages[number].topic == topic, messages[number].payload == publish.payload
        else {
            fail(4, "\(device.name) was given something on \(topic) that nobody published")
            return
        }
        kernel.trace.say("  \(device.name) is given \(number) of \(topic) with QoS \(publish.qos.rawValue)")
        let message = messages[number]
        guard message.fate != .void else {
            fail(4, "\(device.name) was given \(number) of \(topic), which was never allowed or decided")
            return
        }
        if publish.retain {
            device.record.given[publish.packetID] = number
            gotRetained(number, topic, device)
        } else {
            got(message, publish, device)
        }
    }

    private func gotRetained(_ number: Int, _ topic: String, _ device: Device) {
        device.record.retained[topic] = number
        guard !device.traits.isPersistent, let floor = device.record.retainedFloor[topic], number < floor else {
            return
        }
        fail(
            6,
            "\(device.name) was given \(number) as the retained message of \(topic), where \(floor) was taken later"
        )
    }

    private func got(_ message: SimulatedMessage, _ publish: Publish, _ device: Device) {
        let number = message.number
        let count = device.record.counts[number, default: 0]
        device.record.counts[number] = count + 1
        if let will = wills[number] {
            counts.wills += 1
            if will.isOver { fail(8, "\(device.name) was given the will \(number) of a client that had said goodbye") }
            if count > 0, publish.qos == .exactlyOnce { fail(8, "\(device.name) was given the will \(number) twice") }
            return
        }
        switch publish.qos {
        case .exactlyOnce:
            if count > 0 { fail(2, "\(device.name) was given \(number) of \(message.topic) twice with QoS 2") }
        case .atLeastOnce:
            if publish.duplicate, device.record.settled[publish.packetID] == number, !message.isRepeated {
                fail(2, "\(device.name) was sent \(number) again after its acknowledgement was on the disk")
            }
            device.record.settled[publish.packetID] = nil
            device.record.given[publish.packetID] = number
        case .atMostOnce: break
        }
        let isShared = message.topic.hasPrefix("j/")
        guard count == 0, !isShared else {
            if isShared { checkShared(message) }
            return
        }
        let stream = Record.Stream(publisher: message.publisher, topic: message.topic, qos: message.qos.rawValue)
        if let newest = device.record.newest[stream], newest > number {
            fail(3, "\(device.name) was given \(number) of \(message.topic) after \(newest)")
        }
        device.record.newest[stream] = number
    }

    private func checkShared(_ message: SimulatedMessage) {
        guard message.qos == .exactlyOnce else { return }
        let count = members.reduce(0) { $0 + ($1.record.counts[message.number] ?? 0) }
        if count > 1 { fail(2, "\(message.number) of \(message.topic) came \(count) times to the members of a group") }
    }
}

// MARK: - What the broker tells

extension History: Watcher {
    var rulesVersion: Int { rules.version }

    func disconnected(_ link: Link, record: UInt64, isKept: Bool) {
        guard link.will > 0 else { return }
        if isKept { wills[link.will]?.isOver = true } else { goodbyes.append((link.will, record)) }
    }

    func settles(_ peer: String, _ packetID: UInt16, record: UInt64, _ link: Link) {
        guard let device = devices[peer], let message = device.record.given[packetID] else { return }
        kernel.trace.say("  the site has the PUBACK \(packetID) of \(peer) for \(message) in record \(record)")
        settling.append((device, packetID, message, record))
    }

    func committed(through record: UInt64) {
        while let first = goodbyes.first, first.record <= record {
            wills[first.will]?.isOver = true
            goodbyes.removeFirst()
        }
        while let first = settling.first, first.record <= record {
            if first.device.record.given[first.packetID] == first.message {
                first.device.record.settled[first.packetID] = first.message
            }
            settling.removeFirst()
        }
    }

    func wroteCheckpoint() { counts.checkpoints += 1 }

    func journalFailed() { onJournalFailure() }

    func died(committed: UInt64) {
        self.committed(through: committed)
        goodbyes = []
        settling = []
    }

    func unexpected(_ text: String) { fail(0, text) }
}
