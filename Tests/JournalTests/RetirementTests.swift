import Foundation
import Journal
import Repeatable
import Synchronization
import TestSupport
import Testing

/// Where the readers of a test stand.
private final class Positions: Sendable {
    private let values = Mutex<[UInt64]>([1, 1, 1])
    var slowest: UInt64 { values.withLock { $0.min() ?? 1 } }
    func set(_ reader: Int, _ position: UInt64) { values.withLock { $0[reader] = position } }
}

/// A clock that stands still until it is set.
private final class ManualClock: Sendable {
    private let value = Mutex<Int64>(0)
    var milliseconds: Int64 {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}

@Suite("Journal retirement and readers", .timeLimit(.minutes(5)))
struct RetirementTests {
    @Test("only whole segments go, the last one never, and their files are used again")
    func retirement() throws {
        let disk = FaultyDisk(seed: 20)
        let opened = try TestJournal.open(disk)
        for sequence in 1...UInt64(200) { opened.append([payload(sequence, bytes: 500)]) }
        opened.log.waitForCommit(of: 200)
        let segments = { disk.paths.filter { $0.hasSuffix(".segment") }.count }
        let spares = { disk.paths.filter { $0.hasSuffix(".spare") }.count }
        let before = segments()
        #expect(before > 5)
        opened.journal.retire(before: 100)
        #expect(opened.journal.firstSequence <= 100)
        #expect(opened.journal.firstSequence > 50)
        #expect(segments() < before)
        #expect(spares() == 1)
        #expect(try opened.readAll().keys.min() == opened.journal.firstSequence)
        opened.journal.retire(before: .max)
        #expect(segments() == 1)
        let bytes = opened.journal.bytesOnDisk
        #expect(bytes == 2 * Journal.Configuration.minSegmentBytes)
        // The next segment takes the spare: old records in it must not come back.
        for sequence in 201...UInt64(260) { opened.append([payload(sequence, bytes: 500)]) }
        opened.log.waitForCommit(of: 260)
        #expect(spares() == 0)
        opened.journal.close()
        let after = try TestJournal.open(disk.restarted(seed: 20))
        #expect(after.recovery.nextSequence == 261)
        #expect(!after.recovery.isDamaged)
        for (sequence, bytes) in try after.readAll() { #expect(bytes == payload(sequence, bytes: 500)) }
    }

    @Test("nothing goes that the older checkpoint still needs")
    func checkpointsHoldSegments() throws {
        let opened = try TestJournal.open(FaultyDisk(seed: 21))
        for sequence in 1...UInt64(200) { opened.append([payload(sequence, bytes: 500)]) }
        opened.log.waitForCommit(of: 200)
        try opened.journal.writeCheckpoint(through: 150, bytes: [1])
        opened.journal.retire(before: 200)
        #expect(opened.journal.firstSequence == 1, "with one checkpoint everything must stay replayable")
        try opened.journal.writeCheckpoint(through: 190, bytes: [2])
        opened.journal.retire(before: 200)
        #expect(opened.journal.firstSequence > 100)
        #expect(opened.journal.firstSequence <= 151)
        #expect(throws: JournalError.self) { try opened.journal.writeCheckpoint(through: 201, bytes: []) }
    }

    @Test("short of room, what the only checkpoint covers goes too, so that the journal never stalls for good")
    func stalledWithOneCheckpoint() throws {
        let opened = try TestJournal.open(FaultyDisk(seed: 24)) {
            $0.maxBytes = 5 * Journal.Configuration.minSegmentBytes
        }
        var last: UInt64 = 0
        while opened.log.stalled.isEmpty {
            last = opened.append([payload(opened.journal.nextSequence, bytes: 1000)])
            opened.log.wait { $0.through >= last || !$0.stalled.isEmpty }
            if last == 30 { try opened.journal.writeCheckpoint(through: 30, bytes: [1]) }
        }
        opened.journal.retire(before: last)
        #expect(opened.log.waitForCommit(of: last))
        #expect(opened.journal.firstSequence > 1 && opened.journal.firstSequence <= 31)
        opened.journal.close()
    }

    @Test("segments are kept for a while where that is asked for, unless room is short")
    func keeping() throws {
        let clock = ManualClock()
        let disk = FaultyDisk(seed: 22)
        let opened = try TestJournal.open(disk) {
            $0.maxBytes = 20 * Journal.Configuration.minSegmentBytes
            $0.wallMilliseconds = { clock.milliseconds }
        }
        func fill(_ count: Int) {
            for _ in 0..<count {
                opened.log.waitForCommit(of: opened.append([payload(opened.journal.nextSequence, bytes: 500)]))
            }
        }
        fill(100)
        clock.milliseconds = 3_600_000
        fill(100)
        opened.journal.retire(before: 200, keeping: .seconds(7200))
        #expect(opened.journal.firstSequence == 1)
        opened.journal.retire(before: 200, keeping: .seconds(1800))
        let first = opened.journal.firstSequence
        #expect(first > 50 && first < 110)
        fill(320)
        #expect(opened.journal.bytesOnDisk > 18 * Journal.Configuration.minSegmentBytes - 1)
        opened.journal.retire(before: 500, keeping: .seconds(1_000_000))
        #expect(opened.journal.firstSequence > first, "room comes before keeping")
    }

    @Test("a reader in the middle of a segment keeps it while it is retired and its successors are written")
    func retirementUnderAReader() throws {
        let opened = try TestJournal.open(FaultyDisk(seed: 25)) { $0.segmentBytes = 1 << 20 }
        func filled(_ sequence: UInt64) -> [UInt8] {
            [UInt8](repeating: UInt8(truncatingIfNeeded: sequence &* 31), count: 8000)
        }
        func append(_ count: Int) {
            for _ in 0..<count { opened.append([filled(opened.journal.nextSequence)]) }
            opened.log.waitForCommit(of: opened.journal.nextSequence - 1)
        }
        append(300)
        var seen: UInt64 = 0
        try opened.journal.read(from: 1, maxBytes: .max) { sequence, bytes in
            if sequence == 1 {
                opened.journal.retire(before: .max)
                // More than a segment: what would be used again is written now.
                append(300)
            }
            let isRight = sequence == seen + 1 && bytes.elementsEqual(filled(sequence))
            #expect(isRight, "record \(sequence)")
            seen = sequence
            return true
        }
        #expect(seen >= 300)
        #expect(opened.journal.firstSequence > 1)
        opened.journal.close()
    }

    @Test("readers beside appends and retirement see every record once, in order, and intact")
    func concurrency() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/causeway-journal-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let opened = try TestJournal.open(PosixDisk()) {
            $0.directory = folder
            $0.segmentBytes = 64 * 1024
        }
        let last: UInt64 = 20_000
        let positions = Positions()
        await withTaskGroup(of: Void.self) { group in
            for reader in 0..<3 {
                group.addTask {
                    var next: UInt64 = 1
                    let deadline = ContinuousClock.now + .seconds(60)
                    while next <= last, ContinuousClock.now < deadline {
                        var expected = next
                        do {
                            next = try opened.journal.read(from: next, maxBytes: 10_000) { sequence, bytes in
                                let isRight = sequence == expected && bytes.elementsEqual(payload(sequence, bytes: 40))
                                #expect(isRight, "reader \(reader) at \(expected) got \(sequence)")
                                expected = sequence + 1
                                return true
                            }
                        } catch {
                            Issue.record("reader \(reader): \(error)")
                            return
                        }
                        positions.set(reader, next)
                        await Task.yield()
                    }
                    #expect(next == last + 1)
                }
            }
            group.addTask {
                // A reader without a position of its own: what it looks up is right or gone.
                var random = SeededRandom(seed: 23)
                while positions.slowest <= last {
                    let wanted = (0..<20).map { _ in UInt64.random(in: 1...last, using: &random) }
                    do {
                        try opened.journal.read(sequences: wanted) { sequence, bytes in
                            let isRight = bytes.elementsEqual(payload(sequence, bytes: 40))
                            #expect(isRight, "look-up of \(sequence)")
                            return true
                        }
                    } catch { Issue.record("look-up: \(error)") }
                    await Task.yield()
                }
            }
            group.addTask {
                while opened.journal.nextSequence <= last {
                    let first = opened.journal.nextSequence
                    opened.append((0..<50).map { payload(first + $0, bytes: 40) })
                    opened.journal.retire(before: positions.slowest)
                    await Task.yield()
                }
            }
        }
        #expect(opened.log.waitForCommit(of: last))
        #expect(opened.journal.firstSequence > last / 2, "segments were retired meanwhile")
        opened.journal.close()
    }
}
