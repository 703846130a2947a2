internal import Journal
internal import Synchronization

/// Commit notices on their way from the journal's thread to the core's loop. However many come, at most one hop to the
/// loop is on its way.
final class NoticeSlot: Sendable {
    /// What is known since the last look.
    struct News: Sendable {
        /// Records on disk up to this sequence number.
        var committedThrough: UInt64 = 0
        /// The journal's failure, if it has failed.
        var failure: JournalError?
        /// Why the journal has no room, if it has said so since the last look.
        var stall: JournalError?
    }

    private struct State {
        var news = News()
        var isScheduled = false
    }

    private let state = Mutex(State())

    /// Notes a notice. True if the caller must schedule a look.
    func post(_ notice: CommitNotice) -> Bool {
        state.withLock { state in
            switch notice {
            case .committed(through: let sequence):
                state.news.committedThrough = max(state.news.committedThrough, sequence)
            case .stalled(let error), .short(let error): state.news.stall = error
            case .relieved: break  // The look asks the journal itself how much room there is.
            case .failed(let error): state.news.failure = error
            }
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
    }

    /// Takes what is known.
    func take() -> News {
        state.withLock { state in
            state.isScheduled = false
            defer { state.news.stall = nil }
            return state.news
        }
    }
}
