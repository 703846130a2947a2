import Foundation
import Journal
import Repeatable
import TestSupport
import Testing

/// A journal's files are damaged in every way the campaign knows; opening it must keep what is intact and name what is
/// not.
@Suite("Journal and corruption", .timeLimit(.minutes(10)))
struct CorruptionTests {
    private static let cases = 2400
    private static let checkpoints: [UInt64] = [40, 90]

    /// A record's place in a file.
    private struct Place {
        var sequence: UInt64
        var path: String
        var range: Range<Int>
    }

    /// A journal as it was before the damage.
    private struct Image {
        var disk: FaultyDisk
        var payloads: [UInt64: [UInt8]]
        var places: [Place]
        var marks: [Place]
        var paths: [String]
        var segments: [String] { paths.filter { $0.hasSuffix(".segment") } }
    }

    private static func makeImage() throws -> Image {
        let disk = FaultyDisk(seed: 77)
        let opened = try TestJournal.open(disk)
        var random = SeededRandom(seed: 77)
        var payloads: [UInt64: [UInt8]] = [:]
        while opened.journal.nextSequence <= 160 {
            let first = opened.journal.nextSequence
            // At the end one at a time, so that every record's end is proven by the one after it.
            let count = first > 120 ? 1 : UInt64.random(in: 1...10, using: &random)
            let batch = (0..<count).map { payload(first + $0, bytes: Int.random(in: 0...1500, using: &random)) }
            for (index, bytes) in batch.enumerated() { payloads[first + UInt64(index)] = bytes }
            opened.log.waitForCommit(of: opened.append(batch))
            for checkpoint in checkpoints where (first..<first + count).contains(checkpoint) {
                try opened.journal.writeCheckpoint(through: checkpoint, bytes: payload(checkpoint, bytes: 5000))
            }
        }
        opened.journal.close()
        var image = Image(disk: disk, payloads: payloads, places: [], marks: [], paths: disk.paths)
        for path in image.segments {
            let bytes = try #require(disk.contents(of: path))
            var offset = 4096
            while offset + 24 <= bytes.count {
                let number = { (start: Int, count: Int) in
                    bytes[offset + start..<offset + start + count].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                }
                let (length, sequence, kind) = (Int(number(4, 4)), number(8, 8), number(16, 4) >> 28)
                guard sequence != 0 else { break }
                let place = Place(sequence: sequence, path: path, range: offset..<offset + 24 + length)
                if kind == 1 { image.places.append(place) } else { image.marks.append(place) }
                offset += (24 + length + 7) & ~7
            }
        }
        #expect(image.places.map(\.sequence).sorted() == Array(1...UInt64(payloads.count)))
        #expect(image.segments.count >= 8)
        return image
    }

    /// Damages the copy in one or two ways and says which.
    private func damage(_ disk: FaultyDisk, _ image: Image, _ random: inout SeededRandom) -> String {
        let path = image.paths.filter { !$0.hasSuffix(".lock") }.randomElement(using: &random) ?? ""
        let other = image.segments.randomElement(using: &random) ?? ""
        let count = disk.contents(of: path)?.count ?? 0
        let kind = Int.random(in: 0..<12, using: &random)
        let name = (path as NSString).lastPathComponent
        switch kind {
        case 0...3:
            let flips = Int.random(in: 1...6, using: &random)
            for _ in 0..<flips where count > 0 {
                let bit = Int.random(in: 0..<count * 8, using: &random)
                disk.edit(path) { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
            }
            return "\(flips) flips in \(name)"
        case 4:
            let keep = Int.random(in: 0...count, using: &random)
            disk.edit(path) { $0.removeLast($0.count - keep) }
            return "\(name) truncated to \(keep)"
        case 5:
            let block = Int.random(in: 0...max(0, (count - 1) / 4096), using: &random) * 4096
            disk.edit(path) { for index in block..<min(block + 4096, $0.count) { $0[index] = 0 } }
            return "zeros at \(block) of \(name)"
        case 6:
            let block = Int.random(in: 0...max(0, (count - 1) / 512), using: &random) * 512
            var garbage = random
            disk.edit(path) { bytes in
                for index in block..<min(block + 512, bytes.count) {
                    bytes[index] = .random(in: 0...255, using: &garbage)
                }
            }
            return "garbage at \(block) of \(name)"
        case 7:
            guard count >= 12288 else { return "nothing" }
            disk.edit(path) { for index in 4096..<8192 { $0.swapAt(index, index + 4096) } }
            return "blocks 1 and 2 of \(name) swapped"
        case 8:
            let (first, second) = (disk.contents(of: path), disk.contents(of: other))
            guard path.hasSuffix(".segment") else { return "nothing" }
            disk.place(second, at: path)
            disk.place(first, at: other)
            return "\(name) and \((other as NSString).lastPathComponent) swapped"
        case 9:
            guard path.hasSuffix(".segment") else { return "nothing" }
            disk.place(disk.contents(of: path), at: other)
            return "\(name) copied over \((other as NSString).lastPathComponent)"
        case 10:
            disk.place(nil, at: path)
            return "\(name) removed"
        default:
            disk.edit(path) { for index in $0.indices { $0[index] = 0 } }
            return "\(name) all zeros"
        }
    }

    @Test(
        "whatever is damaged: no crash, no wrong payload, intact records kept, the lost ones named exactly",
        arguments: 0..<4
    )
    func campaign(part: Int) throws {
        let image = try CorruptionTests.makeImage()
        var damaged = 0
        var lostRecords = 0
        var unprovenRecords = 0
        var keptRecords = 0
        for seed in stride(from: part, to: CorruptionTests.cases, by: 4) {
            var random = SeededRandom(seed: UInt64(seed))
            let disk = image.disk.afterProcessDeath(seed: UInt64(seed))
            var what = damage(disk, image, &random)
            if seed % 3 == 0 { what += ", " + damage(disk, image, &random) }
            let name: Comment = "seed \(seed): \(what)"
            let intact = image.places.filter { place in isIntact(place, image, disk) }
            let opened = try TestJournal.open(disk)
            let records = try opened.readAll()
            let kept = Set(records.keys)
            for (sequence, bytes) in records {
                let isRight = image.payloads[sequence] == bytes
                #expect(isRight, "\(name): record \(sequence)")
            }
            let missed = Set(intact.map(\.sequence)).subtracting(kept)
            #expect(missed.isEmpty, "\(name): intact, and not kept: \(missed.sorted())")
            let lost = Set(opened.recovery.lost.flatMap { Array($0).prefix(2000) })
            #expect(lost.isDisjoint(with: kept), name)
            // Everything between what the older checkpoint covers and the last kept record is either there or named.
            let from = min(opened.recovery.firstSequence, (opened.recovery.checkpoint?.sequence ?? .max - 1) + 1)
            let all = from <= (kept.max() ?? 0) ? Set(from...(kept.max() ?? 0)) : []
            let unexplained = all.subtracting(kept).subtracting(lost)
            #expect(unexplained.isEmpty, "\(name): neither kept nor named: \(unexplained.sorted())")
            let proven = (image.marks.filter { isIntact($0, image, disk) }.map(\.sequence) + kept).max() ?? 0
            #expect(opened.recovery.nextSequence > proven, name)
            if kept.count < image.places.count, !lost.isEmpty { #expect(opened.recovery.isDamaged, name) }
            if opened.recovery.isDamaged { damaged += 1 }
            lostRecords += lost.filter { $0 <= UInt64(image.places.count) }.count
            unprovenRecords += image.places.count - kept.count - lost.filter { $0 <= UInt64(image.places.count) }.count
            keptRecords += kept.count
            // Life goes on, and the next start finds the same.
            let next = opened.append([[1, 2, 3]])
            #expect(opened.log.waitForCommit(of: next), name)
            opened.journal.close()
            let again = try TestJournal.open(disk)
            let isSame = try again.readAll() == records.merging([next: [1, 2, 3]]) { old, _ in old }
            #expect(isSame, name)
            #expect(again.recovery.nextSequence == next + 1, name)
            #expect(lost.isSubset(of: Set(again.recovery.lost.flatMap { Array($0).prefix(2000) })), name)
            again.journal.close()
        }
        #expect(damaged > CorruptionTests.cases / 16)
        print(
            "part \(part): \(damaged) damaged journals, \(keptRecords) records kept, \(lostRecords) lost and named, "
                + "\(unprovenRecords) gone with the end of the file that alone knew of them"
        )
    }

    private func isIntact(_ place: Place, _ image: Image, _ disk: FaultyDisk) -> Bool {
        guard let before = image.disk.contents(of: place.path), let after = disk.contents(of: place.path),
            after.count >= place.range.upperBound
        else { return false }
        return before[place.range] == after[place.range]
    }

    @Test("damage in the middle is quarantined with a copy, its range is named, and a torn tail is cut")
    func quarantine() throws {
        let disk = FaultyDisk(seed: 12)
        let opened = try TestJournal.open(disk)
        for sequence in 1...UInt64(20) { opened.log.waitForCommit(of: opened.append([payload(sequence, bytes: 200)])) }
        opened.journal.close()
        let path = "/journal/00000000000000000001.segment"
        // Records 5 and 6: each frame has 224 bytes.
        let damaged = 4096 + 4 * 224 + 100
        disk.edit(path) { for index in damaged..<damaged + 224 { $0[index] ^= 0x55 } }
        let after = try TestJournal.open(disk)
        #expect(after.recovery.lost == [5...6])
        #expect(after.recovery.nextSequence == 21)
        let report = try #require(after.recovery.damage.first)
        #expect(report.kind == .damagedRange)
        #expect(report.bytes == 4096 + 4 * 224..<4096 + 6 * 224)
        let copy = try #require(report.copy)
        let bytes = try #require(disk.contents(of: "/journal/" + copy))
        #expect(bytes == Array(try #require(disk.contents(of: path))[4096 + 4 * 224..<4096 + 6 * 224]))
        #expect(Set(try after.readAll().keys) == Set(1...20).subtracting([5, 6]))
        after.journal.close()
    }

    @Test("damage to the very last commit is named as lost, not taken for a torn tail; its numbers are not used again")
    func damageAtTheEnd() throws {
        let disk = FaultyDisk(seed: 17)
        let opened = try TestJournal.open(disk)
        opened.log.waitForCommit(of: opened.append((1...5).map { payload($0, bytes: 200) }))
        opened.log.waitForCommit(of: opened.append((6...9).map { payload($0, bytes: 200) }))
        opened.journal.close()
        // The last two of the second commit. Each frame has 224 bytes.
        disk.edit("/journal/00000000000000000001.segment") { bytes in
            for index in 4096 + 7 * 224..<4096 + 9 * 224 { bytes[index] = 0 }
        }
        for _ in 0..<2 {
            let after = try TestJournal.open(disk)
            #expect(after.recovery.lost == [8...9])
            #expect(after.recovery.tornTail == nil)
            #expect(after.recovery.nextSequence == 10)
            #expect(Set(try after.readAll().keys) == Set(1...7))
            after.journal.close()
        }
    }

    @Test("the older checkpoint serves when the newest is damaged, and the records since it are still there")
    func checkpointFallback() throws {
        let disk = FaultyDisk(seed: 13)
        let opened = try TestJournal.open(disk)
        for sequence in 1...UInt64(300) { opened.append([payload(sequence, bytes: 300)]) }
        opened.log.waitForCommit(of: 300)
        for sequence in [UInt64(100), 200, 250] {
            try opened.journal.writeCheckpoint(through: sequence, bytes: payload(sequence, bytes: 99))
            opened.journal.retire(before: 300)
        }
        #expect(opened.journal.firstSequence > 100)
        opened.journal.close()
        #expect(disk.paths.filter { $0.hasSuffix(".checkpoint") }.count == 2, "the last two are kept")
        disk.edit("/journal/00000000000000000250.checkpoint") { $0[80] ^= 1 }
        let after = try TestJournal.open(disk)
        let checkpoint = try #require(after.recovery.checkpoint)
        #expect(checkpoint.sequence == 200)
        #expect(checkpoint.bytes == payload(200, bytes: 99))
        #expect(after.recovery.damage.map(\.kind) == [.damagedCheckpoint])
        #expect(Set(try after.readAll().keys).isSuperset(of: Set(201...300)))
    }

    @Test("damage that appears while the journal is open is an error with the records' range; reading goes on after it")
    func damageWhileOpen() throws {
        let disk = FaultyDisk(seed: 14)
        let opened = try TestJournal.open(disk)
        opened.log.waitForCommit(of: opened.append((1...60).map { payload(UInt64($0), bytes: 100) }))
        disk.edit("/journal/00000000000000000001.segment") { $0[4096 + 9 * 128 + 30] ^= 4 }
        var seen: [UInt64] = []
        let error = #expect(throws: JournalError.self) {
            try opened.journal.read(from: 1, maxBytes: .max) { sequence, _ in
                seen.append(sequence)
                return true
            }
        }
        #expect(seen == Array(1...9))
        #expect(error?.code == .corrupt)
        #expect(error?.lostSequences == 10...10)
        #expect(Set(try opened.readAll(from: 11).keys) == Set(11...60))
        seen = []
        let lookUp = #expect(throws: JournalError.self) {
            try opened.journal.read(sequences: [9, 10, 11, 50]) { sequence, _ in
                seen.append(sequence)
                return true
            }
        }
        #expect(seen == [9, 11, 50])
        #expect(lookUp?.lostSequences == 10...10)
    }

    @Test("a payload that looks like a record of the journal is never taken for one, not even in damaged bytes")
    func forgedRecords() throws {
        let disk = FaultyDisk(seed: 15)
        let other = FaultyDisk(seed: 16)
        // The attacker knows the format: his frames come from a journal of his own.
        let foreign = try TestJournal.open(other) { $0.identity = JournalIdentity(high: 1, low: 2) }
        foreign.log.waitForCommit(of: foreign.append((1...20).map { _ in Array("forged".utf8) }))
        let frames = Array(try #require(other.contents(of: "/journal/00000000000000000001.segment"))[4096..<5120])
        let opened = try TestJournal.open(disk)
        for _ in 0..<3 { opened.log.waitForCommit(of: opened.append([frames])) }
        opened.journal.close()
        // The header of the first record goes, so that recovery searches its payload.
        disk.edit("/journal/00000000000000000001.segment") { for index in 4096..<4120 { $0[index] = 0xff } }
        let after = try TestJournal.open(disk)
        #expect(after.recovery.lost == [1...1])
        #expect(try after.readAll() == [2: frames, 3: frames])
    }
}
