import Foundation
import Repeatable
import Synchronization
import TestSupport
import Testing

@testable import Journal

/// Looking at a journal and copying it, beside whoever writes it.
@Suite("Inspection and copies of journals", .timeLimit(.minutes(5)))
struct InspectionTests {
    private static let folder = TestJournal.directory

    @Test("says what recovery would say about any damage, and changes nothing", arguments: 0..<60)
    func agreesWithRecovery(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let disk = FaultyDisk(seed: UInt64(seed))
        let opened = try TestJournal.open(disk)
        for sequence in 1...UInt64(120) { opened.append([payload(sequence, bytes: 300)]) }
        opened.log.waitForCommit(of: 120)
        try opened.journal.writeCheckpoint(through: 60, bytes: payload(60, bytes: 500))
        opened.journal.close()
        let after = disk.afterProcessDeath(seed: UInt64(seed))
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let victims = after.paths.filter { !$0.hasSuffix(".lock") && !$0.hasSuffix(".hold") }
            let victim = try #require(victims.randomElement(using: &random))
            after.edit(victim) { bytes in
                guard !bytes.isEmpty else { return }
                let offset = Int.random(in: 0..<bytes.count, using: &random)
                if Bool.random(using: &random) { bytes[offset] ^= 0x40 } else { bytes.removeLast(bytes.count - offset) }
            }
        }
        let before = Dictionary(uniqueKeysWithValues: after.paths.map { ($0, after.contents(of: $0)) })
        let calls = after.calls
        let found = try JournalInspection(directory: Self.folder, disk: after, isOpen: false)
        #expect(after.calls == calls, "nothing was changed")
        #expect(Dictionary(uniqueKeysWithValues: after.paths.map { ($0, after.contents(of: $0)) }) == before)
        var seen: [UInt64: [UInt8]] = [:]
        try found.read(from: 1) { sequence, payload in
            seen[sequence] = Array(payload)
            return true
        }
        let recovered = try TestJournal.open(after)
        defer { recovered.journal.close() }
        #expect(found.recovery.lost == recovered.recovery.lost)
        #expect(found.recovery.damage.map(\.kind) == recovered.recovery.damage.map(\.kind))
        #expect(found.recovery.damage.map(\.bytes) == recovered.recovery.damage.map(\.bytes))
        #expect(found.recovery.nextSequence == recovered.recovery.nextSequence)
        #expect(found.recovery.checkpoint == recovered.recovery.checkpoint)
        #expect(try seen == recovered.readAll())
    }

    @Test("a folder without a journal is refused")
    func noJournal() throws {
        let disk = FaultyDisk(seed: 1)
        #expect(throws: JournalError.self) {
            _ = try JournalInspection(directory: Self.folder, disk: disk, isOpen: false)
        }
    }

    /// A journal on this machine's disk.
    private final class Live: Sendable {
        let directory: String
        let log = NoticeLog()
        let journal: Journal

        init() throws {
            directory = NSTemporaryDirectory() + "journal-" + UUID().uuidString
            var configuration = Journal.Configuration(directory: directory + "/live")
            configuration.segmentBytes = 64 * 1024
            journal = try Journal.open(configuration, onCommit: log.onCommit).journal
        }

        deinit {
            journal.close()
            try? FileManager.default.removeItem(atPath: directory)
        }

        var live: String { directory + "/live" }

        func append(_ count: Int) {
            let first = journal.nextSequence
            var bytes: [UInt8] = []
            var ends: [Int] = []
            for sequence in first..<first + UInt64(count) {
                bytes += payload(sequence, bytes: Int(sequence % 700))
                ends.append(bytes.count)
            }
            journal.append(firstSequence: first, bytes: bytes, ends: ends)
        }
    }

    @Test("copies made while it is written to are whole, and hold all that was committed before")
    func copiesUnderLoad() throws {
        let live = try Live()
        let isDone = Atomic(false)
        let writer = Foundation.Thread {
            while !isDone.load(ordering: .relaxed), live.journal.nextSequence < 4_000 {
                if live.journal.hasRoom { live.append(7) }
                if live.journal.committedSequence % 50 == 0 {
                    try? live.journal.writeCheckpoint(through: live.journal.committedSequence, bytes: [1, 2, 3])
                    live.journal.retire(before: live.journal.committedSequence)
                }
            }
        }
        writer.start()
        live.log.wait { $0.through > 200 }
        for number in 0..<8 {
            let before = live.journal.committedSequence
            let target = "\(live.directory)/copy-\(number)"
            let copy = try JournalCopy(from: live.live, to: target)
            #expect(copy.lastSequence >= before)
            let found = try JournalInspection(directory: target)
            #expect(!found.recovery.isDamaged, "\(found.recovery)")
            #expect(found.recovery.tornTail == nil)
            #expect(found.lastSequence == copy.lastSequence)
            #expect(found.recovery.firstSequence == copy.firstSequence)
            var next = copy.firstSequence
            try found.read(from: 1) { sequence, bytes in
                #expect(sequence == next && Array(bytes) == payload(sequence, bytes: Int(sequence % 700)))
                next += 1
                return true
            }
            #expect(next == copy.lastSequence + 1)
            #expect(try !JournalInspection(directory: live.live).recovery.isDamaged, "the live one is judged fairly")
        }
        isDone.store(true, ordering: .relaxed)
    }

    @Test("a copy can be opened and written on where it ends")
    func copyGoesOn() throws {
        let live = try Live()
        live.append(100)
        live.log.waitForCommit(of: 100)
        let target = live.directory + "/copy"
        _ = try JournalCopy(from: live.live, to: target)
        let log = NoticeLog()
        var configuration = Journal.Configuration(directory: target)
        configuration.segmentBytes = 64 * 1024
        let (journal, recovery) = try Journal.open(configuration, onCommit: log.onCommit)
        defer { journal.close() }
        #expect(recovery.nextSequence == 101 && !recovery.isDamaged)
        journal.append(firstSequence: 101, bytes: [9], ends: [1])
        #expect(log.waitForCommit(of: 101))
    }

    @Test("no segment goes while a copy is made; control: without one it goes")
    func heldWhileCopied() throws {
        let live = try Live()
        live.append(1_000)
        live.log.waitForCommit(of: 1_000)
        for through in [900, 950] as [UInt64] { try live.journal.writeCheckpoint(through: through, bytes: []) }
        var hold: (any DiskLock)? = try PosixDisk.share(live.live + "/" + FileName.hold)
        live.journal.retire(before: 900)
        #expect(live.journal.firstSequence == 1)
        withExtendedLifetime(hold) {}
        hold = nil
        live.journal.retire(before: 900)
        #expect(live.journal.firstSequence > 1)
    }
}
