import Synchronization
import Repeatable
import TestSupport
import Testing

@testable import Journal

/// Encrypted journals on a faulty disk: nothing readable, nothing movable, nothing lost.
@Suite("Encrypted journals", .timeLimit(.minutes(10)))
struct EncryptionTests {
    static func key(_ seed: UInt8) throws -> JournalKey {
        try #require(JournalKey((0..<32).map { seed &+ $0 &* 7 }))
    }

    private static func ring(_ primary: UInt8 = 1, retired: [UInt8] = []) throws -> KeyRing {
        KeyRing(primary: try key(primary), retired: try retired.map { try key($0) })
    }

    private static func open(
        _ disk: any Disk,
        _ keys: KeyRing?,
        _ change: (inout Journal.Configuration) -> Void = { _ in }
    ) throws -> TestJournal {
        try TestJournal.open(disk) { configuration in
            configuration.keys = keys
            change(&configuration)
        }
    }

    private static func segments(_ disk: FaultyDisk) -> [String] { disk.paths.filter { $0.hasSuffix(".segment") } }

    @Test("a key is 32 bytes, raw, in hexadecimal or in base 64; everything else is none")
    func forms() throws {
        let raw = (0..<32).map { UInt8($0 * 7 + 1) }
        let digits = raw.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let id = try #require(JournalKey(raw)).id
        #expect(JournalKey(Array((digits + "\n").utf8))?.id == id)
        #expect(JournalKey(Array("AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=\n".utf8))?.id == id)
        for wrong in [[], Array(raw.dropLast()), raw + [0], Array("zz".utf8) + Array(digits.utf8).dropFirst(2)] {
            #expect(JournalKey(wrong) == nil)
        }
        #expect(!"\(try #require(JournalKey(raw)))".contains(digits))
    }

    @Test("records and checkpoints come back, and nothing of them stands on the disk")
    func nothingReadable() throws {
        let disk = FaultyDisk(seed: 1)
        let secret = Array("CANARY-4711-ward-7-glucose".utf8)
        let journal = try Self.open(disk, try Self.ring())
        for _ in 0..<200 { journal.append([secret + payload(1, bytes: 100)]) }
        journal.log.waitForCommit(of: 200)
        try journal.journal.writeCheckpoint(through: 100, bytes: secret + secret)
        journal.journal.close()
        for path in disk.paths {
            let content = try #require(disk.contents(of: path))
            let isBare = content.indices.contains { content[$0...].starts(with: secret.prefix(8)) }
            #expect(!isBare, "\(path)")
        }
        let again = try Self.open(disk.afterProcessDeath(seed: 1), try Self.ring())
        defer { again.journal.close() }
        #expect(!again.recovery.isDamaged)
        #expect(again.recovery.checkpoint?.bytes == secret + secret)
        #expect(try again.readAll().values.allSatisfy { $0.starts(with: secret) })
        #expect(try again.readAll().count == 200)
        var single: [UInt8] = []
        try again.journal.read(sequences: [77]) { _, bytes in
            single = Array(bytes)
            return true
        }
        #expect(single.starts(with: secret))
    }

    @Test("control: without a key the same search finds the canary")
    func canaryIsFound() throws {
        let disk = FaultyDisk(seed: 1)
        let secret = Array("CANARY-4711-ward-7-glucose".utf8)
        let journal = try Self.open(disk, nil)
        journal.log.waitForCommit(of: journal.append([secret]))
        journal.journal.close()
        let content = try #require(disk.contents(of: Self.segments(disk)[0]))
        #expect(content.indices.contains { content[$0...].starts(with: secret) })
    }

    @Test("without the key, or with another one, a journal is refused with its name, and nothing is changed")
    func wrongKey() throws {
        let disk = FaultyDisk(seed: 2)
        let journal = try Self.open(disk, try Self.ring(1))
        journal.log.waitForCommit(of: journal.append([[1], [2]]))
        journal.journal.close()
        let after = disk.afterProcessDeath(seed: 2)
        let before = after.calls
        for keys in [nil, try Self.ring(2)] {
            let error = #expect(throws: JournalError.self) { try Self.open(after, keys) }
            #expect(error?.code == .keyMissing)
            #expect(try error?.message.contains(Self.key(1).name) == true)
        }
        #expect(after.calls == before)
        // Who only looks needs no key: the checksums tell whether it is whole.
        let found = try JournalInspection(directory: TestJournal.directory, disk: after, isOpen: false)
        #expect(found.isEncrypted && !found.isReadable && !found.recovery.isDamaged && found.lastSequence == 2)
        let opened = try Self.open(after, try Self.ring(2, retired: [1]))
        #expect(try opened.readAll().count == 2)
        opened.journal.close()
    }

    @Test("a new key takes over between two records; old records are read as long as the old key is on the ring")
    func rotation() throws {
        let disk = FaultyDisk(seed: 3)
        let keys = try Self.ring(1)
        let journal = try Self.open(disk, keys)
        var expected: [UInt64: [UInt8]] = [:]
        for sequence in 1...UInt64(200) {
            expected[sequence] = payload(sequence, bytes: 50)
            journal.append([payload(sequence, bytes: 50)])
            if sequence % 20 == 0 {
                journal.log.waitForCommit(of: sequence)
                let number = UInt8(sequence / 20) + 1
                keys.replace(primary: try Self.key(number), retired: try (1..<number).map { try Self.key($0) })
            }
        }
        journal.log.waitForCommit(of: 200)
        #expect(try journal.readAll() == expected)
        #expect(Self.segments(disk).count >= 10, "each key has segments of its own")
        journal.journal.close()
        let after = disk.afterProcessDeath(seed: 3)
        let error = #expect(throws: JournalError.self) { try Self.open(after, Self.ring(11)) }
        #expect(error?.code == .keyMissing)
        let again = try Self.open(after, try Self.ring(11, retired: Array(1...10)))
        defer { again.journal.close() }
        #expect(try again.readAll() == expected)
        #expect(!again.recovery.isDamaged)
    }

    @Test("a plain journal goes on encrypted from the next record on")
    func switchedOn() throws {
        let disk = FaultyDisk(seed: 4)
        let plain = try Self.open(disk, nil)
        plain.log.waitForCommit(of: plain.append([[1], [2]]))
        plain.journal.close()
        let sealed = try Self.open(disk.afterProcessDeath(seed: 4), try Self.ring())
        sealed.log.waitForCommit(of: sealed.append([[3], [4]]))
        #expect(try sealed.readAll() == [1: [1], 2: [2], 3: [3], 4: [4]])
        sealed.journal.close()
    }

    @Test("a record that was moved to another place, another segment or under another sequence does not open")
    func moved() throws {
        let identity = JournalIdentity(high: 1, low: 2)
        let cipher = SegmentCipher(try Self.key(1), identity, firstSequence: 100)
        let sealed = [1, 2, 3].withUnsafeBytes { plain in
            cipher.seal(plain, sequence: 105, flags: 7, offset: 4096, nonce: SealedBytes.randomNonce())
        }
        func opens(_ cipher: SegmentCipher, _ sequence: UInt64, _ flags: UInt32, _ offset: Int) -> Bool {
            sealed.withUnsafeBytes { cipher.open($0, sequence: sequence, flags: flags, offset: offset) != nil }
        }
        #expect(opens(cipher, 105, 7, 4096))
        #expect(!opens(cipher, 106, 7, 4096))
        #expect(!opens(cipher, 105, 8, 4096))
        #expect(!opens(cipher, 105, 7, 4104))
        #expect(!opens(SegmentCipher(try Self.key(1), identity, firstSequence: 101), 105, 7, 4096))
        #expect(!opens(SegmentCipher(try Self.key(2), identity, firstSequence: 100), 105, 7, 4096))
        let other = JournalIdentity(high: 1, low: 3)
        #expect(!opens(SegmentCipher(try Self.key(1), other, firstSequence: 100), 105, 7, 4096))
    }

    @Test("records that somebody without the key has changed, with the right checksums, are named as lost")
    func forged() throws {
        for seed in 0..<40 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            let disk = FaultyDisk(seed: seed)
            let journal = try Self.open(disk, try Self.ring())
            for sequence in 1...UInt64(20) { journal.append([payload(sequence, bytes: 64)]) }
            journal.log.waitForCommit(of: 20)
            journal.journal.close()
            let after = disk.afterProcessDeath(seed: seed)
            let victim = UInt64.random(in: 1...19, using: &random)
            let checksums = Checksum(of: journal.journal.identity)
            let isPlain = Bool.random(using: &random)
            after.edit(Self.segments(after)[0]) { bytes in
                // Every frame has the same size: header, nonce, 64 bytes, tag.
                let size = Frame.byteCount(payload: 64 + SealedBytes.overhead)
                let place = Segment.dataOffset + Int(victim - 1) * size
                let length = isPlain ? size - Frame.headerBytes : 64 + SealedBytes.overhead
                var forgery = Array(bytes[place + Frame.headerBytes..<place + Frame.headerBytes + length])
                forgery[Int.random(in: 0..<length, using: &random)] ^= 1
                bytes.withUnsafeMutableBytes { raw in
                    guard let base = raw.baseAddress else { return }
                    forgery.withUnsafeBytes { content in
                        Frame.write(
                            isPlain ? .record : .sealed,
                            sequence: victim,
                            syncedThrough: victim - 1,
                            payload: content,
                            to: base + place,
                            checksums
                        )
                    }
                }
            }
            let opened = try Self.open(after, try Self.ring())
            #expect(opened.recovery.lost == [victim...victim], "seed \(seed)")
            #expect(try opened.readAll()[victim] == nil)
            #expect(try opened.readAll().count == 19)
            opened.journal.close()
        }
    }

    @Test("a header that was changed counts as damaged, and the records open all the same")
    func forgedHeader() throws {
        let disk = FaultyDisk(seed: 5)
        let journal = try Self.open(disk, try Self.ring())
        journal.log.waitForCommit(of: journal.append([[1], [2], [3]]))
        journal.journal.close()
        let after = disk.afterProcessDeath(seed: 5)
        after.edit(Self.segments(after)[0]) { bytes in
            for start in [0, Segment.headerCopyOffset] {
                bytes[start + 40] ^= 1
                let check = Checksum.plain(Array(bytes[start..<start + 60]))
                withUnsafeBytes(of: check.littleEndian) { raw in
                    for (offset, byte) in raw.enumerated() { bytes[start + 60 + offset] = byte }
                }
            }
        }
        let opened = try Self.open(after, try Self.ring())
        defer { opened.journal.close() }
        #expect(opened.recovery.damage.map(\.kind) == [.damagedHeader])
        #expect(try opened.readAll() == [1: [1], 2: [2], 3: [3]])
    }

    @Test("no nonce comes twice under one key, through power cuts that make tails be written again")
    func nonces() throws {
        var seen: [String: [[UInt8]: [UInt8]]] = [:]
        var rewritten = 0
        for seed in 0..<60 as Range<UInt64> {
            var disk = FaultyDisk(seed: seed)
            var random = SeededRandom(seed: seed)
            for life in 0..<4 {
                guard let journal = try? Self.open(disk, try Self.ring(), { $0.sync = .os }) else { break }
                if journal.recovery.tornTail != nil { rewritten += 1 }
                for _ in 0..<Int.random(in: 1...12, using: &random) {
                    journal.append([payload(UInt64(life), bytes: Int.random(in: 0...200, using: &random))])
                }
                journal.log.waitForCommit(of: journal.journal.nextSequence - 1)
                note(disk, &seen)
                disk.cutPower()
                journal.journal.close()
                disk = disk.restarted(seed: seed * 10 + UInt64(life))
            }
        }
        #expect(rewritten > 5, "tails were written again")
        #expect(seen.values.reduce(0) { $0 + $1.count } > 1_000)
    }

    /// Every frame on the disk, by segment and nonce: all runs have one key and one identity, so a nonce that was seen
    /// before belongs to the very same bytes.
    private func note(_ disk: FaultyDisk, _ seen: inout [String: [[UInt8]: [UInt8]]]) {
        let checksums = Checksum(of: JournalIdentity(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210))
        for path in Self.segments(disk) {
            guard let bytes = disk.contents(of: path) else { continue }
            bytes.withUnsafeBytes { raw in
                guard let base = raw.baseAddress else { return }
                var position = Segment.dataOffset
                while position + Frame.headerBytes <= raw.count, let frame = Frame(at: base + position, checksums),
                    position + frame.byteCount <= raw.count
                {
                    if frame.kind == .sealed, frame.isIntact(at: base + position, checksums) {
                        let start = position + Frame.headerBytes
                        let content = Array(raw[start..<start + frame.payloadBytes])
                        let before = seen[path, default: [:]].updateValue(content, forKey: Array(content.prefix(12)))
                        #expect(before == nil || before == content, "\(path)")
                    }
                    position += frame.byteCount
                }
            }
        }
    }

    @Test("small files are bound to their names")
    func smallFiles() throws {
        let keys = try Self.ring(1)
        let sealed = keys.seal(Array("secret".utf8), name: "7-8-poison.json")
        #expect(KeyRing.isSealed(sealed) && !sealed.contains(subsequence: Array("secret".utf8)))
        #expect(keys.open(sealed, name: "7-8-poison.json") == Array("secret".utf8))
        #expect(keys.open(sealed, name: "7-9-poison.json") == nil)
        #expect(try Self.ring(2).open(sealed, name: "7-8-poison.json") == nil)
        #expect(try Self.ring(2, retired: [1]).open(sealed, name: "7-8-poison.json") != nil)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(keys.open(changed, name: "7-8-poison.json") == nil)
        }
    }
}

extension [UInt8] {
    fileprivate func contains(subsequence: [UInt8]) -> Bool {
        indices.contains { self[$0...].starts(with: subsequence) }
    }
}
