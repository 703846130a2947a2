import Bridge
import Console

/// What bridges and relays have in common to say of themselves.
protocol LinkHealth: Sendable {
    var state: BridgeState { get }
    var inflight: Int { get }
    var acknowledgedTotal: UInt64 { get }
    var resentTotal: UInt64 { get }
    var lastAckMilliseconds: Int64? { get }
    var reconnects: [String: UInt64] { get }
    var dropped: [String: UInt64] { get }
}

extension BridgeHealth: LinkHealth {}
extension RelayHealth: LinkHealth {}

/// Links of one kind in numbers, for metrics and for `$SYS`.
struct LinkFigures<Health: LinkHealth> {
    /// What metrics and their label are called after: `bridge` or `relay`.
    let kind: String
    let links: [(name: String, health: Health)]

    /// One sample of each link.
    func samples(_ value: (Health) -> Double) -> [MetricSample] {
        links.map { MetricSample(value($0.health), labels: [kind: $0.name]) }
    }

    /// What both kinds have.
    var families: [MetricFamily] {
        [
            .gauge(
                "causeway_\(kind)_state",
                "1 for the state that the \(kind) is in",
                links.flatMap { name, health in
                    BridgeState.allCases.map { state in
                        MetricSample(health.state == state ? 1 : 0, labels: [kind: name, "state": state.rawValue])
                    }
                }
            ),
            .gauge("causeway_\(kind)_inflight", "Messages sent and not acknowledged", samples { Double($0.inflight) }),
            .counter("causeway_\(kind)_acked", "Messages acknowledged", samples { Double($0.acknowledgedTotal) }),
            .counter("causeway_\(kind)_resent", "Messages sent again", samples { Double($0.resentTotal) }),
            .gauge(
                "causeway_\(kind)_last_ack_timestamp_seconds",
                "When the last acknowledgement came",
                samples { Double($0.lastAckMilliseconds ?? 0) / 1_000 }
            ),
            .counter("causeway_\(kind)_reconnects", "Connections that ended, by reason", byReason(\.reconnects)),
            .counter("causeway_\(kind)_dropped", "Messages that were not passed on, by reason", byReason(\.dropped)),
        ]
    }

    private func byReason(_ counts: (Health) -> [String: UInt64]) -> [MetricSample] {
        links.flatMap { name, health in
            counts(health).sorted { $0.key < $1.key }.map { reason, count in
                MetricSample(Double(count), labels: [kind: name, "reason": reason])
            }
        }
    }

    /// For `$SYS`, by what follows `$SYS/broker/`.
    ///
    /// - Parameter queued: What waits in a link, by what follows `queued/`.
    func systemValues(queued: (Health) -> [String: UInt64]) -> [String: String] {
        var values: [String: String] = [:]
        for (name, health) in links {
            let place = "bridge/\(name)/"
            values[place + "state"] = health.state.rawValue
            values[place + "inflight"] = "\(health.inflight)"
            values[place + "acked"] = "\(health.acknowledgedTotal)"
            values[place + "resent"] = "\(health.resentTotal)"
            values[place + "dropped"] = "\(health.dropped.values.reduce(0, &+))"
            for (what, count) in queued(health) { values[place + "queued/" + what] = "\(count)" }
        }
        return values
    }
}
