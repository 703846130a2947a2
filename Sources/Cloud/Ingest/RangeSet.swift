/// A set of sequence numbers kept as sorted, disjoint ranges that never touch.
///
/// Members are 1 or more and at most ``SiteCursor/sequenceMax``, so that the neighbours of a member can be computed
/// without overflow. The number of ranges is the caller's to bound: `ranges.count` before and after says it.
public struct RangeSet: Sendable, Hashable {
    /// The ranges, in ascending order.
    public private(set) var ranges: [ClosedRange<UInt64>] = []

    /// Makes an empty set.
    public init() {}

    /// Makes a set of ranges given in any order.
    public init(_ ranges: some Sequence<ClosedRange<UInt64>>) {
        for range in ranges { insert(range) }
    }

    /// Whether there is no member.
    public var isEmpty: Bool { ranges.isEmpty }

    /// How many members there are.
    public var memberCount: UInt64 {
        ranges.reduce(0) { $0 &+ ($1.upperBound - $1.lowerBound + 1) }
    }

    /// Whether a number is a member.
    public func contains(_ value: UInt64) -> Bool {
        let index = firstIndex(endingAtOrAfter: value)
        return index < ranges.count && ranges[index].lowerBound <= value
    }

    /// Adds all numbers of a range.
    public mutating func insert(_ range: ClosedRange<UInt64>) {
        // Every range from `start` up to `end` overlaps or touches the new one and becomes part of it.
        let start = firstIndex(endingAtOrAfter: range.lowerBound - min(1, range.lowerBound))
        var end = start
        var lower = range.lowerBound
        var upper = range.upperBound
        while end < ranges.count, ranges[end].lowerBound <= range.upperBound + 1 {
            lower = min(lower, ranges[end].lowerBound)
            upper = max(upper, ranges[end].upperBound)
            end += 1
        }
        ranges.replaceSubrange(start..<end, with: CollectionOfOne(lower...upper))
    }

    /// Takes all numbers of a range out.
    public mutating func remove(_ range: ClosedRange<UInt64>) {
        let start = firstIndex(endingAtOrAfter: range.lowerBound)
        var end = start
        var rest: [ClosedRange<UInt64>] = []
        while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
            let old = ranges[end]
            if old.lowerBound < range.lowerBound { rest.append(old.lowerBound...(range.lowerBound - 1)) }
            if old.upperBound > range.upperBound { rest.append((range.upperBound + 1)...old.upperBound) }
            end += 1
        }
        ranges.replaceSubrange(start..<end, with: rest)
    }

    /// The members that lie in a range, as ranges.
    public func intersection(_ range: ClosedRange<UInt64>) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        var index = firstIndex(endingAtOrAfter: range.lowerBound)
        while index < ranges.count, ranges[index].lowerBound <= range.upperBound {
            result.append(ranges[index].clamped(to: range))
            index += 1
        }
        return result
    }

    /// The members that the other set does not have.
    public func subtracting(_ other: RangeSet) -> RangeSet {
        var result = self
        for range in other.ranges { result.remove(range) }
        return result
    }

    /// The index of the first range whose end is not before a number.
    private func firstIndex(endingAtOrAfter value: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
