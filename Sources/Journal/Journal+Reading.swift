import Synchronization

extension Journal {
    /// Gives the committed records from `sequence` on to the closure, in order, until about `maxBytes` of payload were
    /// given (at least one record is), the closure returns false, or there are no more. Any thread, also beside appends
    /// and retirement. The payload's memory is valid during the call only.
    ///
    /// Records that were retired or lost in quarantined damage are skipped: the sequence that the closure is given
    /// tells. Damage that appears while the journal is open is an error of the code ``JournalError/Code/corrupt``; go
    /// on after its ``JournalError/lostSequences``. Returns the sequence to read from next time.
    @discardableResult
    public func read(
        from sequence: UInt64,
        maxBytes: Int,
        _ body: (_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) -> UInt64 {
        try reading.read(from: sequence, maxBytes: maxBytes, body)
    }

    /// Gives single records to the closure, in ascending order, whatever the order of `sequences`. Those that are not
    /// there (retired, quarantined, not committed) are left out. False from the closure stops. Where a wanted record is
    /// found damaged, the others are given first, then the error is thrown.
    public func read(
        sequences: [UInt64],
        _ body: (_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) {
        try reading.read(sequences: sequences, body)
    }

    private var reading: RecordReading {
        RecordReading(configuration: configuration, catalogue: catalogue, checksums: checksums)
    }
}

/// Finds and reads records in the segments of a catalogue. Any thread.
struct RecordReading: Sendable {
    let configuration: Journal.Configuration
    let catalogue: Catalogue
    let checksums: Checksum

    /// How much of a segment is read at a time.
    private static let readChunkBytes = 256 * 1024
    /// The same for records that are looked up one by one.
    private static let lookUpChunkBytes = SegmentMap.indexStrideBytes

    /// See ``Journal/read(from:maxBytes:_:)``.
    func read(
        from sequence: UInt64,
        maxBytes: Int,
        _ body: (_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) -> UInt64 {
        var next = max(sequence, 1)
        var budget = maxBytes
        for segment in catalogue.segments(from: next) {
            for run in segment.map.withLock({ $0.runs(from: next) }) {
                let goesOn = try read(segment, run, &next, RecordReading.readChunkBytes) { sequence, payload in
                    budget -= payload.count
                    return body(sequence, payload) && budget > 0
                }
                guard goesOn else { return next }
            }
        }
        return next
    }

    /// See ``Journal/read(sequences:_:)``.
    func read(
        sequences: [UInt64],
        _ body: (_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) {
        let wanted = sequences.sorted()
        var position = 0
        var damage: JournalError?
        func pass(_ sequence: UInt64) { while position < wanted.count, wanted[position] <= sequence { position += 1 } }
        while position < wanted.count {
            guard let (segment, run) = locate(max(wanted[position], 1)) else {
                pass(wanted[position])
                continue
            }
            var next = wanted[position]
            do throws(JournalError) {
                _ = try read(segment, run, &next, RecordReading.lookUpChunkBytes) { sequence, payload in
                    if wanted[position] == sequence {
                        pass(sequence)
                        if !body(sequence, payload) { position = wanted.count }
                    }
                    // Neighbours are taken on the way; what is further off is looked up anew.
                    return position < wanted.count && wanted[position] &- sequence <= RecordReading.neighbourDistance
                }
                // The run is at its end, or the next one is looked up.
            } catch {
                guard error.code == .corrupt, let lost = error.lostSequences else { throw error }
                if position < wanted.count, lost.contains(wanted[position]) {
                    damage = damage ?? error
                    pass(lost.upperBound)
                }
            }
        }
        if let damage { throw damage }
    }

    private static let neighbourDistance: UInt64 = 64

    private func locate(_ sequence: UInt64) -> (Segment, Run)? {
        guard let segment = catalogue.segments(from: sequence).first, segment.firstSequence <= sequence,
            let run = segment.map.withLock({ $0.runs(from: sequence).first }), run.first <= sequence
        else { return nil }
        return (segment, run)
    }

    /// Reads a run. `next` moves on with every record. Returns false if the closure stopped it.
    private func read(
        _ segment: Segment,
        _ run: Run,
        _ next: inout UInt64,
        _ chunkBytes: Int,
        _ body: (UInt64, UnsafeRawBufferPointer) -> Bool
    ) throws(JournalError) -> Bool {
        var window = FileWindow(segment.file, chunkBytes: min(chunkBytes, run.end - run.offset))
        var position = run.offset
        var expected = run.first
        while position < run.end, expected <= run.last {
            var intact: (frame: Frame, payload: Payload)?
            var resume: (offset: Int, sequence: UInt64)?
            do throws(DiskError) {
                intact = try intactFrame(&window, position, run.end, segment)
                if intact?.frame.sequence != expected {
                    resume = try resynchronise(&window, position, run, segment, after: expected)
                }
            } catch {
                throw JournalError(error, as: .readFailed)
            }
            if let resume {
                let lost = expected...(resume.sequence - 1)
                (position, expected) = resume
                guard lost.upperBound >= next else { continue }
                throw damaged(max(lost.lowerBound, next)...lost.upperBound, segment)
            }
            guard let (frame, payload) = intact else { return true }
            position += frame.byteCount
            expected += 1
            guard frame.sequence >= next else { continue }
            next = frame.sequence + 1
            if !payload.withBytes({ body(frame.sequence, $0) }) {
                segment.map.withLock { $0.bookmark(next, at: position) }
                return false
            }
        }
        segment.map.withLock { $0.bookmark(next, at: position) }
        return true
    }

    private func damaged(_ lost: ClosedRange<UInt64>, _ segment: Segment) -> JournalError {
        JournalError(
            .corrupt,
            "Committed records \(lost) do not pass their checksum: the disk damaged them. Restart to quarantine them, "
                + "and replace the disk.",
            path: configuration.path(segment.name),
            lost: lost
        )
    }

    private func intactFrame(
        _ window: inout FileWindow,
        _ offset: Int,
        _ limit: Int,
        _ segment: Segment
    ) throws(DiskError) -> (Frame, Payload)? {
        guard let head = try window.bytes(at: offset, wanted: Frame.headerBytes, limit: limit),
            let base = head.baseAddress, let frame = Frame(at: base, checksums), frame.kind != .mark,
            let whole = try window.bytes(at: offset, wanted: frame.byteCount, limit: limit),
            let start = whole.baseAddress, frame.isIntact(at: start, checksums)
        else { return nil }
        let payload = UnsafeRawBufferPointer(start: start + Frame.headerBytes, count: frame.payloadBytes)
        guard let cipher = segment.cipher else { return frame.kind == .record ? (frame, .borrowed(payload)) : nil }
        guard frame.kind == .sealed,
            let plain = cipher.open(payload, sequence: frame.sequence, flags: frame.flags, offset: offset)
        else { return nil }
        return (frame, .opened(plain))
    }

    /// A record's content, in the window or in memory of its own.
    private enum Payload {
        case borrowed(UnsafeRawBufferPointer)
        case opened([UInt8])

        func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
            switch self {
            case .borrowed(let bytes): body(bytes)
            case .opened(let bytes): bytes.withUnsafeBytes(body)
            }
        }
    }

    /// Finds the next intact record of a run behind a damaged place; its end if there is none.
    private func resynchronise(
        _ window: inout FileWindow,
        _ offset: Int,
        _ run: Run,
        _ segment: Segment,
        after expected: UInt64
    ) throws(DiskError) -> (offset: Int, sequence: UInt64) {
        var position = offset + Frame.alignment
        while position < run.end {
            if let (frame, _) = try intactFrame(&window, position, run.end, segment), frame.sequence > expected,
                frame.sequence <= run.last
            {
                return (position, frame.sequence)
            }
            position += Frame.alignment
        }
        return (run.end, run.last + 1)
    }
}
