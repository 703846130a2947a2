import Broker
import SiteServer
import Synchronization

/// The core's statistics as they were at most a second ago, for readers on any thread.
final class StatisticsProbe: Sendable {
    private let latest = Mutex(BrokerStatistics())
    private let task: Mutex<Task<Void, Never>?> = Mutex(nil)

    var statistics: BrokerStatistics { latest.withLock { $0 } }

    /// Asks the server once a second until ``stop()``.
    func start(_ server: SiteServer) {
        // Unstructured: it lives as long as the node, which has no task of its own.
        let asking = Task { [weak self] in
            while !Task.isCancelled {
                guard let now = try? await server.withCore({ core, _, _ in core.statistics }) else { return }
                self?.latest.withLock { $0 = now }
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
        task.withLock { $0 = asking }
    }

    func stop() { task.withLock { $0?.cancel() } }
}
