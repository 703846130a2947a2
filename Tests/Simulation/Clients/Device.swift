import DequeModule
import MQTT
import NIOCore

/// A client that follows the standard: it publishes, subscribes, answers, goes and comes back, and loses nothing of its
/// own. What it saw is told to the checks.
final class Device: Endpoint {
    /// What it is like.
    struct Traits {
        var name: String
        var version = ProtocolVersion.v3_1_1
        var username: String?
        /// Whether its session outlives its connections; else each begins anew.
        var isPersistent = true
        /// The number in its topics, if it publishes.
        var publisher: Int?
        var subscriptions: [Want] = []
        /// Whether it names a will.
        var hasWill = false
        /// Messages on the way to it that it takes at once (5.0).
        var receiveMaximum: UInt16?
        /// Times in a thousand that it lets answers wait.
        var slowness = 0
        /// Nanoseconds from one thing that it does to the next.
        var pace: ClosedRange<UInt64> = 5 * Time.millisecond...60 * Time.millisecond
    }

    /// A subscription that it wants.
    struct Want {
        var filter: String
        var qos: QoS
        /// Whether it ends it now and then.
        var isFickle = false
    }

    /// A subscription as it stands.
    struct Holding {
        var want: Want
        var isAsked = false
        var isHeld = false
        /// Messages from this number on were published while it stood; nil if there is nothing to rely on.
        var reliableFrom: Int?
        /// The version of the rules when it was asked for.
        var rulesAsked = 0
    }

    struct Exchange {
        let packetID: UInt16
        let message: Int
        var isReceived = false
    }

    let traits: Traits
    let history: History
    private(set) var holdings: [Holding]
    /// Exchanges as a publisher, in order.
    private(set) var open: [Exchange] = []
    private var nextPacketID: UInt16 = 1
    private var window = Device.exchangesMax
    /// QoS 2 identifiers that were taken and not released: a repetition is not given to the application.
    private var taken: Set<UInt16> = []
    private var answers: Deque<Packet> = []
    private var areAnswersPlanned = false
    private var sessionWasPromised = false
    private var lastAsked = 0
    /// Nothing new is done, only what is open is finished.
    var isResting = false
    /// What the application was given; the checks keep it.
    var record = Record()

    private static let exchangesMax = 5
    /// Few identifiers, so that each is soon used again.
    private static let packetIDs: UInt16 = 6
    private static let subscribeID: UInt16 = 100

    init(_ kernel: Kernel, _ traits: Traits, _ network: any Network, _ history: History) {
        self.traits = traits
        self.history = history
        holdings = traits.subscriptions.map { Holding(want: $0) }
        super.init(kernel, name: traits.name, version: traits.version, network: network)
        kernel.within(traits.pace) { [weak self] in self?.act() }
    }

    // MARK: - What it does

    private func act() {
        kernel.within(traits.pace) { [weak self] in self?.act() }
        switch state {
        case .away:
            if isResting || kernel.chance(perMille: 300) { open() }
        case .connecting: break
        case .connected:
            if isResting {
                subscribe()
            } else {
                actConnected()
            }
        }
    }

    private func actConnected() {
        switch kernel.draw(0...999) {
        case 0..<6: disconnect()
        case 6..<14: abandon()
        case 14..<24: unsubscribe()
        case 24..<140: subscribe()
        default: if let publisher = traits.publisher { publish(publisher) }
        }
    }

    private func publish(_ publisher: Int) {
        guard open.count < window else { return }
        let qos = kernel.pick([QoS.atMostOnce, .atLeastOnce, .atLeastOnce, .exactlyOnce, .exactlyOnce])
        let draw = kernel.draw(0...99)
        switch draw {
        case 0..<55: send("t/\(publisher)/\(draw % 2)", qos)
        case 55..<75: send("j/\(publisher)", qos == .atMostOnce ? .atLeastOnce : qos)
        case 75..<83: send("r/\(publisher)/0", .atLeastOnce, retain: true)
        case 83..<91: send("r/\(publisher)/1", .exactlyOnce, retain: true)
        case 91..<95: send("r/\(publisher)/2", .atMostOnce, retain: true)
        default: send("x/\(publisher)", qos)
        }
    }

    private func send(_ topic: String, _ qos: QoS, retain: Bool = false) {
        var packetID: UInt16 = 0
        if qos != .atMostOnce {
            guard let free = freePacketID() else { return }
            packetID = free
        }
        let clears = retain && kernel.chance(perMille: 150)
        let message = history.publish(name, topic, qos, retain: retain, clears: clears)
        if packetID > 0 { open.append(Exchange(packetID: packetID, message: message.number)) }
        send(message, packetID, isAgain: false)
    }

    private func send(_ message: SimulatedMessage, _ packetID: UInt16, isAgain: Bool) {
        send(
            .publish(
                Publish(
                    topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
                    payload: message.payload,
                    qos: message.qos,
                    retain: message.retain,
                    duplicate: isAgain,
                    packetID: packetID
                )
            )
        )
    }

    private func freePacketID() -> UInt16? {
        for _ in 0..<Self.packetIDs {
            nextPacketID = nextPacketID % Self.packetIDs + 1
            if !open.contains(where: { $0.packetID == nextPacketID }) { return nextPacketID }
        }
        return nil
    }

    // MARK: - Subscriptions

    private func subscribe() {
        // One after the other: what is refused today may be granted tomorrow.
        let places = holdings.indices.map { (lastAsked + 1 + $0) % holdings.count }
        guard let index = places.first(where: { !holdings[$0].isHeld && !holdings[$0].isAsked }) else { return }
        lastAsked = index
        holdings[index].isAsked = true
        holdings[index].rulesAsked = history.rulesVersion
        let want = holdings[index].want
        history.asked(self, want.filter)
        let options = SubscriptionOptions(qos: want.qos)
        let request = Subscribe.Request(filter: want.filter, options: options)
        send(.subscribe(Subscribe(packetID: Self.subscribeID + UInt16(index), requests: [request])))
    }

    private func unsubscribe() {
        guard let index = holdings.firstIndex(where: { $0.isHeld && $0.want.isFickle }) else { return }
        guard history.mayLeave(self, holdings[index].want.filter) else { return }
        holdings[index].reliableFrom = nil
        holdings[index].isHeld = false
        let filter = holdings[index].want.filter
        send(.unsubscribe(Unsubscribe(packetID: Self.subscribeID + UInt16(index), filters: [filter])))
    }

    private func subscribed(_ suback: Suback) {
        let index = Int(suback.packetID) - Int(Self.subscribeID)
        guard holdings.indices.contains(index), holdings[index].isAsked else { return }
        holdings[index].isAsked = false
        guard suback.reasons.allSatisfy({ !$0.isError }) else { return }
        holdings[index].isHeld = true
        sessionWasPromised = traits.isPersistent
        let wasStable = history.rules.isUnchanged(name, since: holdings[index].rulesAsked)
        guard traits.isPersistent, wasStable else { return }
        holdings[index].reliableFrom = history.messages.count
    }

    /// The rules have changed: what the client is not told, it cannot rely on. It asks again some time.
    func shutOut(of prefix: String) {
        for index in holdings.indices where Rules.prefix(of: holdings[index].want.filter) == prefix {
            holdings[index].reliableFrom = nil
            holdings[index].isHeld = false
        }
    }

    // MARK: - Connections

    override func makeConnect(on link: Link) -> Connect {
        var connect = Connect(
            version: version,
            clientID: name,
            cleanStart: !traits.isPersistent,
            keepAliveSeconds: Self.keepAliveSeconds,
            username: traits.username
        )
        if version == .v5 {
            if traits.isPersistent { connect.properties.values.append(.sessionExpiryInterval(.max)) }
            if let maximum = traits.receiveMaximum { connect.properties.values.append(.receiveMaximum(maximum)) }
        }
        if traits.hasWill {
            let message = history.will(name, on: link)
            connect.will = Will(
                topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
                payload: message.payload,
                qos: .exactlyOnce,
                retain: false
            )
            if version == .v5, kernel.chance(perMille: 500) {
                connect.will?.properties.values.append(.willDelayInterval(kernel.draw(1...3)))
            }
        }
        return connect
    }

    override func accepted(_ connack: Connack) {
        window = Self.exchangesMax
        if let maximum = connack.properties.first({ if case .receiveMaximum(let value) = $0 { value } else { nil } }) {
            window = min(window, Int(maximum))
        }
        // MQTT 3.1 does not say whether there is a session: its clients go on as if there were.
        guard connack.sessionPresent || (version == .v3_1 && traits.isPersistent) else {
            if traits.isPersistent, sessionWasPromised { history.lostSession(self) }
            begin()
            return
        }
        for exchange in open {
            if exchange.isReceived {
                send(.pubrel(Acknowledgement(packetID: exchange.packetID)))
            } else {
                history.messages[exchange.message].isRepeated = true
                send(history.messages[exchange.message], exchange.packetID, isAgain: true)
            }
        }
    }

    /// The session is new: what was open is given up.
    private func begin() {
        for exchange in open { history.giveUp(exchange.message) }
        open = []
        taken = []
        record.forgetSession()
        for index in holdings.indices {
            holdings[index].isHeld = false
            holdings[index].isAsked = false
            holdings[index].reliableFrom = nil
        }
    }

    override func lost() {
        answers = []
        for index in holdings.indices where holdings[index].isAsked {
            holdings[index].isAsked = false
        }
    }

    override func broken(_ text: String) { history.fail(0, text) }

    // MARK: - Packets

    override func handle(_ packet: Packet, rules: Int) {
        switch packet {
        case .publish(let publish): received(publish, rules: rules)
        case .puback(let answer): ended(answer)
        case .pubrec(let answer):
            guard !answer.reason.isError else {
                ended(answer)
                return
            }
            guard let index = open.firstIndex(where: { $0.packetID == answer.packetID }) else { return }
            open[index].isReceived = true
            send(.pubrel(Acknowledgement(packetID: answer.packetID)))
        case .pubcomp(let answer): ended(answer)
        case .pubrel(let release):
            taken.remove(release.packetID)
            answer(.pubcomp(Acknowledgement(packetID: release.packetID)))
        case .suback(let suback): subscribed(suback)
        default: break
        }
    }

    private func ended(_ answer: Acknowledgement) {
        guard let index = open.firstIndex(where: { $0.packetID == answer.packetID }) else { return }
        let exchange = open.remove(at: index)
        // A PUBCOMP ends an exchange that was acknowledged, whatever it says.
        if answer.reason.isError && !exchange.isReceived {
            history.refused(exchange.message)
        } else {
            history.acknowledged(exchange.message)
        }
    }

    private func received(_ publish: Publish, rules: Int) {
        var isNew = true
        switch publish.qos {
        case .atMostOnce: break
        case .atLeastOnce: answer(.puback(Acknowledgement(packetID: publish.packetID)))
        case .exactlyOnce:
            history.given(publish, to: self, isOpen: taken.contains(publish.packetID))
            isNew = taken.insert(publish.packetID).inserted
            answer(.pubrec(Acknowledgement(packetID: publish.packetID)))
        }
        if isNew { history.delivered(publish, to: self, rules: rules) }
    }

    /// Answers, now or later, but in order.
    private func answer(_ packet: Packet) {
        answers.append(packet)
        guard !areAnswersPlanned else { return }
        guard !isResting, kernel.chance(perMille: traits.slowness) else {
            sendAnswers()
            return
        }
        areAnswersPlanned = true
        kernel.within(Time.millisecond...400 * Time.millisecond) { [weak self] in
            guard let self else { return }
            areAnswersPlanned = false
            sendAnswers()
        }
    }

    private func sendAnswers() {
        while let packet = answers.popFirst() { send(packet) }
    }
}
