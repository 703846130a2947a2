import MQTT
import NIOCore

/// A fault that is planted around the product, to see that the checks notice it.
public enum Plant: String, CaseIterable, Sendable {
    /// What was appended counts as on the disk at once.
    case earlyAcknowledgement = "early-acknowledgement"
    /// The disk says that it has what it has not.
    case noSync = "no-sync"
    /// Records go that queued messages are read from.
    case earlyRetirement = "early-retirement"
    /// A restart forgets which QoS 2 messages were taken.
    case forgottenIdentifiers = "forgotten-identifiers"
    /// A restart leaves out a record.
    case skippedRecord = "skipped-record"
    /// Deliveries pass unasked.
    case openGate = "open-gate"
    /// DISCONNECT is not heard, so the will comes after it.
    case deafToGoodbye = "deaf-to-goodbye"
    /// Messages lose their retain flag now and then.
    case lostRetain = "lost-retain"
    /// The first of two messages that come together is taken after the second.
    case swapped
    /// A byte of a payload is another one now and then.
    case damagedPayload = "damaged-payload"
    /// A message is taken twice now and then.
    case doubled

    /// What the broker takes instead of a packet.
    func altered(_ packet: Packet, _ acceptor: Acceptor, _ kernel: Kernel) -> [Packet] {
        switch (self, packet) {
        case (.deafToGoodbye, .disconnect): return []
        case (.lostRetain, .publish(var publish)):
            if publish.retain, publish.qos != .atMostOnce, kernel.chance(perMille: 200) { publish.retain = false }
            return [.publish(publish)]
        case (.damagedPayload, .publish(var publish)):
            if publish.payload.readableBytes > 8, kernel.chance(perMille: 50) {
                publish.payload.setInteger(UInt8(0), at: publish.payload.writerIndex - 1)
            }
            return [.publish(publish)]
        case (.doubled, .publish(var publish)) where publish.qos == .exactlyOnce && !publish.retain:
            guard kernel.chance(perMille: 50) else { return [packet] }
            publish.packetID = 0x7000 + publish.packetID
            return [packet, .publish(publish)]
        case (.swapped, .publish(let publish)):
            if let held = acceptor.held {
                acceptor.held = nil
                return [packet, held]
            }
            guard publish.qos != .atMostOnce, kernel.chance(perMille: 30) else { return [packet] }
            acceptor.held = packet
            return []
        case (.swapped, _):
            guard let held = acceptor.held else { return [packet] }
            acceptor.held = nil
            return [held, packet]
        case (.forgottenIdentifiers, .publish(let publish)) where publish.qos == .exactlyOnce && publish.duplicate:
            // As a broker that does not know the identifier would: it is taken for a new one.
            return [.pubrel(Acknowledgement(packetID: publish.packetID)), packet]
        default: return [packet]
        }
    }
}
