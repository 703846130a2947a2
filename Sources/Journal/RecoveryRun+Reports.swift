/// What is told about damage, and the copies that are kept of it.
extension RecoveryRun {
    /// More damaged places in a segment than this are reported, and copied, as one.
    static let maxRangesPerSegment = 16

    /// Reports what is damaged in a segment and keeps a copy of it.
    mutating func reportDamage(_ found: Found, isLast: Bool, _ tail: Int?) {
        let file = found.file
        if file.header == nil { recovery.damage.append(Damage(kind: .damagedHeader, file: file.name)) }
        if let header = file.header, UInt64(file.byteCount) < header.bytes {
            let missing = file.byteCount..<Int(clamping: header.bytes)
            recovery.damage.append(Damage(kind: .truncatedFile, file: file.name, bytes: missing))
        }
        var damaged: [Range<Int>] = []
        var position = Segment.dataOffset
        for run in found.scan.fileRuns.sorted(by: { $0.offset < $1.offset }) {
            if isLast, let tail, run.offset >= tail { break }
            if run.offset > position { damaged.append(position..<run.offset) }
            position = max(position, run.end)
        }
        // Behind the last record: damage only where records are missing there.
        let end = found.scan.usedEnd
        let next = (found.scan.map.runs.last?.last ?? file.firstSequence - 1) + 1
        if end > position, tail == nil || !isLast, recovery.lost.contains(where: { $0.contains(next) }) {
            damaged.append(position..<min(end, file.byteCount))
        }
        if damaged.count > RecoveryRun.maxRangesPerSegment, let first = damaged.first, let last = damaged.last {
            damaged = [first.lowerBound..<last.upperBound]
        }
        for range in damaged { keepCopy(file, range) }
    }

    /// Copies a damaged range into a file of its own. A copy that cannot be made does not keep the journal from
    /// starting.
    private mutating func keepCopy(_ file: RecoveryFiles.SegmentFile, _ range: Range<Int>) {
        var damage = Damage(kind: .damagedRange, file: file.name, bytes: range)
        let name = "\(file.name)-\(range.lowerBound)-\(range.upperBound)\(FileName.corruptSuffix)"
        let existing = (try? disk.list(configuration.directory)) ?? []
        if existing.contains(name) {
            damage.copy = name
        } else if let bytes = try? file.file.readBytes(range.count, at: range.lowerBound),
            (try? AtomicFile.write(bytes, named: name, configuration, disk)) != nil
        {
            damage.copy = name
            state.corruptBytes += bytes.count
        }
        recovery.damage.append(damage)
    }
}
