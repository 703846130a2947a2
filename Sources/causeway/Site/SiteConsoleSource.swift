import Audit
import Broker
import Console
import HandlerRuntime
import Journal
import SiteServer

/// Health and metrics of a site. Readiness says whether devices can be served; the cloud has no part in it.
struct SiteConsoleSource: ConsoleSource {
    /// Nil where everything stays in memory.
    let journal: Journal?
    let access: SiteAccess
    let audit: AuditWriter?
    let server: SiteServer
    let runtime: HandlerRuntime?
    let bridges: SiteBridges?
    let relays: SiteRelays
    let probe: StatisticsProbe

    func liveness() -> HealthReport { .available }

    func readiness() -> HealthReport {
        var reasons: [HealthReason] = []
        if let failure = journal?.failure {
            reasons.append(HealthReason(code: "journal_failed", message: failure.message))
        } else {
            switch journal?.room {
            case .reserve?:
                reasons.append(HealthReason(code: "disk_full", message: "the journal's reserve takes alarms alone"))
            case .none?:
                reasons.append(HealthReason(code: "disk_full", message: "the journal has no room for its next segment"))
            case .ample?, nil: break
            }
        }
        if let failure = runtime?.failure { reasons.append(HealthReason(code: "handlers", message: failure)) }
        return HealthReport(status: reasons.isEmpty ? .available : .unavailable, reasons: reasons)
    }

    func metrics() -> [MetricFamily] {
        ServerMetrics.families(server.metrics) + ServerMetrics.families(probe.statistics) + accessMetrics
            + journalMetrics + handlerMetrics + (bridges?.metrics ?? []) + relays.metrics
    }

    private var accessMetrics: [MetricFamily] {
        let passwords: [MetricFamily] = [
            .counter("causeway_lockouts", "Users locked out at an address", access.lockouts),
            .counter("causeway_password_hashes", "Password hashes worked out", access.passwordHashes),
        ]
        guard let audit = audit?.statistics else { return passwords }
        return passwords + [
            .counter("causeway_audit_records", "Records written to the audit log", audit.written),
            .counter("causeway_audit_lost", "Records that the audit log could not take", audit.lost),
            .gauge("causeway_audit_waiting", "Records that wait for the disk", Double(audit.waiting)),
            .gauge("causeway_audit_failing", "Whether the disk refuses the audit log", audit.isFailing ? 1 : 0),
        ]
    }

    private var journalMetrics: [MetricFamily] {
        guard let journal else { return [] }
        return [
            .gauge("causeway_journal_bytes", "Bytes of the journal on disk", Double(journal.bytesOnDisk)),
            .gauge("causeway_journal_pending_bytes", "Bytes that wait for a commit", Double(journal.pendingBytes)),
            .gauge(
                "causeway_journal_committed_sequence",
                "The last record that is on disk",
                Double(journal.committedSequence)
            ),
            .gauge("causeway_journal_room", "2: ample, 1: the reserve for alarms, 0: none", journal.room.level),
            .gauge("causeway_journal_failed", "Whether the journal has failed", journal.failure == nil ? 0 : 1),
        ]
    }

    private var handlerMetrics: [MetricFamily] {
        let handlers = runtime?.metrics ?? []
        func samples(_ value: (HandlerMetrics) -> Double) -> [MetricSample] {
            handlers.map { MetricSample(value($0), labels: ["handler": $0.handler]) }
        }
        return [
            .counter("causeway_handler_inputs", "Inputs that handlers looked at", samples { Double($0.inputs) }),
            .counter("causeway_handler_decided", "Decisions of handlers", samples { Double($0.decided) }),
            .counter(
                "causeway_handler_rejected",
                "Inputs that went to the dead letters",
                samples { Double($0.rejected) }
            ),
            .counter("causeway_handler_outputs", "Messages that handlers published", samples { Double($0.outputs) }),
            .counter("causeway_handler_failures", "Failures of handlers", samples { Double($0.failures) }),
            .gauge("causeway_handler_keys", "Keys that handlers hold state for", samples { Double($0.keys) }),
            .gauge(
                "causeway_handler_breaker_open",
                "Whether the circuit breaker is open",
                samples { $0.isBreakerOpen ? 1 : 0 }
            ),
            .gauge(
                "causeway_handler_latency_seconds",
                "From receipt to decision, for the last input",
                samples { $0.lastLatencySeconds }
            ),
        ]
    }
}

extension Journal.Room {
    /// As a metric.
    fileprivate var level: Double {
        switch self {
        case .ample: 2
        case .reserve: 1
        case .none: 0
        }
    }
}
