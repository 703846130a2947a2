import Repeatable
import Testing

@testable import Cloud

@Suite struct IngestStateTests {
    @Test func `messages in order raise the watermark`() {
        var state = IngestState()
        let batch = state.makeBatch(of: (1...5).map { message($0) }, milliseconds: noon)
        #expect(batch.counts.stored == 5)
        #expect(state.cursors.isEmpty, "a batch that is not stored changes nothing")
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.watermark == 5)
        #expect(state.cursors["store-1"]?.revision == 1)
    }

    @Test func `a duplicate is refused and counted within a batch and across batches`() {
        var state = IngestState()
        let first = state.makeBatch(of: [message(1), message(1), message(2)], milliseconds: noon)
        #expect(first.messages.map(\.sequence) == [1, 2])
        state.adopt(first)
        let second = state.makeBatch(of: [message(2), message(3)], milliseconds: noon)
        #expect(second.messages.map(\.sequence) == [3])
        state.adopt(second)
        #expect(state.cursors["store-1"]?.duplicates == 2)
        #expect(state.cursors["store-1"]?.stored == 3)
    }

    @Test func `a gap holds the watermark until the late message fills it`() {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(1), message(2), message(5), message(7)], milliseconds: noon))
        #expect(state.cursors["store-1"]?.watermark == 2)
        #expect(state.cursors["store-1"]?.missing.ranges == [3...4, 6...6])
        let late = state.makeBatch(of: [message(4), message(3)], milliseconds: noon)
        #expect(late.counts.filled == 2)
        state.adopt(late)
        #expect(state.cursors["store-1"]?.watermark == 5)
        state.adopt(state.makeBatch(of: [message(6)], milliseconds: noon))
        #expect(state.cursors["store-1"]?.watermark == 7)
    }

    @Test func `a lower epoch is fenced and a higher one begins anew`() {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(1, epoch: 2), message(2, epoch: 2)], milliseconds: noon))
        let fenced = state.makeBatch(of: [message(3, epoch: 1)], milliseconds: noon)
        #expect(fenced.counts.fenced == 1 && fenced.messages.isEmpty)
        #expect(fenced.sites == ["store-1"], "the old box is to hear of the new epoch")
        state.adopt(fenced)
        #expect(state.cursors["store-1"]?.fenced == 1)
        let mixed = [message(3, epoch: 2), message(1, epoch: 3), message(4, epoch: 2)]
        let batch = state.makeBatch(of: mixed, milliseconds: noon)
        #expect(batch.counts.stored == 2 && batch.counts.fenced == 1)
        #expect(batch.cursors.map(\.cursor.epoch) == [2, 3])
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.epoch == 3)
        #expect(state.cursors["store-1"]?.watermark == 1)
    }

    @Test func `a claim begins an epoch without a number, and says where the one before ended`() {
        var state = IngestState()
        state.adopt(
            state.makeBatch(of: [message(1, epoch: 2), message(2, epoch: 2), message(4, epoch: 2)], milliseconds: noon)
        )
        let claim = state.makeBatch(of: [message(0, epoch: 7)], milliseconds: noon)
        #expect(claim.messages.isEmpty && claim.counts.impossible == 0 && claim.sites == ["store-1"])
        state.adopt(claim)
        #expect(state.cursors["store-1"]?.epoch == 7 && state.cursors["store-1"]?.watermark == 0)
        #expect(state.former["store-1"]?.epoch == 2 && state.former["store-1"]?.watermark == 2)
        let late = state.makeBatch(of: [message(3, epoch: 2), message(0, epoch: 2)], milliseconds: noon)
        #expect(late.counts.fenced == 2 && late.messages.isEmpty)
        state.adopt(late)
        #expect(state.former["store-1"]?.watermark == 2, "an epoch that is over stays as it was")
        let again = IngestState(cursors: [
            SiteCursor(site: "store-1", epoch: 7), SiteCursor(site: "store-1", epoch: 2, highest: 9),
        ])
        #expect(again.former["store-1"]?.watermark == 9 && again.cursors["store-1"]?.epoch == 7)
    }

    @Test func `a gap record closes what is missing as dropped and counts once`() {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(1), message(6)], milliseconds: noon))
        let record = message(7, topic: "_gap", drop: PolicyDrop(range: 2...4, reason: "expired"))
        let batch = state.makeBatch(of: [record, record], milliseconds: noon)
        #expect(batch.counts.dropped == 3 && batch.counts.duplicates == 1 && batch.counts.stored == 1)
        #expect(batch.rollups.isEmpty, "a gap record is no measurement")
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.missing.ranges == [5...5])
        #expect(state.cursors["store-1"]?.watermark == 4)
        #expect(state.cursors["store-1"]?.dropped == 3)
    }

    @Test func `a gap record never closes what was stored and may reach beyond the highest`() {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(1), message(2)], milliseconds: noon))
        let record = message(9, topic: "_gap", drop: PolicyDrop(range: 1...8, reason: "retired"))
        let batch = state.makeBatch(of: [record], milliseconds: noon)
        #expect(batch.cursors.first?.drops.map(\.range) == [3...8])
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.watermark == 9)
    }

    @Test func `a gap record under the number it closes stands for a message that never comes`() {
        var state = IngestState()
        let poison = message(2, topic: "_gap", drop: PolicyDrop(range: 2...2, reason: "poison"))
        let overflow = message(7, topic: "_gap", drop: PolicyDrop(range: 4...7, reason: "queue_full"))
        let batch = state.makeBatch(of: [message(1), poison, message(3), overflow, poison], milliseconds: noon)
        #expect(batch.messages.map(\.sequence) == [1, 3], "a placeholder is no row")
        #expect(batch.counts.dropped == 5 && batch.counts.duplicates == 1)
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.watermark == 7)
        #expect(state.cursors["store-1"]?.stored == 2 && state.cursors["store-1"]?.dropped == 5)
        // Set aside after it had been stored: the row counts.
        let late = message(3, topic: "_gap", drop: PolicyDrop(range: 3...3, reason: "poison"))
        let again = state.makeBatch(of: [late], milliseconds: noon)
        #expect(again.counts.dropped == 0 && again.counts.duplicates == 1)
    }

    @Test func `an empty database is told by one record what the site retired before`() {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(5_001)], milliseconds: noon))
        #expect(state.cursors["store-1"]?.watermark == 0)
        let retired = message(5_000, topic: "_gap", drop: PolicyDrop(range: 1...5_000, reason: "retired"))
        state.adopt(state.makeBatch(of: [retired], milliseconds: noon))
        #expect(state.cursors["store-1"]?.watermark == 5_001)
    }

    @Test func `messages dropped before they had a number are counted by reason`() {
        let state = IngestState()
        let record = message(1, topic: "_gap", drop: PolicyDrop(range: nil, unnumbered: 40, reason: "redaction"))
        let batch = state.makeBatch(of: [record], milliseconds: noon)
        #expect(batch.cursors.first?.unnumbered == ["redaction": 40])
        #expect(batch.cursors.first?.cursor.unnumbered == 40)
        #expect(batch.cursors.first?.cursor.watermark == 1)
    }

    @Test(arguments: [SiteCursor.sequenceMax + 1, .max, SiteCursor.jumpMax + 2])
    func `an impossible number changes nothing`(sequence: UInt64) {
        var state = IngestState()
        state.adopt(state.makeBatch(of: [message(1)], milliseconds: noon))
        let batch = state.makeBatch(of: [message(sequence)], milliseconds: noon)
        #expect(batch.counts.impossible == 1)
        #expect(batch.messages.isEmpty)
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.highest == 1)
    }

    @Test func `the number of missing ranges is bounded and what is beyond is deferred`() {
        var state = IngestState(missingRangesMax: 3)
        let batch = state.makeBatch(of: [2, 4, 6, 8, 10].map { message($0) }, milliseconds: noon)
        #expect(batch.counts.stored == 3 && batch.counts.deferred == 2)
        state.adopt(batch)
        #expect(state.cursors["store-1"]?.missing.ranges.count == 3)
        #expect(state.cursors["store-1"]?.highest == 6)
        // What fills a gap is always taken, and makes room.
        let more = state.makeBatch(of: [1, 7, 8, 9, 10].map { message($0) }, milliseconds: noon)
        #expect(more.counts.stored == 5)
    }

    @Test func `sites and streams are bounded`() {
        let state = IngestState(sitesMax: 2)
        let batch = state.makeBatch(of: ["a", "b", "c"].map { message(1, site: $0) }, milliseconds: noon)
        #expect(batch.counts.stored == 2 && batch.counts.deferred == 1)
        #expect(batch.sites == ["a", "b"])
        let many = (1...UInt64(RollupKey.streamsPerSiteMax + 5)).map { message($0, topic: "s/\($0)") }
        let streams = IngestState().makeBatch(of: many, milliseconds: noon)
        #expect(streams.streams.count == RollupKey.streamsPerSiteMax)
        #expect(streams.rollups.first { $0.key.stream == RollupKey.otherStream }?.value.count == 5)
    }

    @Test func `agrees with a naive oracle under random disorder, duplicates, drops and epochs`() {
        var random = SeededRandom(seed: runSeed)
        for _ in 0..<200 {
            var state = IngestState()
            var epoch: UInt64 = 0
            var stored: [UInt64: Set<UInt64>] = [:]
            var dropped: [UInt64: Set<UInt64>] = [:]
            for _ in 0..<40 {
                var batch: [IngestMessage] = []
                for _ in 0..<Int.random(in: 0...12, using: &random) {
                    let itsEpoch = UInt64.random(
                        in: epoch...(epoch + (UInt8.random(in: 0...60, using: &random) == 0 ? 1 : 0)),
                        using: &random
                    )
                    let old = epoch > 0 && UInt8.random(in: 0...20, using: &random) == 0
                    let number = UInt64.random(in: 1...60, using: &random)
                    var drop: PolicyDrop?
                    if UInt8.random(in: 0...9, using: &random) == 0 {
                        let first = UInt64.random(in: 1...60, using: &random)
                        drop = PolicyDrop(range: first...(first + 4), reason: "expired")
                    }
                    batch.append(message(number, epoch: old ? epoch - 1 : itsEpoch, drop: drop))
                    // The oracle: sets, and the rules in the plainest words.
                    let at = old ? epoch - 1 : itsEpoch
                    if at < epoch { continue }
                    epoch = at
                    let seen = stored[at, default: []].union(dropped[at, default: []])
                    if let range = drop?.range, range.contains(number) {
                        dropped[at, default: []].formUnion(Set(range).subtracting(stored[at, default: []]))
                        continue
                    }
                    if seen.contains(number) { continue }
                    stored[at, default: []].insert(number)
                    if let range = drop?.range {
                        dropped[at, default: []].formUnion(Set(range).subtracting(stored[at, default: []]))
                    }
                }
                state.adopt(state.makeBatch(of: batch, milliseconds: noon))
                guard let cursor = state.cursors["store-1"] else { continue }
                let accounted = stored[epoch, default: []].union(dropped[epoch, default: []])
                #expect(cursor.epoch == epoch, "seed \(runSeed)")
                #expect(cursor.stored == UInt64(stored[epoch, default: []].count))
                #expect(cursor.dropped == UInt64(dropped[epoch, default: []].count))
                #expect(cursor.highest == accounted.max() ?? 0)
                var watermark: UInt64 = 0
                while accounted.contains(watermark + 1) { watermark += 1 }
                #expect(cursor.watermark == watermark, "seed \(runSeed)")
            }
        }
    }
}
