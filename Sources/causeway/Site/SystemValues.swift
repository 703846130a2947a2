import Broker
import SiteServer
import Synchronization

/// What stands in `$SYS` and the core does not know itself: the head of the audit log, and how bridges and relays are.
/// Looked at once in every interval of the tree; the core publishes what has changed.
final class SystemValues: Sendable {
    private let task: Mutex<Task<Void, Never>?> = Mutex(nil)

    /// Looks now and then every `interval` until ``stop()``.
    ///
    /// - Parameter read: The values by their names, which are what follows `$SYS/broker/`. Names stay the same but for
    ///   relays that a reload adds or removes: what is no longer named is removed from the tree.
    func start(
        _ server: SiteServer,
        every interval: Duration,
        read: @escaping @Sendable () -> [String: String]
    ) {
        // Unstructured: it lives as long as the node, which has no task of its own.
        let looking = Task { [weak server] in
            var before: Set<String> = []
            while !Task.isCancelled {
                let values = read()
                let gone = before.subtracting(values.keys)
                before = Set(values.keys)
                do {
                    guard let server else { return }
                    try await server.withCore { core, now, effects in
                        for (name, text) in values.sorted(by: { $0.key < $1.key }) {
                            core.setSystemValue(name, text, now: now, effects: &effects)
                        }
                        for name in gone { core.setSystemValue(name, nil, now: now, effects: &effects) }
                    }
                } catch {
                    // The server has stopped.
                    return
                }
                do { try await Task.sleep(for: interval) } catch { return }
            }
        }
        task.withLock { $0 = looking }
    }

    func stop() { task.withLock { $0?.cancel() } }
}
