/// How long a disk takes to make a commit durable: the journal's own way of writing, measured.
public struct DiskMeasurement: Sendable, Hashable {
    /// Records that were written before each sync.
    public var recordsPerCommit: Int
    /// Commits that were measured.
    public var commits: Int
    /// The median of write and sync together, in microseconds.
    public var medianMicroseconds: Double
    /// The 99th percentile of the same.
    public var percentile99Microseconds: Double
    /// The longest.
    public var longestMicroseconds: Double
    /// Records that became durable in a second.
    public var recordsPerSecond: Double

    /// The size of the records: a small message with what the broker adds.
    public static let payloadBytes = 256
    /// The file that is written to, round and round.
    private static let fileBytes = 8 * 1024 * 1024
    private static let fileName = "doctor.measurement"

    /// Measures. Blocks for about the given time.
    ///
    /// - Parameters:
    ///   - directory: Where; the file that is written there is removed afterwards.
    ///   - recordsPerCommit: Records before each sync.
    ///   - milliseconds: For how long.
    /// - Throws: ``JournalError`` if the disk refuses.
    public static func run(
        in directory: String,
        recordsPerCommit: Int,
        milliseconds: Int
    ) throws(JournalError) -> DiskMeasurement {
        let disk = PosixDisk()
        let path = directory + "/" + fileName
        defer { try? disk.remove(path) }
        do throws(DiskError) {
            let file = try disk.open(path, create: true)
            try file.allocate(fileBytes)
            let group = group(of: recordsPerCommit)
            // What was just made is on the disk before it counts.
            try file.writeAll(group, at: 0)
            try file.sync()
            return try measure(file, group, recordsPerCommit, milliseconds)
        } catch {
            throw JournalError(error, as: error.operation == "fdatasync" ? .syncFailed : .accessFailed)
        }
    }

    private static func group(of records: Int) -> [UInt8] {
        let checksums = Checksum(of: JournalIdentity())
        let payload = [UInt8](repeating: 0x5a, count: payloadBytes)
        let frameBytes = Frame.byteCount(payload: payloadBytes)
        return [UInt8](unsafeUninitializedCapacity: frameBytes * max(1, records)) { buffer, count in
            guard let base = UnsafeMutableRawBufferPointer(buffer).baseAddress else { return }
            payload.withUnsafeBytes { payload in
                for index in 0..<max(1, records) {
                    let sequence = UInt64(index) + 1
                    let place = base + index * frameBytes
                    Frame.write(.record, sequence: sequence, syncedThrough: 0, payload: payload, to: place, checksums)
                }
            }
            count = frameBytes * max(1, records)
        }
    }

    private static func measure(
        _ file: any DiskFile,
        _ group: [UInt8],
        _ records: Int,
        _ milliseconds: Int
    ) throws(DiskError) -> DiskMeasurement {
        var durations: [UInt64] = []
        var offset = group.count
        let start = SystemClock.monotonicNanoseconds()
        var now = start
        let end = start + UInt64(max(1, milliseconds)) * 1_000_000
        while now < end {
            if offset + group.count > fileBytes { offset = 0 }
            try file.writeAll(group, at: offset)
            try file.sync()
            let done = SystemClock.monotonicNanoseconds()
            durations.append(done - now)
            now = done
            offset += group.count
        }
        durations.sort()
        func microseconds(_ index: Int) -> Double { Double(durations[min(index, durations.count - 1)]) / 1_000 }
        return DiskMeasurement(
            recordsPerCommit: records,
            commits: durations.count,
            medianMicroseconds: microseconds(durations.count / 2),
            percentile99Microseconds: microseconds(durations.count * 99 / 100),
            longestMicroseconds: microseconds(durations.count - 1),
            recordsPerSecond: Double(durations.count * records) * 1_000_000_000 / Double(max(1, now - start))
        )
    }
}
