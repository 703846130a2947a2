/// A row of the gap table: a range that is or was missing.
public struct GapRow: Sendable, Hashable {
    /// What became of a range.
    public enum State: String, Sendable, Hashable {
        /// It has not arrived.
        case missing
        /// The site said that it never will.
        case dropped
        /// It arrived late.
        case filled
    }

    /// The numbers.
    public var range: ClosedRange<UInt64>
    /// What became of it.
    public var state: State
    /// Why, for a dropped range; empty otherwise.
    public var reason: String
    /// When it was first missed, milliseconds since 1970-01-01 UTC.
    public var seenMilliseconds: Int64
    /// When it was closed; nil while it is missing.
    public var closedMilliseconds: Int64?

    /// Makes a row.
    public init(
        range: ClosedRange<UInt64>,
        state: State,
        reason: String = "",
        seenMilliseconds: Int64,
        closedMilliseconds: Int64? = nil
    ) {
        self.range = range
        self.state = state
        self.reason = reason
        self.seenMilliseconds = seenMilliseconds
        self.closedMilliseconds = closedMilliseconds
    }
}

/// Works out which rows of the gap table a batch changes. Ranges that opened and closed within one batch leave no row.
enum GapLedger {
    /// How many filled ranges each (site, epoch) keeps as history; the lowest go first.
    static let filledRowsMax = 1_000

    /// Rows to take out, by their first number, and rows to put in.
    struct Change: Equatable {
        var removed: [UInt64] = []
        var added: [GapRow] = []
    }

    /// The change from the stored missing rows to what a batch left.
    static func change(
        stored: [GapRow],
        change: IngestBatch.CursorChange,
        milliseconds: Int64
    ) -> Change {
        var result = Change()
        let after = change.cursor.missing
        let afterRanges = Set(after.ranges)
        let storedRanges = Set(stored.map(\.range))
        var closed = change.missingBefore.subtracting(after)
        for row in stored where !afterRanges.contains(row.range) { result.removed.append(row.range.lowerBound) }
        for range in after.ranges where !storedRanges.contains(range) {
            let seen = firstSeen(range, in: stored) ?? milliseconds
            result.added.append(GapRow(range: range, state: .missing, seenMilliseconds: seen))
        }
        for drop in change.drops {
            result.added.append(
                GapRow(
                    range: drop.range,
                    state: .dropped,
                    reason: drop.reason,
                    seenMilliseconds: firstSeen(drop.range, in: stored) ?? milliseconds,
                    closedMilliseconds: milliseconds
                )
            )
            closed.remove(drop.range)
        }
        for range in closed.ranges {
            // One closed stretch may span several rows only where they touched; they do not, so the first is right.
            result.added.append(
                GapRow(
                    range: range,
                    state: .filled,
                    seenMilliseconds: firstSeen(range, in: stored) ?? milliseconds,
                    closedMilliseconds: milliseconds
                )
            )
        }
        return result
    }

    private static func firstSeen(_ range: ClosedRange<UInt64>, in rows: [GapRow]) -> Int64? {
        rows.lazy.filter { $0.range.overlaps(range) }.map(\.seenMilliseconds).min()
    }
}
