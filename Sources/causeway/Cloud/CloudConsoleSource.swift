import Cloud
import Console
import SiteServer

/// Health and metrics of a cloud node.
struct CloudConsoleSource: ConsoleSource {
    let aggregator: Aggregator
    let broker: SiteServer?

    func liveness() -> HealthReport { .available }

    func readiness() -> HealthReport {
        let statistics = aggregator.statistics
        if let failure = statistics.storeFailure {
            return HealthReport(
                status: .unavailable,
                reasons: [HealthReason(code: "store", message: "\(failure)")]
            )
        }
        guard statistics.isLoaded else {
            return HealthReport(
                status: .unavailable,
                reasons: [HealthReason(code: "starting", message: "the store is being opened")]
            )
        }
        guard statistics.link == .live else {
            return HealthReport(
                status: .unavailable,
                reasons: [HealthReason(code: "broker", message: statistics.linkFailure ?? "no link to the broker")]
            )
        }
        return .available
    }

    func metrics() -> [MetricFamily] {
        let statistics = aggregator.statistics
        var families: [MetricFamily] = [
            .gauge("causeway_cloud_link_up", "Whether the link to the broker is up", statistics.link == .live ? 1 : 0),
            .counter("causeway_cloud_messages_received", "Bridged messages that came", statistics.received),
            .counter("causeway_cloud_messages_stored", "Messages stored", statistics.counts.stored),
            .counter(
                "causeway_cloud_duplicates_refused",
                "Messages that came again and were refused",
                statistics.counts.duplicates
            ),
            .counter("causeway_cloud_commits", "Transactions committed", statistics.commits),
            .gauge(
                "causeway_cloud_missing_messages",
                "Numbers of all sites that are missing",
                Double(statistics.missing)
            ),
            .gauge("causeway_cloud_sites", "Sites known", Double(statistics.sites)),
            .gauge("causeway_cloud_queue_messages", "Messages that wait for a transaction", Double(statistics.queued)),
            .counter("causeway_cloud_store_failures", "Transactions that failed", statistics.storeFailures),
            .counter("causeway_cloud_link_failures", "Links that broke or failed", statistics.linkFailures),
        ]
        families.append(
            .counter(
                "causeway_cloud_rejected",
                "Messages that were not understood, by reason",
                statistics.rejected.sorted { $0.key.rawValue < $1.key.rawValue }.map { reason, count in
                    MetricSample(Double(count), labels: ["reason": reason.rawValue])
                }
            )
        )
        if let broker { families += ServerMetrics.families(broker.metrics) }
        return families
    }
}
