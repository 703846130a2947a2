/// What the console shows. Called for each request, on Swift's pool: answers come from figures kept ready, without
/// waiting for anything.
public protocol ConsoleSource: Sendable {
    /// Whether the process works at all. If it does not, only a restart helps: an orchestrator will restart it.
    func liveness() -> HealthReport

    /// Whether it can serve local devices. Never depends on the cloud or on any link to it.
    func readiness() -> HealthReport

    /// The metrics.
    func metrics() -> [MetricFamily]
}
