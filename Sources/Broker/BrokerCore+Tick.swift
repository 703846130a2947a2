import MQTT

// What time brings: keep alive, deadlines, delayed wills, the end of sessions.
extension BrokerCore {
    /// Ticks between two looks at sessions that may have expired.
    private static let ticksPerSessionSweep: UInt64 = 2

    /// Call about every 500 ms. A step of the wall clock does no harm: deadlines run on the monotonic clock.
    public func tick(now: BrokerTime, effects: inout Effects) {
        ticks &+= 1
        let nanoseconds = now.monotonicNanoseconds
        for case let connection? in connections {
            switch connection.state {
            case .awaitingConnect, .authenticating:
                let limit = configuration.connectSeconds &* 1_000_000_000
                if nanoseconds > connection.openedNanoseconds &+ limit {
                    close(connection, CloseReason(.maximumConnectTime, "no CONNECT in time"), effects: &effects)
                }
            case .connected:
                if connection.exchange != nil { endLateExchange(of: connection, now: now, effects: &effects) }
                let limit = connection.silenceNanosecondsMax
                if limit > 0 && nanoseconds > connection.lastReceivedNanoseconds &+ limit {
                    counters.keepAliveTimeouts &+= 1
                    close(
                        connection,
                        CloseReason(.keepAliveTimeout, statement: "MQTT-3.1.2-22", "nothing came for 1.5 keep alives"),
                        effects: &effects
                    )
                    detach(connection, now: now, effects: &effects)
                } else if nanoseconds >= connection.expiresNanoseconds {
                    endExpired(connection, now: now, effects: &effects)
                }
            case .closing: break
            }
        }
        publishDueWills(now: now, effects: &effects)
        if ticks % Self.ticksPerSessionSweep == 0 { endExpiredSessions(now: now, effects: &effects) }
    }

    private func publishDueWills(now: BrokerTime, effects: inout Effects) {
        guard !delayedWills.isEmpty else { return }
        for delayed in delayedWills.values where delayed.dueNanoseconds <= now.monotonicNanoseconds {
            publishDelayed(delayed, now: now, effects: &effects)
        }
    }

    private func endExpiredSessions(now: BrokerTime, effects: inout Effects) {
        for case let session? in sessions where hasExpired(session, now) {
            counters.sessionsExpired &+= 1
            end(session, now: now, effects: &effects)
        }
    }

    /// Whether the session's client has been away for longer than it may.
    func hasExpired(_ session: Session, _ now: BrokerTime) -> Bool {
        guard let detached = session.detached, session.expirySeconds != .max else { return false }
        let limit = UInt64(session.expirySeconds) &* 1_000_000_000
        return now.monotonicNanoseconds &- detached.monotonicNanoseconds &+ session.awayBeforeNanoseconds > limit
    }
}
