/// What is missing, what that means, and where writing goes on.
extension RecoveryRun {
    /// The highest sequence that something proves to have been synced.
    func provenDurable(_ found: [Found]) -> UInt64 {
        let byFrames = found.map(\.scan.syncedThrough)
        let bySegments = found.map { $0.file.firstSequence - 1 }
        return (byFrames + bySegments + state.checkpoints).reduce(provenByHollow, max)
    }

    /// Which proven records are missing, and the first sequence that is free: everything from there on is torn.
    func account(_ found: [Found], _ proven: UInt64) -> (lost: [ClosedRange<UInt64>], cut: UInt64) {
        var lost: [ClosedRange<UInt64>] = []
        // Records that a checkpoint covers were retired with its consent; only what is missing after it counts.
        var next = found.first?.file.firstSequence ?? proven + 1
        if let oldest = state.checkpoints.last, oldest + 1 < next { next = oldest + 1 }
        for run in found.flatMap(\.scan.map.runs) {
            guard run.last >= next else { continue }
            if run.first > next {
                guard next <= proven else { return (lost, next) }
                lost.append(next...min(run.first - 1, proven))
                guard run.first <= proven + 1 else { return (lost, proven + 1) }
            }
            next = run.last + 1
        }
        if next <= proven {
            lost.append(next...proven)
            next = proven + 1
        }
        return (lost, next)
    }

    /// Cuts the torn tail. Returns where the next record goes, or nil if a new segment must be begun.
    mutating func settleTail(_ found: inout [Found], _ cut: UInt64) throws(DiskError) -> Int? {
        guard let index = found.indices.last else { return nil }
        let last = found[index]
        let runs = last.scan.map.runs
        let first = last.file.firstSequence
        let isWhole = last.file.header.map { Int(clamping: $0.bytes) == last.file.byteCount } ?? false
        // In one piece from the first frame's place up to the cut?
        var tail: Int?
        if isWhole, first == cut {
            tail = Segment.dataOffset
        } else if isWhole, let run = last.scan.fileRuns.first, run.offset == Segment.dataOffset, run.first == first,
            let kept = runs.first, kept.offset == run.offset, run.last + 1 >= cut, cut > first
        {
            tail = run.last + 1 == cut ? run.end : nil
        }
        let dropped = runs.reduce(UInt64(0)) { count, run in
            run.last < cut ? count : count + run.last - max(run.first, cut) + 1
        }
        found[index].scan.map.cut(from: cut, endOffset: tail ?? 0)
        let isRecycled = (last.file.header?.flags ?? 0) & FileHeader.recycledFlag != 0
        let broken = last.scan.brokenFrames.filter { $0.sequence >= cut }
        if dropped > 0 || !broken.isEmpty || (last.scan.isTailDirty && !isRecycled && tail != nil) {
            let offset = tail ?? last.scan.usedEnd
            recovery.tornTail = TornTail(file: last.file.name, offset: offset, droppedRecords: Int(clamping: dropped))
        }
        guard let tail else { return nil }
        // What the cut records left behind must never be taken for records again.
        let ends = last.scan.fileRuns.filter { $0.last >= cut }.map(\.end) + broken.map(\.end)
        if let end = ends.max(), end > tail { try zero(last.file.file, tail..<end) }
        return tail
    }

    /// A last segment without records that cannot be continued gives its name to the one that replaces it.
    mutating func setAsideEmptyLast(_ found: inout [Found], _ cut: UInt64, _ tail: Int?) {
        guard tail == nil, let last = found.last, last.file.firstSequence == cut else { return }
        recovery.damage.append(Damage(kind: .unreadableFile, file: last.file.name, copy: setAside(last.file.name)))
        found.removeLast()
    }

    private func zero(_ file: any DiskFile, _ range: Range<Int>) throws(DiskError) {
        let zeros = [UInt8](repeating: 0, count: min(range.count, 1 << 20))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let piece = Array(zeros.prefix(range.upperBound - offset))
            try file.writeAll(piece, at: offset)
            offset += piece.count
        }
        try file.sync()
    }
}
