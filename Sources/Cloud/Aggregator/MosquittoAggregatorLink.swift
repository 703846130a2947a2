public import MosquittoClient
internal import Synchronization

/// A link through libmosquitto: MQTT 5.0, or 3.1.1 with the stamp in the envelope.
public final class MosquittoAggregatorLink: AggregatorLink {
    /// Commit notices under way at most; fewer if the broker takes fewer.
    public static let noticesUnansweredMax = 64
    /// Filters of one SUBSCRIBE at most: what the strictest cloud brokers take.
    public static let filtersPerPacketMax = 8

    private struct State {
        var connection: MosquittoConnection?
        var unanswered: Set<MosquittoToken> = []
        var answeredEarly: Set<MosquittoToken> = []
        var publishing = 0
        var window = MosquittoAggregatorLink.noticesUnansweredMax
        /// SUBACKs still to come.
        var subscriptionsOpen = 0
    }

    private let configuration: MosquittoConfiguration
    private let state = Mutex(State())

    /// Makes a link that connects when it is opened.
    ///
    /// With a `clientID` and `cleanStart` false the broker keeps messages for the aggregator while it is away; without
    /// them the sites send again what was not committed.
    public init(configuration: MosquittoConfiguration) {
        self.configuration = configuration
    }

    /// Connects on a thread of the library's; each batch is acknowledged after `settle` has returned true.
    public func open(
        event: @escaping @Sendable (AggregatorLinkEvent) -> Void,
        settle: @escaping @Sendable () -> Bool
    ) {
        do {
            let connection = try MosquittoConnection(
                configuration: configuration,
                beforeAcknowledging: settle
            ) { [weak self] happening in
                self?.handle(happening, event)
            }
            state.withLock { $0.connection = connection }
            try connection.start()
        } catch {
            event(.down(reason: error.description))
        }
    }

    /// Subscribes with QoS 1. `subscribed` comes when all is granted or something is refused.
    public func subscribe(_ filters: [String]) {
        let starts = stride(from: 0, to: filters.count, by: Self.filtersPerPacketMax)
        let connection = state.withLock { state in
            state.subscriptionsOpen = Array(starts).count
            return state.connection
        }
        guard let connection else { return }
        do {
            for start in starts {
                let end = min(start + Self.filtersPerPacketMax, filters.count)
                try connection.subscribe(Array(filters[start..<end]), qos: 1)
            }
        } catch {
            // There is no connection any more, and its last event says so; or the filters are impossible, and the
            // broker would refuse them too.
            connection.disconnect()
        }
    }

    /// Publishes with QoS 1 unless too many notices are unanswered.
    public func publish(topic: String, payload: [UInt8]) -> Bool {
        let connection = state.withLock { state -> MosquittoConnection? in
            guard state.unanswered.count + state.publishing < state.window else { return nil }
            state.publishing += 1
            return state.connection
        }
        guard let connection else { return false }
        let token = try? connection.publish(topic: topic, payload: payload, qos: 1)
        state.withLock { state in
            state.publishing -= 1
            // The answer may have come before the call returned.
            guard let token, state.answeredEarly.remove(token) == nil else { return }
            state.unanswered.insert(token)
        }
        return token != nil
    }

    /// Says DISCONNECT and lets the connection go.
    public func close() {
        let connection = state.withLock { state in
            defer { state.connection = nil }
            return state.connection
        }
        connection?.disconnect()
    }

    private func handle(_ happening: MosquittoEvent, _ event: @Sendable (AggregatorLinkEvent) -> Void) {
        switch happening {
        case .connected(let server):
            state.withLock { $0.window = min(Self.noticesUnansweredMax, max(1, Int(server.receiveMaximum))) }
            event(.connected)
        case .connectFailed(let error):
            release()
            event(.down(reason: error.description))
        case .disconnected(let error):
            release()
            event(.down(reason: error?.description ?? "closed"))
        case .published(let token, reasonCode: _):
            // A refused notice is not sent again: the next one says more.
            state.withLock { state in
                guard state.unanswered.remove(token) == nil, state.publishing > 0 else { return }
                state.answeredEarly.insert(token)
            }
        case .message(let message):
            event(.message(LinkMessage(message)))
        case .subscribed(_, let granted):
            let isGranted = !granted.isEmpty && granted.allSatisfy { $0 < 0x80 }
            let isLast = state.withLock { state in
                state.subscriptionsOpen -= 1
                return state.subscriptionsOpen == 0
            }
            if !isGranted || isLast { event(.subscribed(granted: isGranted)) }
        case .unsubscribed:
            return
        }
    }

    /// Lets the connection go, which holds this object's handler.
    private func release() {
        state.withLock { $0.connection = nil }
    }
}

extension LinkMessage {
    /// A message of the library, taken out of its envelope if it has one and no stamp of its own.
    init(_ message: MosquittoMessage) {
        if let stamp = BridgeStamp(userProperties: message.userProperties) {
            self.init(topic: message.topic, payload: message.payload, stamp: stamp)
        } else if let envelope = BridgeEnvelope(decoding: message.payload) {
            self.init(topic: message.topic, payload: envelope.payload, stamp: envelope.stamp)
        } else {
            self.init(topic: message.topic, payload: message.payload, stamp: nil)
        }
    }
}
