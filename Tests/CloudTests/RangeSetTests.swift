import Repeatable
import Testing

@testable import Cloud

@Suite struct RangeSetTests {
    @Test func `touching ranges become one`() {
        var set = RangeSet()
        set.insert(5...6)
        set.insert(1...2)
        set.insert(3...4)
        #expect(set.ranges == [1...6])
        #expect(set.memberCount == 6)
    }

    @Test func `removing from the middle splits`() {
        var set = RangeSet([1...10])
        set.remove(4...6)
        #expect(set.ranges == [1...3, 7...10])
        #expect(set.contains(3) && !set.contains(4) && !set.contains(6) && set.contains(7))
        #expect(set.intersection(2...8) == [2...3, 7...8])
    }

    @Test func `the ends of the numbers do not overflow`() {
        var set = RangeSet()
        set.insert(1...SiteCursor.sequenceMax)
        set.remove(1...1)
        set.remove(SiteCursor.sequenceMax...SiteCursor.sequenceMax)
        #expect(set.ranges == [2...(SiteCursor.sequenceMax - 1)])
        #expect(set.memberCount == SiteCursor.sequenceMax - 2)
        set.insert(0...0)
        #expect(set.contains(0))
    }

    @Test func `agrees with a plain set of numbers over random operations`() {
        var random = SeededRandom(seed: runSeed)
        for _ in 0..<300 {
            var set = RangeSet()
            var oracle = Set<UInt64>()
            for _ in 0..<60 {
                let first = UInt64.random(in: 1...80, using: &random)
                let range = first...(first + UInt64.random(in: 0...9, using: &random))
                if Bool.random(using: &random) {
                    set.insert(range)
                    oracle.formUnion(range)
                } else {
                    set.remove(range)
                    oracle.subtract(range)
                }
                #expect(set.ranges == Self.ranges(of: oracle), "seed \(runSeed)")
                #expect(set.memberCount == UInt64(oracle.count))
                let probe = UInt64.random(in: 1...90, using: &random)
                #expect(set.contains(probe) == oracle.contains(probe))
                let window = probe...(probe + 7)
                let inside = Self.ranges(of: oracle.filter { window.contains($0) })
                #expect(set.intersection(window) == inside)
            }
            let other = RangeSet([10...20, 30...40])
            #expect(set.subtracting(other).ranges == Self.ranges(of: oracle.subtracting(10...20).subtracting(30...40)))
        }
    }

    private static func ranges(of numbers: Set<UInt64>) -> [ClosedRange<UInt64>] {
        numbers.sorted().reduce(into: []) { ranges, number in
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
    }
}
