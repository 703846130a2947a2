import DequeModule
import MQTT
import NIOCore

/// What makes connections: a network that may be cut off.
protocol Network: AnyObject {
    /// Connects a client. Nil if nobody is there, or the way is blocked.
    func connect(_ client: any LinkEnd, named name: String) -> Link?
}

extension Packet {
    /// A packet in a word or two, for a trace.
    var line: String {
        switch self {
        case .connect(let connect): "CONNECT\(connect.cleanStart ? " clean" : "")"
        case .connack(let connack): "CONNACK\(connack.sessionPresent ? " present" : "") \(connack.reason.rawValue)"
        case .publish(let publish):
            "PUBLISH q\(publish.qos.rawValue) id \(publish.packetID)\(publish.duplicate ? " dup" : "")"
                + "\(publish.retain ? " retain" : "") \(publish.topic) \(SimulatedMessage.number(in: publish.payload) ?? -1)"
        case .puback(let answer): "PUBACK \(answer.packetID) \(answer.reason.rawValue)"
        case .pubrec(let answer): "PUBREC \(answer.packetID) \(answer.reason.rawValue)"
        case .pubrel(let answer): "PUBREL \(answer.packetID) \(answer.reason.rawValue)"
        case .pubcomp(let answer): "PUBCOMP \(answer.packetID) \(answer.reason.rawValue)"
        case .subscribe(let subscribe): "SUBSCRIBE \(subscribe.requests.map(\.filter))"
        case .suback(let suback): "SUBACK \(suback.reasons.map(\.rawValue))"
        case .unsubscribe(let unsubscribe): "UNSUBSCRIBE \(unsubscribe.filters)"
        case .disconnect(let disconnect): "DISCONNECT \(disconnect.reason.rawValue)"
        default: "other"
        }
    }
}

/// A client's end of a connection: packets in, packets out, and the keep alive.
class Endpoint: LinkEnd {
    enum State { case away, connecting, connected }

    let kernel: Kernel
    let name: String
    let version: ProtocolVersion
    unowned let network: any Network
    private(set) var state = State.away
    private(set) var link: Link?
    private var decoder = PacketDecoder(version: .v5, role: .client)
    private var input = ByteBuffer()
    private var lastSent: UInt64 = 0
    private var pingedAt: UInt64?
    /// Grows with each connection, so that what is planned for an old one is not done to a new one.
    private var generation = 0

    /// Nanoseconds without a packet after which a client pings.
    static let pingAfter = 1200 * Time.millisecond
    /// Nanoseconds after which it gives up waiting for CONNACK or PINGRESP.
    static let patience = 2 * Time.second
    /// Seconds of keep alive that it asks for.
    static let keepAliveSeconds: UInt16 = 2

    init(_ kernel: Kernel, name: String, version: ProtocolVersion, network: any Network) {
        self.kernel = kernel
        self.name = name
        self.version = version
        self.network = network
    }

    // MARK: - For subclasses

    /// What it connects with.
    func makeConnect(on link: Link) -> Connect { Connect(version: version, clientID: name) }
    /// CONNACK came.
    func accepted(_ connack: Connack) {}
    /// Another packet came; `rules` is the version of the rules when it was sent.
    func handle(_ packet: Packet, rules: Int) {}
    /// The connection is over.
    func lost() {}
    /// Something came that breaks the standard.
    func broken(_ text: String) {}

    // MARK: - Connections

    /// Connects, if it is away and somebody is there.
    func open() {
        guard state == .away, let link = network.connect(self, named: name) else { return }
        self.link = link
        state = .connecting
        generation += 1
        decoder = PacketDecoder(version: version, role: .client)
        input.clear()
        pingedAt = nil
        send(.connect(makeConnect(on: link)))
        let generation = generation
        kernel.after(Self.patience) { [weak self] in
            guard let self, self.generation == generation, state == .connecting else { return }
            abandon()
        }
        keepAlive(generation)
    }

    /// Sends a packet, if there is a connection.
    func send(_ packet: Packet) {
        guard let link else { return }
        var bytes = ByteBuffer()
        PacketEncoder.encode(packet, version: version, into: &bytes)
        lastSent = kernel.now
        kernel.trace.say("    \(name) > \(packet.line)")
        link.send(bytes, from: .client)
    }

    /// Says goodbye.
    func disconnect() {
        guard state == .connected else { return }
        send(.disconnect(Disconnect()))
        let old = link
        over()
        old?.close(from: .client)
    }

    /// Lets the connection go without a word.
    func abandon() {
        let old = link
        over()
        old?.abandon(.client)
    }

    private func over() {
        guard state != .away else { return }
        state = .away
        link = nil
        generation += 1
        lost()
    }

    private func keepAlive(_ generation: Int) {
        kernel.after(Self.pingAfter / 2) { [weak self] in
            guard let self, self.generation == generation else { return }
            if let pingedAt, kernel.now - pingedAt > Self.patience {
                abandon()
                return
            }
            if state == .connected, pingedAt == nil, kernel.now - lastSent >= Self.pingAfter {
                pingedAt = kernel.now
                send(.pingreq)
            }
            keepAlive(generation)
        }
    }

    // MARK: - LinkEnd

    func linkReceived(_ bytes: ByteBuffer) {
        input.writeImmutableBuffer(bytes)
        do throws(MQTTError) {
            while let link, let packet = try decoder.next(&input) {
                take(packet, rules: link.versionsSent.popFirst() ?? 0)
            }
        } catch {
            broken("\(name) was sent what it cannot read: \(error)")
            abandon()
        }
        input.discardReadBytes()
    }

    private func take(_ packet: Packet, rules: Int) {
        kernel.trace.say("    \(name) < \(packet.line)")
        switch packet {
        case .connack(let connack):
            guard state == .connecting, !connack.reason.isError else {
                abandon()
                return
            }
            state = .connected
            accepted(connack)
        case .pingresp: pingedAt = nil
        case .disconnect: abandon()
        default: handle(packet, rules: rules)
        }
    }

    func linkEnded() { over() }

    func linkDrained() {}
}
