import Journal
import Repeatable
import TestSupport
import Testing

/// Power cuts at seeded points: what was acknowledged is there afterwards, in order, and nothing that was never
/// written.
@Suite("Journal and power cuts", .timeLimit(.minutes(10)))
struct CrashTests {
    private static let seeds = 2000
    private static let lives = 3

    /// One journal's life as the test remembers it.
    private struct Memory {
        var expected: [UInt64: [UInt8]] = [:]
        var acknowledged: UInt64 = 0
        var retiredBelow: UInt64 = 1
        /// Every content a checkpoint of that record was ever given: a write that failed may be there all the same.
        var checkpoints: [UInt64: Set<[UInt8]>] = [:]
        var checkpointed: UInt64?
    }

    /// The keys of encrypted runs.
    private static let keys = JournalKey((0..<32).map { UInt8($0) }).map { KeyRing(primary: $0) }

    @Test(
        "every acknowledged record survives, in order, and no record is invented",
        arguments: 0..<4,
        [false, true]
    )
    func everyAcknowledgedRecordSurvives(part: Int, isEncrypted: Bool) throws {
        let keys = isEncrypted ? CrashTests.keys : nil
        var cuts = 0
        var torn = 0
        for seed in stride(from: part, to: CrashTests.seeds, by: 4) {
            var random = SeededRandom(seed: UInt64(seed))
            var disk = FaultyDisk(seed: UInt64(seed))
            disk.shortWrites = seed % 5 == 0
            var memory = Memory()
            for life in 0..<CrashTests.lives {
                disk.cutPower(atCall: Int.random(in: 1...80, using: &random))
                run(disk, life, keys, &memory, &random)
                if disk.isOff { cuts += 1 }
                disk.cutPower()
                disk = disk.restarted(seed: UInt64(seed * CrashTests.lives + life))
                torn += try check(disk, keys, &memory, "seed \(seed) life \(life)") ? 1 : 0
            }
        }
        #expect(cuts > CrashTests.seeds / 8, "the power did go off")
        #expect(torn > 0, "some tails were torn")
        print("part \(part)\(isEncrypted ? ", encrypted" : ""): \(cuts) power cuts, \(torn) torn tails")
    }

    /// Appends, checkpoints and retires until the power goes or it is enough.
    private func run(
        _ disk: FaultyDisk,
        _ life: Int,
        _ keys: KeyRing?,
        _ memory: inout Memory,
        _ random: inout SeededRandom
    ) {
        let spares = Int.random(in: 0...2, using: &random)
        guard
            let opened = try? TestJournal.open(
                disk,
                {
                    $0.maxSpares = spares
                    $0.keys = keys
                }
            )
        else { return }
        for _ in 0..<Int.random(in: 1...40, using: &random) where opened.log.failed.isEmpty {
            var payloads: [[UInt8]] = []
            var sequence = opened.journal.nextSequence
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let bytes = payload(sequence, life: life, bytes: Int.random(in: 0...900, using: &random))
                memory.expected[sequence] = bytes
                payloads.append(bytes)
                sequence += 1
            }
            let last = opened.append(payloads)
            if Bool.random(using: &random) { opened.log.waitForCommit(of: last) }
            let committed = opened.journal.committedSequence
            if Int.random(in: 0..<8, using: &random) == 0 {
                let state = payload(committed, life: 1000 + life, bytes: 200)
                memory.checkpoints[committed, default: []].insert(state)
                if (try? opened.journal.writeCheckpoint(through: committed, bytes: state)) != nil {
                    memory.checkpointed = committed
                }
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                let limit = committed / 2
                memory.retiredBelow = max(memory.retiredBelow, limit)
                opened.journal.retire(before: limit)
            }
        }
        opened.journal.close()
        // Notices come only after a sync that succeeded, so none is from after the cut.
        memory.acknowledged = max(memory.acknowledged, opened.log.through)
    }

    private func check(
        _ disk: FaultyDisk,
        _ keys: KeyRing?,
        _ memory: inout Memory,
        _ name: Comment
    ) throws -> Bool {
        let opened = try TestJournal.open(disk) { $0.keys = keys }
        defer { opened.journal.close() }
        let recovery = opened.recovery
        #expect(!recovery.isDamaged, "\(name): \(recovery)")
        #expect(recovery.nextSequence > memory.acknowledged, name)
        #expect(recovery.firstSequence <= max(memory.retiredBelow, 1), name)
        let records = try opened.readAll()
        let last = recovery.nextSequence - 1
        if recovery.firstSequence <= last {
            for sequence in recovery.firstSequence...last {
                let isEqual = records[sequence] == memory.expected[sequence]
                #expect(isEqual, "\(name) record \(sequence)")
            }
        }
        #expect(records.keys.allSatisfy { $0 <= last }, name)
        if let checkpointed = memory.checkpointed {
            let found = try #require(recovery.checkpoint, name)
            #expect(found.sequence >= checkpointed, name)
        }
        if let checkpoint = recovery.checkpoint {
            let isKnown = memory.checkpoints[checkpoint.sequence, default: []].contains(checkpoint.bytes)
            #expect(isKnown, name)
            memory.checkpointed = checkpoint.sequence
        }
        // What was cut off never comes back; its numbers are given again.
        memory.expected = memory.expected.filter { $0.key <= last }
        memory.acknowledged = last
        return recovery.tornTail != nil
    }

    @Test("control: with sync os, a power cut loses acknowledged records and the test sees it")
    func withoutSyncsLossIsSeen() throws {
        var losses = 0
        for seed in 0..<40 {
            let disk = FaultyDisk(seed: UInt64(seed))
            let opened = try TestJournal.open(disk) { $0.sync = .os }
            for sequence in 1...UInt64(20) {
                opened.log.waitForCommit(of: opened.append([payload(sequence, bytes: 100)]))
            }
            let acknowledged = opened.log.through
            #expect(acknowledged == 20)
            disk.cutPower()
            opened.journal.close()
            let after = try TestJournal.open(disk.restarted(seed: UInt64(seed)))
            if after.recovery.nextSequence <= acknowledged { losses += 1 }
            // Lost they may be, but what is left is still the beginning, whole and in order.
            let records = try after.readAll()
            for sequence in 1..<after.recovery.nextSequence {
                #expect(records[sequence] == payload(sequence, bytes: 100), "seed \(seed)")
            }
        }
        #expect(losses > 20)
    }

    @Test(
        "the end of the process alone loses nothing under any policy",
        arguments: [
            SyncPolicy.always, .interval(milliseconds: 50), .os,
        ]
    )
    func processDeath(policy: SyncPolicy) throws {
        let disk = FaultyDisk(seed: 9)
        let opened = try TestJournal.open(disk) { $0.sync = policy }
        for sequence in 1...UInt64(50) { opened.log.waitForCommit(of: opened.append([payload(sequence, bytes: 300)])) }
        let after = try TestJournal.open(disk.afterProcessDeath(seed: 9))
        #expect(after.recovery.nextSequence == 51)
        #expect(try after.readAll().count == 50)
    }

    @Test("what recovery found is stored before it counts: a power cut right after the start loses none of it")
    func recoveredRecordsAreSynced() throws {
        for seed in 0..<20 {
            let disk = FaultyDisk(seed: UInt64(seed))
            let opened = try TestJournal.open(disk) { $0.sync = .os }
            opened.log.waitForCommit(of: opened.append((1...20).map { payload($0, bytes: 100) }))
            let second = disk.afterProcessDeath(seed: UInt64(seed))
            #expect(try TestJournal.open(second).recovery.nextSequence == 21)
            second.cutPower()
            let third = try TestJournal.open(second.restarted(seed: UInt64(seed)))
            #expect(third.recovery.nextSequence == 21, "seed \(seed)")
        }
    }

    @Test("with sync interval, what is older than the interval survives a power cut")
    func interval() throws {
        let disk = FaultyDisk(seed: 10)
        let opened = try TestJournal.open(disk) { $0.sync = .interval(milliseconds: 1) }
        opened.log.waitForCommit(of: opened.append([[1], [2], [3]]))
        let syncs = { disk.log.filter { $0.contains("fdatasync") && $0.hasSuffix(".segment") }.count }
        let deadline = ContinuousClock.now + .seconds(10)
        while syncs() == 0, ContinuousClock.now < deadline {}
        disk.cutPower()
        opened.journal.close()
        let after = try TestJournal.open(disk.restarted(seed: 10))
        #expect(after.recovery.nextSequence == 4)
    }
}
