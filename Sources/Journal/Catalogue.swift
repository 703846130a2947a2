import Synchronization

/// What readers, the writing thread and housekeeping share: which segments there are and how far the journal is
/// committed. A lock that is held for moments only; nobody touches the disk under it.
final class Catalogue: Sendable {
    struct State: Sendable {
        /// In the order of their sequences. The last one may be the one that is written to.
        var segments: [Segment] = []
        /// Files of retired segments that wait to be used again: name and size.
        var spares: [Spare] = []
        var committedSequence: UInt64 = 0
        /// What the checkpoints go through, newest first; at most two.
        var checkpoints: [UInt64] = []
        var checkpointBytes: [UInt64: Int] = [:]
        /// Bytes of set-aside damage. They count, so that the operator sees them.
        var corruptBytes = 0
    }

    struct Spare: Sendable, Hashable {
        var name: String
        var byteCount: Int
    }

    private let state: Mutex<State>

    init(_ state: State) { self.state = Mutex(state) }

    func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        state.withLock { state in body(&state) }
    }

    /// The segments that may hold records from `sequence` on, and how far they are committed.
    func segments(from sequence: UInt64) -> [Segment] {
        withLock { state in
            let following = state.segments.firstIndex { $0.firstSequence > sequence } ?? state.segments.count
            return Array(state.segments[max(0, following - 1)...])
        }
    }

    /// Bytes of all the journal's files, as far as they matter: segments, spares, checkpoints, set-aside damage.
    var bytesOnDisk: Int {
        withLock { state in
            state.segments.reduce(0) { $0 + $1.byteCount } + state.spares.reduce(0) { $0 + $1.byteCount }
                + state.checkpointBytes.values.reduce(0, +) + state.corruptBytes
        }
    }
}
