import Glibc
import Journal
import TestSupport
import Testing

/// Errors of the disk at every call: nothing is acknowledged after the first that matters, and it is said once.
@Suite("Journal and disk errors", .timeLimit(.minutes(5)))
struct FailureTests {
    /// A fixed piece of work that rolls segments, checkpoints and retires. Returns what was acknowledged.
    private func work(_ disk: FaultyDisk, _ reserve: Int) -> (log: NoticeLog, acknowledged: UInt64, opened: Bool) {
        guard let opened = try? TestJournal.open(disk, { $0.reserveSegments = reserve }) else {
            return (NoticeLog(), 0, false)
        }
        for step in 0..<40 where opened.log.failed.isEmpty {
            let first = opened.journal.nextSequence
            let last = opened.append((0..<3).map { payload(first + UInt64($0), bytes: 400) })
            opened.log.wait { $0.through >= last || !$0.failed.isEmpty || !$0.stalled.isEmpty }
            if step % 10 == 9 {
                let committed = opened.journal.committedSequence
                try? opened.journal.writeCheckpoint(through: committed, bytes: [UInt8(step)])
                opened.journal.retire(before: committed)
            }
        }
        opened.journal.close()
        return (opened.log, opened.log.through, true)
    }

    @Test(
        "an error at any call stops acknowledgements for good, and what was acknowledged is there",
        arguments: [EIO, ENOSPC],
        [0, 1]
    )
    func errorAtEveryCall(code: Int32, reserve: Int) throws {
        let whole = FaultyDisk(seed: 1)
        #expect(work(whole, reserve).acknowledged == 120)
        let calls = whole.calls
        var failures = 0
        var refusals = 0
        for call in 1...calls {
            let disk = FaultyDisk(seed: 1)
            disk.fail(call: call, code: code)
            let result = work(disk, reserve)
            let name: Comment = "call \(call) of \(calls), errno \(code): \(disk.log.dropFirst(call - 1).first ?? "")"
            #expect(result.log.failed.count <= 1, name)
            #expect(result.log.noticesAfterFailure == 0, name)
            if !result.opened { refusals += 1 }
            if let error = result.log.failed.first {
                failures += 1
                #expect(error.errno == code, name)
                #expect(error.path != nil && !error.message.isEmpty, name)
                if code == ENOSPC { #expect(error.code == .diskFull, name) }
                // The power goes before anybody could repair anything.
                disk.cutPower()
            }
            let after = try TestJournal.open(
                disk.isOff ? disk.restarted(seed: UInt64(call)) : disk.afterProcessDeath(seed: UInt64(call))
            )
            #expect(after.recovery.nextSequence > result.acknowledged, name)
            #expect(!after.recovery.isDamaged, name)
            for (sequence, bytes) in try after.readAll() {
                #expect(bytes == payload(sequence, bytes: 400), name)
            }
            after.journal.close()
        }
        #expect(failures > calls / 2)
        #expect(refusals > 0)
        print("errno \(code): \(calls) calls, \(failures) failed journals, \(refusals) refused openings")
    }

    @Test("a failed sync is never tried again")
    func failedSyncIsFinal() throws {
        let disk = FaultyDisk(seed: 2)
        let opened = try TestJournal.open(disk)
        opened.log.waitForCommit(of: opened.append([[1]]))
        // The next calls are the mark that may follow the commit, the write and its sync.
        for call in disk.calls + 1...disk.calls + 3 { disk.fail(call: call, code: EIO) }
        opened.append([[2]])
        #expect(opened.log.wait { !$0.failed.isEmpty })
        let calls = disk.calls
        for index in 0..<5 { opened.append([[UInt8(index)]]) }
        opened.journal.close()
        #expect(disk.calls == calls, "the disk is left alone")
        #expect(opened.log.through == 1)
        #expect(opened.log.noticesAfterFailure == 0)
        #expect(try opened.readAll() == [1: [1]], "what was committed stays readable, nothing else is")
        #expect(opened.journal.failure?.errno == EIO)
    }

    @Test("a full disk stalls the journal before anything is written; it goes on by itself when there is room")
    func fullDisk() throws {
        let disk = FaultyDisk(seed: 3)
        disk.spaceLimit = 3 * Journal.Configuration.minSegmentBytes
        let opened = try TestJournal.open(disk)
        var last: UInt64 = 0
        while opened.log.stalled.isEmpty {
            last = opened.append([payload(opened.journal.nextSequence, bytes: 1000)])
            opened.log.wait { $0.through >= last || !$0.stalled.isEmpty }
        }
        #expect(opened.log.stalled.map(\.code) == [.diskFull])
        #expect(opened.journal.isStalled)
        let committed = opened.log.through
        for _ in 0..<5 { last = opened.append([payload(opened.journal.nextSequence, bytes: 1000)]) }
        #expect(opened.log.through == committed, "no acknowledgement without room")
        #expect(opened.journal.pendingBytes >= 5000)
        disk.spaceLimit = .max
        #expect(opened.log.waitForCommit(of: last))
        #expect(!opened.journal.isStalled)
        #expect(opened.journal.pendingBytes == 0)
        #expect(opened.log.failed.isEmpty)
        opened.journal.close()
        let after = try TestJournal.open(disk.restarted(seed: 3))
        #expect(try after.readAll().count == Int(last))
    }

    @Test("at max_bytes the journal stalls, and retirement lets it go on")
    func sizeLimit() throws {
        let disk = FaultyDisk(seed: 4)
        let opened = try TestJournal.open(disk) {
            $0.maxBytes = 4 * Journal.Configuration.minSegmentBytes
            $0.stallRetryMilliseconds = 1_000_000
        }
        for cycle in 1...20 {
            var last: UInt64 = 0
            while opened.log.stalled.count < cycle {
                last = opened.append([payload(opened.journal.nextSequence, bytes: 1000)])
                opened.log.wait { $0.through >= last || $0.stalled.count == cycle }
            }
            #expect(opened.log.stalled.last?.code == .sizeLimit)
            #expect(opened.journal.bytesOnDisk <= 4 * Journal.Configuration.minSegmentBytes)
            opened.journal.retire(before: opened.journal.committedSequence)
            #expect(opened.log.waitForCommit(of: last))
        }
        #expect(opened.log.failed.isEmpty)
        opened.journal.close()
    }

    @Test("a block that cannot be read is damage, not the end: everything else is recovered")
    func unreadableBlock() throws {
        let disk = FaultyDisk(seed: 5)
        let opened = try TestJournal.open(disk)
        let last = opened.append((1...60).map { payload(UInt64($0), bytes: 500) })
        #expect(opened.log.waitForCommit(of: last))
        opened.journal.close()
        for read in 1...12 {
            let copy = disk.afterProcessDeath(seed: 5)
            copy.fail(read: read)
            let after = try TestJournal.open(copy)
            copy.fail(read: nil)
            for (sequence, bytes) in try after.readAll() { #expect(bytes == payload(sequence, bytes: 500)) }
            #expect(after.recovery.nextSequence == last + 1, "read \(read)")
            after.journal.close()
        }
    }
}
