import Foundation
import Journal
import Repeatable
import TestSupport
import Testing

@Suite("Journal", .timeLimit(.minutes(2)))
struct JournalTests {
    /// A folder of its own on the machine's disk.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/causeway-journal-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test("an empty journal starts at sequence 1 with nothing committed")
    func empty() throws {
        let journal = try TestJournal.open(FaultyDisk(seed: 1))
        #expect(journal.recovery.nextSequence == 1)
        #expect(journal.recovery.firstSequence == 1)
        #expect(journal.recovery.checkpoint == nil)
        #expect(!journal.recovery.isDamaged)
        #expect(journal.journal.committedSequence == 0)
        #expect(try journal.readAll().isEmpty)
        journal.journal.close()
    }

    @Test("records are read back from the machine's disk, also after opening it again")
    func roundTrip() throws {
        try withFolder { folder in
            var expected: [UInt64: [UInt8]] = [:]
            for life in 0..<3 {
                let journal = try TestJournal.open(PosixDisk()) { $0.directory = folder }
                #expect(journal.recovery.nextSequence == UInt64(expected.count) + 1)
                #expect(!journal.recovery.isDamaged)
                #expect(try journal.readAll() == expected)
                for size in [0, 1, 7, 8, 9, 500, 4096, 9000] {
                    let sequence = journal.journal.nextSequence
                    expected[sequence] = payload(sequence, life: life, bytes: size)
                    journal.append([expected[sequence, default: []]])
                }
                #expect(journal.log.waitForCommit(of: UInt64(expected.count)))
                #expect(try journal.readAll() == expected)
                journal.journal.close()
            }
        }
    }

    @Test("a record larger than a segment gets a segment of its own")
    func largeRecord() throws {
        let disk = FaultyDisk(seed: 2)
        let journal = try TestJournal.open(disk)
        let sizes = [100, 70_000, 100, 300_000, 0, 15_000]
        let payloads = sizes.enumerated().map { payload(UInt64($0.offset + 1), bytes: $0.element) }
        let last = journal.append(payloads)
        #expect(journal.log.waitForCommit(of: last))
        journal.journal.close()
        let again = try TestJournal.open(disk)
        #expect(again.recovery.nextSequence == last + 1)
        let all = try again.readAll()
        for (index, expected) in payloads.enumerated() { #expect(all[UInt64(index + 1)] == expected) }
    }

    @Test("reading starts anywhere, stops when told, and says where to go on")
    func readingFromPositions() throws {
        let journal = try TestJournal.open(FaultyDisk(seed: 3))
        for _ in 0..<20 { journal.append((0..<50).map { _ in [UInt8](repeating: 7, count: 60) }) }
        #expect(journal.log.waitForCommit(of: 1000))
        for start: UInt64 in [1, 2, 49, 150, 151, 500, 999, 1000] {
            var seen: [UInt64] = []
            let next = try journal.journal.read(from: start, maxBytes: 600) { sequence, _ in
                seen.append(sequence)
                return true
            }
            #expect(seen == Array(start..<min(start + 10, 1001)))
            #expect(next == min(start + 10, 1001))
            let one = try journal.journal.read(from: start, maxBytes: 0) { _, _ in true }
            #expect(one == start + 1, "at least one record is given")
        }
        #expect(try journal.journal.read(from: 1001, maxBytes: 10) { _, _ in true } == 1001)
        #expect(try journal.journal.read(from: 5000, maxBytes: 10) { _, _ in true } == 5000)
    }

    @Test("single records are found wherever they are, in ascending order, missing ones left out")
    func randomAccess() throws {
        let journal = try TestJournal.open(FaultyDisk(seed: 4))
        for start in stride(from: 1, to: 2000, by: 40) {
            journal.append((start..<start + 40).map { payload(UInt64($0), bytes: 20 + $0 % 90) })
        }
        #expect(journal.log.waitForCommit(of: 2000))
        var random = SeededRandom(seed: 4)
        for _ in 0..<50 {
            let count = Int.random(in: 0..<40, using: &random)
            let wanted = (0..<count).map { _ in UInt64.random(in: 0...2100, using: &random) }
            var seen: [UInt64] = []
            try journal.journal.read(sequences: wanted) { sequence, bytes in
                #expect(Array(bytes) == payload(sequence, bytes: 20 + Int(sequence) % 90))
                seen.append(sequence)
                return true
            }
            #expect(seen == Set(wanted).filter { (1...2000).contains($0) }.sorted())
        }
        var count = 0
        try journal.journal.read(sequences: [5, 6, 7]) { _, _ in
            count += 1
            return false
        }
        #expect(count == 1, "false stops")
    }

    @Test("a second journal in the same directory is refused while the first is open")
    func locking() throws {
        try withFolder { folder in
            let first = try TestJournal.open(PosixDisk()) { $0.directory = folder }
            let error = #expect(throws: JournalError.self) {
                try TestJournal.open(PosixDisk()) { $0.directory = folder }
            }
            #expect(error?.code == .locked)
            first.journal.close()
        }
    }

    @Test("the files are for their owner only")
    func permissions() throws {
        try withFolder { folder in
            let journal = try TestJournal.open(PosixDisk()) { $0.directory = folder + "/a/b" }
            journal.log.waitForCommit(of: journal.append([[1]]))
            journal.journal.close()
            for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/a/b") {
                let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/a/b/" + name)
                #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(name)")
            }
        }
    }

    @Test("records out of order are refused for good, and said so once")
    func outOfOrder() throws {
        let journal = try TestJournal.open(FaultyDisk(seed: 5))
        journal.log.waitForCommit(of: journal.append([[1]]))
        journal.journal.append(firstSequence: 5, bytes: [1], ends: [1])
        #expect(journal.log.wait { !$0.failed.isEmpty })
        #expect(journal.log.failed.map(\.code) == [.misuse])
        #expect(try journal.readAll() == [1: [1]])
    }

    @Test("waiting bytes are counted, and beyond the hard limit the journal fails instead of taking the memory")
    func pendingBytes() throws {
        let disk = FaultyDisk(seed: 6)
        disk.spaceLimit = 1000
        let journal = try TestJournal.open(disk) { $0.maxPendingBytes = 1000 }
        journal.append([[UInt8](repeating: 0, count: 900)])
        #expect(journal.journal.pendingBytes > 900 && journal.journal.pendingBytes < 1000)
        #expect(journal.journal.hasRoom)
        journal.append([[UInt8](repeating: 0, count: 900)])
        #expect(!journal.journal.hasRoom)
        #expect(journal.log.wait { $0.stalled.count == 1 })
        for _ in 0..<3 { journal.append([[UInt8](repeating: 0, count: 900)]) }
        #expect(journal.log.wait { !$0.failed.isEmpty })
        #expect(journal.log.failed.map(\.code) == [.pendingOverflow])
        #expect(journal.journal.pendingBytes == 0)
    }

    @Test("closing commits what was appended")
    func closing() throws {
        let disk = FaultyDisk(seed: 7)
        let journal = try TestJournal.open(disk)
        for index in 0..<100 { journal.append([payload(UInt64(index + 1), bytes: 100)]) }
        journal.journal.close()
        #expect(journal.log.through == 100)
        #expect(journal.journal.failure?.code == .closed)
        #expect(try journal.readAll().count == 100)
        let after = try TestJournal.open(disk.restarted(seed: 1))
        #expect(after.recovery.nextSequence == 101)
        #expect(after.recovery.tornTail == nil)
    }

    @Test("a format of the future is refused, and nothing is changed")
    func newerVersion() throws {
        let disk = FaultyDisk(seed: 8)
        let journal = try TestJournal.open(disk)
        journal.log.waitForCommit(of: journal.append([[1, 2, 3]]))
        journal.journal.close()
        let segment = try #require(disk.paths.first { $0.hasSuffix(".segment") })
        disk.edit(segment) { bytes in
            for start in [0, 2048] {
                bytes[start + 8] = 3
                var checksum = UInt32(0)
                checksum = crc32c(Array(bytes[start..<start + 60]))
                withUnsafeBytes(of: checksum.littleEndian) { raw in
                    for (offset, byte) in raw.enumerated() { bytes[start + 60 + offset] = byte }
                }
            }
        }
        let before = disk.calls
        let error = #expect(throws: JournalError.self) { try TestJournal.open(disk) }
        #expect(error?.code == .unsupportedVersion)
        #expect(disk.calls == before, "not one changing call")
    }
}

/// Bit by bit, as slow as it is plain: independent of the code under test.
func crc32c(_ bytes: [UInt8]) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82f6_3b78 : 0) }
    }
    return ~crc
}
