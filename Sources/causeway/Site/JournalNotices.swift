import Journal
import Synchronization

/// Hands the journal's notices to everyone who waits for commits. Listeners are added while the site starts.
final class JournalNotices: Sendable {
    private let listeners = Mutex<[@Sendable (CommitNotice) -> Void]>([])

    func add(_ listener: @escaping @Sendable (CommitNotice) -> Void) {
        listeners.withLock { $0.append(listener) }
    }

    /// Called on the journal's thread.
    func post(_ notice: CommitNotice) {
        for listener in listeners.withLock({ $0 }) { listener(notice) }
    }
}
