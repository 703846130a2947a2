import Synchronization

/// Records that stand one after the other in a segment: no gap in their sequence, none between their bytes.
struct Run: Sendable, Hashable {
    var first: UInt64
    var last: UInt64
    var offset: Int
    var end: Int
}

/// Where readers find records in a segment: its runs, and every so many bytes a place to start from.
struct SegmentMap: Sendable {
    /// A sequence and the offset of its frame.
    struct Entry: Sendable {
        var sequence: UInt64
        var offset: Int
    }

    /// Distance of the entries of the index: at most this much is read in vain to find one record.
    static let indexStrideBytes = 32 * 1024

    /// In the order of their sequences. An undamaged segment has one; a damaged one has a run for every piece that
    /// could be saved.
    private(set) var runs: [Run] = []
    private var index: [Entry] = []
    private var lastIndexed = (run: -1, offset: 0)
    /// Where readers stopped last: they go on there without reading up to a stride again.
    private var bookmarks: [Entry] = []
    private var oldestBookmark = 0
    private static let maxBookmarks = 16

    /// Adds a record behind those that are there. It opens a new run unless it continues the last.
    mutating func append(sequence: UInt64, offset: Int, end: Int) {
        if let run = runs.last, run.last &+ 1 == sequence, run.end == offset {
            runs[runs.count - 1].last = sequence
            runs[runs.count - 1].end = end
        } else {
            runs.append(Run(first: sequence, last: sequence, offset: offset, end: end))
        }
        let run = runs.count - 1
        guard lastIndexed.run != run || offset - lastIndexed.offset >= SegmentMap.indexStrideBytes else { return }
        index.append(Entry(sequence: sequence, offset: offset))
        lastIndexed = (run, offset)
    }

    /// Puts runs found in any order into the order of their sequences, keeps each record once and only those of the
    /// range.
    mutating func sort(first: UInt64, limit: UInt64) {
        // What was found earlier in the file wins where a record is there twice: both passed the same checksum.
        let found = runs.sorted { ($0.first, $0.offset) < ($1.first, $1.offset) }
        let places = index.sorted { ($0.sequence, $0.offset) < ($1.sequence, $1.offset) }
        self = SegmentMap()
        var next = first
        for run in found where run.last >= next && run.first < limit {
            let last = min(run.last, limit - 1)
            runs.append(Run(first: max(run.first, next), last: last, offset: run.offset, end: run.end))
            next = last + 1
        }
        // A place in a run that was dropped does no harm: whoever looks it up sees that it lies outside.
        index = places.filter { $0.sequence >= first && $0.sequence < limit }
        if let last = runs.last { lastIndexed = (runs.count - 1, index.last?.offset ?? last.offset) }
    }

    /// Forgets records from `sequence` on. Returns where the rest ends, or nil if nothing is left.
    mutating func cut(from sequence: UInt64, endOffset: Int) {
        runs.removeAll { $0.first >= sequence }
        index.removeAll { $0.sequence >= sequence }
        if let last = runs.last, last.last >= sequence {
            runs[runs.count - 1].last = sequence - 1
            runs[runs.count - 1].end = endOffset
        }
        lastIndexed = (runs.count - 1, index.last?.offset ?? 0)
    }

    /// The runs with records from `sequence` on; the first starts at the closest known place before it.
    func runs(from sequence: UInt64) -> [Run] {
        guard let position = firstRun(endingAtOrAfter: sequence) else { return [] }
        var result = Array(runs[position...])
        guard result[0].first < sequence else { return result }
        let run = result[0]
        if let mark = bookmarks.first(where: { $0.sequence == sequence }), mark.offset >= run.offset,
            mark.offset < run.end
        {
            result[0].first = mark.sequence
            result[0].offset = mark.offset
            return result
        }
        // The last entry at or before the sequence, in the same run.
        var low = 0
        var high = index.count
        while low < high {
            let middle = (low + high) / 2
            if index[middle].sequence <= sequence { low = middle + 1 } else { high = middle }
        }
        if low > 0 {
            let entry = index[low - 1]
            if entry.sequence >= run.first, entry.offset >= run.offset, entry.offset < run.end {
                result[0].first = entry.sequence
                result[0].offset = entry.offset
            }
        }
        return result
    }

    /// Remembers where a reader goes on: the frame of `sequence` is, or will be, at `offset`.
    mutating func bookmark(_ sequence: UInt64, at offset: Int) {
        guard !bookmarks.contains(where: { $0.sequence == sequence }) else { return }
        let entry = Entry(sequence: sequence, offset: offset)
        if bookmarks.count < SegmentMap.maxBookmarks {
            bookmarks.append(entry)
        } else {
            bookmarks[oldestBookmark] = entry
            oldestBookmark = (oldestBookmark + 1) % SegmentMap.maxBookmarks
        }
    }

    private func firstRun(endingAtOrAfter sequence: UInt64) -> Int? {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last >= sequence { high = middle } else { low = middle + 1 }
        }
        return low < runs.count ? low : nil
    }
}

/// A segment file: a header block, then frames.
final class Segment: Sendable {
    /// Where the first frame is. The block before it holds the header twice, in different sectors.
    static let dataOffset = 4096
    static let headerCopyOffset = 2048

    let firstSequence: UInt64
    let name: String
    let file: any DiskFile
    /// The size of the file.
    let byteCount: Int
    let createdMilliseconds: Int64
    /// What its records are encrypted with.
    let cipher: SegmentCipher?
    /// Only committed records are in here.
    let map: Mutex<SegmentMap>

    init(
        firstSequence: UInt64,
        name: String,
        file: any DiskFile,
        byteCount: Int,
        createdMilliseconds: Int64,
        cipher: SegmentCipher? = nil,
        map: SegmentMap = SegmentMap()
    ) {
        self.firstSequence = firstSequence
        self.name = name
        self.file = file
        self.byteCount = byteCount
        self.createdMilliseconds = createdMilliseconds
        self.cipher = cipher
        self.map = Mutex(map)
    }

    /// The last committed record in it, or nil.
    var lastSequence: UInt64? { map.withLock { $0.runs.last?.last } }
}
