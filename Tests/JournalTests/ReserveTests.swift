import Glibc
import Journal
import TestSupport
import Testing

/// The reserve: what is set aside for when there is no room for another segment.
@Suite("Journal without room, and its reserve", .timeLimit(.minutes(2)))
struct ReserveTests {
    private static let segment = Journal.Configuration.minSegmentBytes

    private func open(_ disk: FaultyDisk, maxSegments: Int = 1_000) throws -> TestJournal {
        try TestJournal.open(disk) {
            $0.reserveSegments = 1
            $0.maxBytes = maxSegments * Self.segment
        }
    }

    /// Appends records of 1,000 bytes, one at a time, until the condition holds. Returns the last sequence.
    @discardableResult
    private func fill(_ opened: TestJournal, until condition: (TestJournal) -> Bool) -> UInt64 {
        var last = opened.journal.nextSequence - 1
        for _ in 0..<1_000 where !condition(opened) {
            last = opened.append([payload(opened.journal.nextSequence, bytes: 1000)])
            opened.log.wait { $0.through >= last || !$0.stalled.isEmpty || !$0.failed.isEmpty }
        }
        return last
    }

    @Test("the reserve is made at the start and is there again after a restart")
    func isMadeOnce() throws {
        let disk = FaultyDisk(seed: 1)
        try open(disk).journal.close()
        let spares = disk.paths.filter { $0.hasSuffix(".spare") }
        #expect(spares.count == 1)
        let again = try open(disk)
        #expect(again.journal.room == .ample)
        #expect(again.journal.bytesOnDisk == Self.segment)
        again.journal.close()
        #expect(disk.paths.filter { $0.hasSuffix(".spare") } == spares)
    }

    @Test("on a full disk the journal goes on in its reserve and says so once; it says so when room is back")
    func fullDisk() throws {
        let disk = FaultyDisk(seed: 2)
        disk.spaceLimit = 4 * Self.segment
        let opened = try open(disk)
        var last = fill(opened) { !$0.log.short.isEmpty }
        #expect(opened.log.short.map(\.code) == [.diskFull])
        #expect(opened.journal.room == .reserve)
        #expect(opened.log.through == last, "what the reserve took is committed")
        last = fill(opened) { !$0.log.stalled.isEmpty }
        #expect(opened.journal.room == .none)
        #expect(opened.log.through < last, "no acknowledgement without room")
        #expect(opened.log.short.count == 1)
        #expect(opened.log.relieved == 0)
        disk.spaceLimit = .max
        #expect(opened.log.waitForCommit(of: last))
        #expect(opened.log.wait { $0.relieved == 1 })
        #expect(opened.journal.room == .ample)
        opened.journal.close()
        let after = try open(disk.restarted(seed: 2))
        #expect(try after.readAll().count == Int(last))
        after.journal.close()
    }

    @Test("the last quarter of the reserve is kept for what makes room")
    func lastQuarter() throws {
        let disk = FaultyDisk(seed: 3)
        disk.spaceLimit = 3 * Self.segment
        let opened = try open(disk)
        fill(opened) { $0.journal.room == .none }
        #expect(opened.log.stalled.isEmpty, "records are still committed")
        let first = opened.journal.firstSequence
        let committed = opened.journal.committedSequence
        #expect(opened.journal.couldRetire(before: committed))
        // Checkpoints are small; the disk takes them.
        disk.spaceLimit = 4 * Self.segment
        try opened.journal.writeCheckpoint(through: committed, bytes: [1])
        opened.journal.retire(before: committed)
        #expect(opened.journal.firstSequence > first)
        #expect(opened.log.wait { $0.relieved == 1 })
        #expect(opened.journal.room == .ample)
        opened.journal.close()
    }

    @Test("at max_bytes the reserve serves as on a full disk, twenty times over")
    func sizeLimit() throws {
        let opened = try open(FaultyDisk(seed: 4), maxSegments: 5)
        for cycle in 1...20 {
            fill(opened) { $0.log.short.count == cycle }
            #expect(opened.log.short.last?.code == .sizeLimit)
            #expect(opened.journal.bytesOnDisk <= 5 * Self.segment)
            opened.journal.retire(before: opened.journal.committedSequence)
            #expect(opened.log.wait { $0.relieved == cycle })
        }
        #expect(opened.log.failed.isEmpty && opened.log.stalled.isEmpty)
        opened.journal.close()
    }

    @Test("a journal that is opened on a full disk without its reserve says so, and makes it when there is room")
    func openedFull() throws {
        let disk = FaultyDisk(seed: 5)
        let plain = try TestJournal.open(disk)
        #expect(plain.log.waitForCommit(of: plain.append([[1]])))
        plain.journal.close()
        disk.spaceLimit = 0
        let opened = try open(disk)
        #expect(opened.log.wait { $0.short.count == 1 })
        #expect(opened.log.waitForCommit(of: opened.append([[2]])))
        disk.spaceLimit = .max
        #expect(opened.log.wait { $0.relieved == 1 })
        #expect(disk.paths.filter { $0.hasSuffix(".spare") }.count == 1)
        opened.journal.close()
    }

    @Test("a failed sync in the reserve is as final as any", arguments: [EIO, ENOSPC])
    func failedSync(code: Int32) throws {
        let disk = FaultyDisk(seed: 6)
        disk.spaceLimit = 3 * Self.segment
        let opened = try open(disk)
        let last = fill(opened) { !$0.log.short.isEmpty }
        for call in disk.calls + 1...disk.calls + 4 { disk.fail(call: call, code: code) }
        opened.append([[1]])
        #expect(opened.log.wait { !$0.failed.isEmpty })
        disk.spaceLimit = .max
        let calls = disk.calls
        opened.append([[2]])
        opened.journal.close()
        #expect(disk.calls == calls, "the disk is left alone")
        #expect(opened.log.through == last)
        #expect(opened.log.relieved == 0)
    }

    @Test("without a reserve a stall ends with word that there is room")
    func withoutReserve() throws {
        let disk = FaultyDisk(seed: 7)
        disk.spaceLimit = 2 * Self.segment
        let opened = try TestJournal.open(disk)
        let last = fill(opened) { !$0.log.stalled.isEmpty }
        #expect(opened.log.short.isEmpty)
        disk.spaceLimit = .max
        #expect(opened.log.waitForCommit(of: last))
        #expect(opened.log.wait { $0.relieved == 1 })
        opened.journal.close()
    }
}
