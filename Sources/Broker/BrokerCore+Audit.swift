import MQTT

// What the audit log is told of clients: who came, who was turned away, who went, what was denied. Bounded, so that
// nobody can bury what matters under a flood of it.
extension BrokerCore {
    /// A client was let in.
    func auditConnected(_ connection: Connection, _ session: Session, effects: inout Effects) {
        effects.list.append(.audit(AuditEvent(.clientConnected, connection, session.identity)))
    }

    /// A client that was let in is gone.
    func auditDisconnected(_ connection: Connection, _ session: Session, effects: inout Effects) {
        let reason = connection.closeReason?.message ?? "the connection was lost"
        effects.list.append(.audit(AuditEvent(.clientDisconnected, connection, session.identity, reason: reason)))
    }

    /// A connection ended before anybody was let in, or because a rule of the protocol was broken.
    func auditRefusal(
        _ kind: AuditEvent.Kind,
        _ connection: Connection,
        _ reason: String,
        effects: inout Effects
    ) {
        guard
            let left = refusals.admit(
                limit: configuration.auditedRefusalsPerSecond,
                windowNanoseconds: 1_000_000_000,
                at: connection.lastReceivedNanoseconds
            )
        else { return }
        let claimed = connection.connect.map { Identity(username: $0.username, clientID: $0.clientID) }
        let identity = connection.session?.identity ?? claimed
        let reason = reason + left.suffix
        effects.list.append(.audit(AuditEvent(kind, connection, identity, reason: reason)))
    }

    /// A client asked for what it may not do.
    func auditDenial(
        _ kind: AuditEvent.Kind,
        _ connection: Connection,
        _ session: Session,
        subject: @autoclosure () -> String,
        now: BrokerTime,
        effects: inout Effects
    ) {
        guard
            let left = connection.denials.admit(
                limit: configuration.auditedDenialsPerMinute,
                windowNanoseconds: 60_000_000_000,
                at: now.monotonicNanoseconds
            )
        else { return }
        let reason = "not authorized" + left.suffix
        let event = AuditEvent(kind, connection, session.identity, subject: subject(), reason: reason)
        effects.list.append(.audit(event))
    }
}

/// Lets so many events of a kind through in a window of time and counts the others.
struct AuditGate {
    /// What an event that is let through has to say of those before it.
    struct Left {
        let suppressed: UInt64
        var suffix: String { suppressed == 0 ? "" : "; \(suppressed) more before were not recorded" }
    }

    private var windowStart: UInt64 = 0
    private var admitted = 0
    private var suppressed: UInt64 = 0

    init() {}

    /// Whether an event may pass; nil if not.
    mutating func admit(limit: Int, windowNanoseconds: UInt64, at nanoseconds: UInt64) -> Left? {
        if nanoseconds &- windowStart >= windowNanoseconds {
            windowStart = nanoseconds
            admitted = 0
        }
        guard admitted < limit else {
            suppressed &+= 1
            return nil
        }
        admitted += 1
        defer { suppressed = 0 }
        return Left(suppressed: suppressed)
    }
}

extension AuditEvent {
    fileprivate init(
        _ kind: Kind,
        _ connection: Connection,
        _ identity: Identity?,
        subject: String? = nil,
        reason: String? = nil
    ) {
        self.init(
            kind,
            clientID: identity?.clientID,
            username: identity?.username,
            remoteAddress: connection.info.remoteAddress,
            listener: connection.info.listener,
            subject: subject,
            reason: reason
        )
    }
}
