/// What the aggregator knows about all sites: decides what of a batch is new, and never touches a store or a clock.
///
/// `makeBatch` leaves the state as it is; `adopt` takes a batch in once it is stored. If storing fails the state is
/// loaded again and the batch made anew, so that memory and store cannot drift apart.
public struct IngestState: Sendable {
    /// How many sites there may be by default. Messages of further ones are deferred.
    public static let sitesMax = 10_000

    /// The current cursor of each site.
    public private(set) var cursors: [String: SiteCursor] = [:]
    /// Where the epoch before the current one ended, of sites that had one. Nothing of it is taken any more.
    public private(set) var former: [String: SiteCursor] = [:]
    private var streams: [String: Set<String>] = [:]
    private let sitesMax: Int
    private let missingRangesMax: Int

    /// Makes the state from what a store holds.
    public init(
        cursors: [SiteCursor] = [],
        streams: [IngestBatch.Stream] = [],
        sitesMax: Int = IngestState.sitesMax,
        missingRangesMax: Int = SiteCursor.missingRangesMax
    ) {
        for stream in streams { self.streams[stream.site, default: []].insert(stream.name) }
        self.sitesMax = sitesMax
        self.missingRangesMax = missingRangesMax
        for cursor in cursors.sorted(by: { $0.epoch < $1.epoch }) { take(cursor) }
    }

    /// Decides about messages in the order they arrived.
    public func makeBatch(of messages: some Sequence<IngestMessage>, milliseconds: Int64) -> IngestBatch {
        var draft = Draft(state: self, milliseconds: milliseconds)
        for message in messages { draft.take(message) }
        return draft.finish()
    }

    /// Takes a batch in that has been stored.
    public mutating func adopt(_ batch: IngestBatch) {
        for change in batch.cursors {
            if let current = cursors[change.cursor.site], current.epoch > change.cursor.epoch { continue }
            take(change.cursor)
        }
        for stream in batch.streams { streams[stream.site, default: []].insert(stream.name) }
    }

    private mutating func take(_ cursor: SiteCursor) {
        if let current = cursors[cursor.site], current.epoch < cursor.epoch { former[cursor.site] = current }
        cursors[cursor.site] = cursor
    }

    /// Whether the state already holds everything a batch would bring: it was stored although storing it failed to
    /// say so.
    public func contains(_ batch: IngestBatch) -> Bool {
        let currents = batch.cursors.filter { change in
            !batch.cursors.contains { $0.cursor.site == change.cursor.site && $0.cursor.epoch > change.cursor.epoch }
        }
        return !currents.isEmpty && currents.allSatisfy { cursors[$0.cursor.site] == $0.cursor }
    }
}

extension IngestState {
    /// A batch being made: copies of the cursors it touches.
    private struct Draft {
        private struct Key: Hashable {
            var site: String
            var epoch: UInt64
        }

        private let state: IngestState
        private var batch: IngestBatch
        private var current: [String: UInt64] = [:]
        private var touched: [Key: SiteCursor] = [:]
        private var order: [Key] = []
        private var drops: [Key: [IngestBatch.Drop]] = [:]
        private var unnumbered: [Key: [String: UInt64]] = [:]
        private var newStreams: [String: Set<String>] = [:]
        private var newSites = 0

        init(state: IngestState, milliseconds: Int64) {
            self.state = state
            batch = IngestBatch(milliseconds: milliseconds)
        }

        mutating func take(_ message: IngestMessage) {
            guard message.epoch <= SiteCursor.epochMax else {
                batch.counts.impossible += 1
                return
            }
            guard let key = admit(message.site, message.epoch, message.receivedMilliseconds) else { return }
            // The epoch has begun; that is all it is for.
            if message.isClaim { return }
            if let drop = message.drop, let range = drop.range, range.contains(message.sequence) {
                takePlaceholder(range, drop.reason, key)
                return
            }
            let verdict = touched[key]?.receive(
                message.sequence,
                payloadBytes: message.payload.count,
                missingRangesMax: state.missingRangesMax
            )
            switch verdict {
            case .new(let filled):
                batch.counts.stored += 1
                if filled { batch.counts.filled += 1 }
                batch.messages.append(message)
                if let drop = message.drop { take(drop, key) } else { rollUp(message) }
            case .duplicate:
                batch.counts.duplicates += 1
            case .deferred, nil:
                batch.counts.deferred += 1
            case .impossible:
                batch.counts.impossible += 1
            }
        }

        /// A gap record under one of the numbers it closes stands for a message that will not come: no row is stored.
        private mutating func takePlaceholder(_ range: ClosedRange<UInt64>, _ reason: String, _ key: Key) {
            switch close(range, reason, key) {
            case nil: batch.counts.impossible += 1
            case 0?:
                batch.counts.duplicates += 1
                touched[key]?.countDuplicate()
            case _?: break
            }
        }

        /// Only a gap record that is itself new is looked at: so one that is sent twice counts once.
        private mutating func take(_ drop: PolicyDrop, _ key: Key) {
            guard let range = drop.range else {
                batch.counts.dropped &+= drop.unnumbered
                touched[key]?.countUnnumbered(drop.unnumbered)
                unnumbered[key, default: [:]][drop.reason, default: 0] &+= drop.unnumbered
                return
            }
            if close(range, drop.reason, key) == nil { batch.counts.impossible += 1 }
        }

        /// How many numbers a range closed as dropped; nil if it cannot be.
        private mutating func close(_ range: ClosedRange<UInt64>, _ reason: String, _ key: Key) -> UInt64? {
            guard let closed = touched[key]?.drop(range, missingRangesMax: state.missingRangesMax) else { return nil }
            var count: UInt64 = 0
            for range in closed {
                count &+= range.upperBound - range.lowerBound + 1
                drops[key, default: []].append(IngestBatch.Drop(range: range, reason: reason))
            }
            batch.counts.dropped &+= count
            return count
        }

        /// The cursor a message belongs to, made if it is the site's or the epoch's first; nil if it is refused.
        private mutating func admit(_ site: String, _ epoch: UInt64, _ milliseconds: Int64) -> Key? {
            batch.sites.insert(site)
            if let known = current[site] ?? state.cursors[site]?.epoch {
                guard epoch >= known else {
                    let key = touch(site, known, milliseconds)
                    touched[key]?.fence()
                    batch.counts.fenced += 1
                    return nil
                }
            } else {
                guard state.cursors.count + newSites < state.sitesMax else {
                    batch.sites.remove(site)
                    batch.counts.deferred += 1
                    return nil
                }
                newSites += 1
            }
            return touch(site, epoch, milliseconds)
        }

        private mutating func touch(_ site: String, _ epoch: UInt64, _ milliseconds: Int64) -> Key {
            let key = Key(site: site, epoch: epoch)
            current[site] = epoch
            if touched[key] == nil {
                let stored = state.cursors[site].flatMap { $0.epoch == epoch ? $0 : nil }
                touched[key] = stored ?? SiteCursor(site: site, epoch: epoch)
                order.append(key)
            }
            touched[key]?.seenMilliseconds = milliseconds
            return key
        }

        private mutating func rollUp(_ message: IngestMessage) {
            let key = RollupKey(
                site: message.site,
                stream: stream(of: message),
                hourMilliseconds: RollupKey.hour(
                    event: message.eventMilliseconds,
                    received: message.receivedMilliseconds
                )
            )
            batch.rollups[key, default: Rollup()].add(
                bytes: message.payload.count,
                value: NumericField.value(in: message.payload)
            )
        }

        private mutating func stream(of message: IngestMessage) -> String {
            let name = RollupKey.stream(of: message.topic)
            let known = state.streams[message.site]
            if known?.contains(name) ?? false { return name }
            if newStreams[message.site]?.contains(name) ?? false { return name }
            let count = (known?.count ?? 0) + (newStreams[message.site]?.count ?? 0)
            guard count < RollupKey.streamsPerSiteMax else { return RollupKey.otherStream }
            newStreams[message.site, default: []].insert(name)
            batch.streams.append(IngestBatch.Stream(site: message.site, name: name))
            return name
        }

        mutating func finish() -> IngestBatch {
            batch.cursors = order.compactMap { key in
                guard var cursor = touched[key] else { return nil }
                let before = state.cursors[key.site].flatMap { $0.epoch == key.epoch ? $0 : nil }
                cursor.revision = (before?.revision ?? 0) + 1
                return IngestBatch.CursorChange(
                    missingBefore: before?.missing ?? RangeSet(),
                    cursor: cursor,
                    drops: drops[key] ?? [],
                    unnumbered: unnumbered[key] ?? [:]
                )
            }
            return batch
        }
    }
}
