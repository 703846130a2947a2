import MQTT

/// How much room the journal has for new messages.
public enum JournalRoom: Sendable, Hashable {
    /// Enough.
    case ample
    /// A reserve, for alarms.
    case reserve
    /// None. What is on the way waits in memory, and nothing new is taken.
    case none
}

// A full disk. What makes room again (acknowledgements of receivers, releases, sessions that end) is always recorded.
extension BrokerCore {
    /// The journal has more or less room than before. Until there is ample room again, messages that need the journal
    /// are refused, save alarms: 5.0 publishers get quota exceeded, 3.x publishers no answer.
    public func roomChanged(to room: JournalRoom, now: BrokerTime, effects: inout Effects) {
        guard room != journalRoom else { return }
        journalRoom = room
        guard room == .ample else { return }
        // A client of 3.x sends again what was never answered only on a new connection [MQTT-4.4.0-1].
        for case let connection? in connections where connection.isOwedAnswer && connection.state == .connected {
            let reason = CloseReason(.quotaExceeded, "the journal has room again: what was not answered may come again")
            disconnect(connection, reason, now: now, effects: &effects)
        }
    }

    /// Whether the journal takes this message now.
    func mayAppend(_ message: Message, _ answer: PublishAnswer?) -> Bool {
        guard journalAvailable else { return false }
        if journalRoom == .ample { return true }
        // On the disk already, and accepted: it only moves.
        if case .release? = answer { return true }
        switch message.origin {
        // Decided by what was accepted, or promised when there was room: nobody is there to try again.
        case .handler, .will: return true
        default: return journalRoom == .reserve && configuration.alarmFilters.contains { $0.matches(message.topic) }
        }
    }

    /// 5.0 is told; 3.x gets no acknowledgement, so that the client keeps the message and tries again.
    func refuse(_ qos: QoS, _ packetID: UInt16, on connection: Connection, effects: inout Effects) {
        counters.drop(.journalUnavailable)
        guard connection.isV5 else {
            connection.isOwedAnswer = qos != .atMostOnce
            return
        }
        let kind: AcknowledgementKind = qos == .atLeastOnce ? .puback : .pubrec
        effects.list.append(.acknowledge(connection.id, kind, packetID: packetID, reason: .quotaExceeded))
    }
}
