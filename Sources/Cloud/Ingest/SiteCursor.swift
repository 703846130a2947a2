/// How far one site's numbered stream has come: what is stored, what is missing below the highest number seen, and
/// how often something was refused.
///
/// The cursor is decided by two facts, the highest number seen and the ranges missing below it. The watermark follows
/// from them: everything up to it is stored or was dropped by the site, with a reason. A pure value, no input or
/// output.
public struct SiteCursor: Sendable, Hashable {
    /// The highest sequence number there can be: what a signed 64-bit database column holds, less one.
    public static let sequenceMax = UInt64(Int64.max) - 1
    /// The highest epoch there can be.
    public static let epochMax = UInt64(Int64.max)
    /// How far one number may lie beyond the highest seen. A damaged number would otherwise end the stream.
    public static let jumpMax: UInt64 = 1 << 40
    /// How many missing ranges one cursor keeps by default. What would open another one is deferred.
    public static let missingRangesMax = 1_024

    /// The site.
    public let site: String
    /// The site's epoch: its fencing token, grown whenever its numbers begin again.
    public let epoch: UInt64
    /// The highest sequence number that is stored or dropped.
    public private(set) var highest: UInt64
    /// What is missing below it.
    public private(set) var missing: RangeSet
    /// Messages stored.
    public private(set) var stored: UInt64
    /// Payload bytes stored.
    public private(set) var storedBytes: UInt64
    /// Numbers that the site gave up, with a reason, before they were stored.
    public private(set) var dropped: UInt64
    /// Messages that the site dropped, with a reason, before they had a number.
    public private(set) var unnumbered: UInt64
    /// Messages refused because their number had been seen.
    public private(set) var duplicates: UInt64
    /// Messages of a lower epoch refused while this one is current.
    public private(set) var fenced: UInt64
    /// When something of the site last arrived, milliseconds since 1970-01-01 UTC.
    public internal(set) var seenMilliseconds: Int64
    /// How often the cursor was committed. The store refuses a change that does not follow the one it holds.
    public internal(set) var revision: Int64

    /// What is decided about a message.
    public enum Verdict: Sendable, Hashable {
        /// It is new. `filled`: it closes part of a gap.
        case new(filled: Bool)
        /// Its number is stored or was dropped.
        case duplicate
        /// It would open one more gap than is kept. It is not stored; the site, which keeps it, sends it again.
        case deferred
        /// The number is 0, beyond ``sequenceMax`` or further than ``jumpMax`` beyond the highest.
        case impossible
    }

    /// Makes a cursor as a store holds it, or an untouched one.
    public init(
        site: String,
        epoch: UInt64,
        highest: UInt64 = 0,
        missing: RangeSet = RangeSet(),
        stored: UInt64 = 0,
        storedBytes: UInt64 = 0,
        dropped: UInt64 = 0,
        unnumbered: UInt64 = 0,
        duplicates: UInt64 = 0,
        fenced: UInt64 = 0,
        seenMilliseconds: Int64 = 0,
        revision: Int64 = 0
    ) {
        self.site = site
        self.epoch = epoch
        self.highest = highest
        self.missing = missing
        self.stored = stored
        self.storedBytes = storedBytes
        self.dropped = dropped
        self.unnumbered = unnumbered
        self.duplicates = duplicates
        self.fenced = fenced
        self.seenMilliseconds = seenMilliseconds
        self.revision = revision
    }

    /// The end of the contiguous beginning: all numbers up to it are stored or dropped. What the site may forget.
    public var watermark: UInt64 {
        missing.ranges.first.map { $0.lowerBound - 1 } ?? highest
    }

    /// Decides about a message's number, and takes it in if it is new.
    public mutating func receive(
        _ sequence: UInt64,
        payloadBytes: Int,
        missingRangesMax: Int = SiteCursor.missingRangesMax
    ) -> Verdict {
        guard isPossible(sequence) else { return .impossible }
        if sequence > highest {
            if sequence - highest > 1 {
                guard missing.ranges.count < missingRangesMax else { return .deferred }
                missing.insert((highest + 1)...(sequence - 1))
            }
            highest = sequence
            countStored(payloadBytes)
            return .new(filled: false)
        }
        guard missing.contains(sequence) else {
            duplicates &+= 1
            return .duplicate
        }
        var rest = missing
        rest.remove(sequence...sequence)
        guard rest.ranges.count <= max(missingRangesMax, missing.ranges.count) else { return .deferred }
        missing = rest
        countStored(payloadBytes)
        return .new(filled: true)
    }

    /// Closes a range the site has given up.
    ///
    /// - Returns: the numbers that were not stored before and are now closed, or nil if the range is impossible or
    ///   would leave more gaps than are kept.
    public mutating func drop(
        _ range: ClosedRange<UInt64>,
        missingRangesMax: Int = SiteCursor.missingRangesMax
    ) -> [ClosedRange<UInt64>]? {
        guard isPossible(range.lowerBound), isPossible(range.upperBound) else { return nil }
        var rest = missing
        var closed = missing.intersection(range)
        rest.remove(range)
        if range.upperBound > highest {
            let first = max(range.lowerBound, highest + 1)
            if first > highest + 1 { rest.insert((highest + 1)...(first - 1)) }
            closed.append(first...range.upperBound)
        }
        guard rest.ranges.count <= max(missingRangesMax, missing.ranges.count) else { return nil }
        missing = rest
        highest = max(highest, range.upperBound)
        dropped &+= closed.reduce(0) { $0 &+ ($1.upperBound - $1.lowerBound + 1) }
        return closed
    }

    /// Counts messages that were dropped before they had a number.
    mutating func countUnnumbered(_ count: UInt64) { unnumbered &+= count }

    /// Counts a gap record that closed nothing any more.
    mutating func countDuplicate() { duplicates &+= 1 }

    /// Counts a message of a lower epoch.
    mutating func fence() { fenced &+= 1 }

    private func isPossible(_ sequence: UInt64) -> Bool {
        sequence >= 1 && sequence <= Self.sequenceMax && (sequence <= highest || sequence - highest <= Self.jumpMax)
    }

    private mutating func countStored(_ payloadBytes: Int) {
        stored &+= 1
        storedBytes &+= UInt64(max(0, payloadBytes))
    }
}
