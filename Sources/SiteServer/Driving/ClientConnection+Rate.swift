internal import Broker
internal import MQTT
internal import NIOCore

/// How quickly one client may publish.
struct PublishRate {
    /// Seconds of its rate that a client may have saved up.
    private static let burstSeconds = 1
    /// The longest wait before the client is looked at again, so that the core hears that it is not silent.
    private static let waitNanosecondsMax: UInt64 = 1_000_000_000
    /// The shortest, so that a client at its limit costs no more than a hundred turns in a second.
    private static let waitNanosecondsMin: UInt64 = 10_000_000

    private var messages: TokenBucket?
    private var bytes: TokenBucket?

    /// Nil if there is no limit.
    init?(messagesPerSecond: Int, bytesPerSecond: Int, now: UInt64) {
        guard messagesPerSecond > 0 || bytesPerSecond > 0 else { return nil }
        func bucket(_ perSecond: Int) -> TokenBucket? {
            perSecond > 0
                ? TokenBucket(capacity: perSecond * Self.burstSeconds, perSecond: perSecond, now: now) : nil
        }
        messages = bucket(messagesPerSecond)
        bytes = bucket(bytesPerSecond)
    }

    /// Whether the client may go on.
    mutating func isOpen(now: UInt64) -> Bool {
        messages?.fill(now: now)
        bytes?.fill(now: now)
        return messages?.isOpen != false && bytes?.isOpen != false
    }

    /// Notes a PUBLISH.
    mutating func take(bytes count: Int) {
        messages?.take(1)
        bytes?.take(count)
    }

    /// Nanoseconds until the next look.
    var waitNanoseconds: UInt64 {
        let wait = max(messages?.waitNanoseconds ?? 0, bytes?.waitNanoseconds ?? 0)
        return min(max(wait, Self.waitNanosecondsMin), Self.waitNanosecondsMax)
    }
}

// A client that publishes too quickly is not read from for a while: TCP tells it to wait, and nothing is lost.
extension ClientConnection {
    /// Decodes until the client has used up its rate.
    func decodeAtRate(
        _ bytes: inout ByteBuffer,
        with decoder: inout PacketDecoder,
        now: BrokerTime,
        effects: inout Effects
    ) throws(MQTTError) {
        while phase == .connected {
            guard publishRate?.isOpen(now: now.monotonicNanoseconds) != false else {
                waitForRate()
                return
            }
            let before = bytes.readableBytes
            guard let packet = try decoder.next(&bytes) else { return }
            if case .publish = packet { publishRate?.take(bytes: before - bytes.readableBytes) }
            driver.core.received(id, packet, now: now, effects: &effects)
            if case .disconnect = packet { return }
        }
    }

    private func waitForRate() {
        guard let wait = publishRate?.waitNanoseconds else { return }
        if !pauses.contains(.rate) { driver.counters.publishRatePauses.add() }
        pauseReading(.rate)
        let bound = NIOLoopBound(driver, eventLoop: driver.loop)
        let id = id
        driver.loop.scheduleTask(in: .nanoseconds(Int64(wait))) { bound.value.table.connection(id)?.rateIsDue() }
    }

    private func rateIsDue() {
        guard phase == .connected, pauses.contains(.rate) else { return }
        let now = BrokerTime.now()
        // A client whose bytes we leave in the socket is not silent.
        driver.core.heard(id, now: now)
        guard publishRate?.isOpen(now: now.monotonicNanoseconds) != false else {
            waitForRate()
            return
        }
        pauses.remove(.rate)
        decodeKept()
        guard phase == .connected, !pauses.contains(.rate) else { return }
        pauses.insert(.rate)
        resumeReading(.rate)
    }
}
