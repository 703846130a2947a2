import CLinux
import CausewayConfiguration
import CoreFoundation
import Foundation
import Journal

/// The disk below a data folder: what kind it is, how much room it has, how fast it makes things durable.
struct StorageDoctor {
    /// Records to a commit that are measured: one publisher alone, some, and a busy site.
    static let recordsPerCommit = [1, 16, 128]
    /// How long each is measured.
    static let measureMilliseconds = 1_000
    /// A median commit that takes longer is told as slow: a bare disk with moving heads takes about ten milliseconds.
    static let slowMedianMicroseconds = 20_000.0
    /// A 99th percentile beyond this is told: clients see it as the time to their acknowledgement.
    static let slowPercentileMicroseconds = 200_000.0
    /// Faster than any device flushes: the sync is most likely not carried out.
    static let unbelievableMedianMicroseconds = 3.0

    /// The folder; it need not exist yet.
    let folder: String
    /// What the journal may take.
    let maxBytes: Int

    /// The folder itself, or the nearest one above it that exists.
    var existing: String {
        var path = folder.isEmpty ? "." : folder
        while !FileManager.default.fileExists(atPath: path) {
            let above = (path as NSString).deletingLastPathComponent
            if above == path || above.isEmpty { return path.hasPrefix("/") ? "/" : "." }
            path = above
        }
        return path
    }

    func findings() -> (findings: [DoctorFinding], measurements: [DiskMeasurement]) {
        var found = [fileSystem(), room(), writeCache()].compactMap { $0 }
        found += permissions()
        let (measured, measurements) = speed()
        return (found + measured, measurements)
    }

    // MARK: - Kind

    /// File systems by the number that statfs gives.
    private static let kinds: [(magic: UInt64, name: String)] = [
        (0xEF53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683E, "btrfs"), (0x2FC1_2FC1, "zfs"), (0xF2F5_2010, "f2fs"),
        (0x0102_1994, "tmpfs"), (0x8584_58F6, "ramfs"), (0x794C_7630, "overlayfs"), (0x6969, "nfs"),
        (0xFE53_4D42, "smb"), (0xFF53_4D42, "cifs"), (0x517B, "smb"), (0x0102_1997, "9p"), (0x6573_5546, "fuse"),
        (0x00C3_6400, "ceph"), (0x4D44, "vfat"), (0x2011_BAB0, "exfat"),
    ]

    private func fileSystem() -> DoctorFinding {
        let check = "file_system"
        var status = statfs()
        guard statfs(existing, &status) == 0 else {
            return .wrong(check, "\(existing): \(reason(errno))", "Let this user enter the folder.")
        }
        let magic = UInt64(UInt32(truncatingIfNeeded: status.f_type))
        let name = Self.kinds.first { $0.magic == magic }?.name ?? "of type 0x\(String(magic, radix: 16))"
        let text = "\(existing) is on \(name)"
        switch name {
        case "tmpfs", "ramfs":
            return .wrong(
                check,
                "\(text), which is memory: a restart of the machine loses everything that was acknowledged",
                "Put journal.path on a disk."
            )
        case "overlayfs":
            return .warning(
                check,
                "\(text): what is written there goes with the container",
                "Mount a volume at journal.path."
            )
        case "nfs", "smb", "cifs", "9p", "fuse", "ceph":
            return .warning(
                check,
                "\(text): locks and syncs are those of another machine, and its failures become this site's",
                "Put journal.path on a disk of this machine."
            )
        case "vfat", "exfat":
            return .warning(
                check,
                "\(text), which keeps no permissions and can lose files at a power cut",
                "Use ext4 or xfs."
            )
        default: return .good(check, text)
        }
    }

    // MARK: - Room

    private func room() -> DoctorFinding {
        let check = "free_space"
        var status = statvfs()
        guard statvfs(existing, &status) == 0 else {
            return .wrong(check, "\(existing): \(reason(errno))", "Let this user enter the folder.")
        }
        let free = Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
        let used = usedBytes()
        let needed = max(0, maxBytes - used)
        let text =
            "\(SizeText.bytes(free)) free, \(SizeText.bytes(used)) used of journal.max_bytes \(SizeText.bytes(maxBytes))"
        guard free < needed else { return .good(check, text) }
        return .warning(
            check,
            "\(text): the disk is full before the journal has what it may take",
            "Make room, or lower journal.max_bytes to \(SizeText.bytes(used + free * 9 / 10)) or less."
        )
    }

    private func usedBytes() -> Int {
        guard let parts = try? DataFolder(folder).parts else { return 0 }
        return parts.reduce(0) { total, part in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: part.directory)) ?? []
            return names.reduce(total) { total, name in
                var status = stat()
                return stat("\(part.directory)/\(name)", &status) == 0 ? total + Int(status.st_size) : total
            }
        }
    }

    // MARK: - Cache

    /// What the kernel believes of the device's cache. A cache that writes back is no fault: fdatasync flushes it.
    private func writeCache() -> DoctorFinding? {
        var status = stat()
        guard stat(existing, &status) == 0 else { return nil }
        let device = UInt64(status.st_dev)
        let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
        let minor = device & 0xFF | (device >> 12) & ~0xFF
        // A partition has the queue of its disk.
        let block = "/sys/dev/block/\(major):\(minor)"
        for path in ["\(block)/queue/write_cache", "\(block)/../queue/write_cache"] {
            guard let text = SystemFile.word(path) else { continue }
            return .good(
                "write_cache",
                text == "write back"
                    ? "the device has a volatile cache, which a sync flushes"
                    : "the device has no volatile cache (\(text))"
            )
        }
        return nil
    }

    // MARK: - Permissions

    private func permissions() -> [DoctorFinding] {
        let check = "permissions"
        guard let parts = try? DataFolder(folder).parts else { return [] }
        var open: [String] = []
        for directory in [folder] + parts.map(\.directory) {
            var status = stat()
            guard stat(directory, &status) == 0 else { continue }
            if status.st_mode & 0o007 != 0 { open.append(directory) }
            if access(directory, R_OK | W_OK | X_OK) != 0 {
                return [
                    .wrong(
                        check,
                        "\(directory): \(reason(errno))",
                        "Let the user that runs causeway read and write it."
                    )
                ]
            }
        }
        guard let first = open.first else { return [.good(check, "the journal is closed to others")] }
        return [
            .warning(
                check,
                "\(open.joined(separator: ", ")): others of this machine can enter",
                "chmod 700 \(first): messages stand there as they came."
            )
        ]
    }

    // MARK: - Speed

    private func speed() -> ([DoctorFinding], [DiskMeasurement]) {
        let check = "commit_latency"
        var measurements: [DiskMeasurement] = []
        do {
            for records in Self.recordsPerCommit {
                measurements.append(
                    try DiskMeasurement.run(
                        in: existing,
                        recordsPerCommit: records,
                        milliseconds: Self.measureMilliseconds
                    )
                )
            }
        } catch {
            return ([.wrong(check, error.message, "Nothing can be acknowledged on such a disk.")], measurements)
        }
        let found = measurements.map { measured -> DoctorFinding in
            let text =
                "\(SizeText.count(measured.recordsPerCommit, "record")) to a commit: median \(Self.time(measured.medianMicroseconds)), "
                + "p99 \(Self.time(measured.percentile99Microseconds)); expect up to "
                + "\(Int(measured.recordsPerSecond)) messages/s of QoS 1 with that many under way"
            if measured.medianMicroseconds < Self.unbelievableMedianMicroseconds * Double(measured.recordsPerCommit) {
                return .warning(
                    check,
                    "\(text): no device is so fast",
                    "Find out who throws the syncs away: a file system in memory, a library such as eatmydata, a virtual disk."
                )
            }
            if measured.medianMicroseconds > Self.slowMedianMicroseconds
                || measured.percentile99Microseconds > Self.slowPercentileMicroseconds
            {
                return .warning(check, "\(text): that is slow", "Clients wait that long for each acknowledgement.")
            }
            return .good(check, text)
        }
        return (found, measurements)
    }

    private static func time(_ microseconds: Double) -> String {
        microseconds < 1_000 ? "\(Int(microseconds)) µs" : "\(SizeText.decimal(microseconds / 1_000)) ms"
    }

    private func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// Small files of the kernel's.
enum SystemFile {
    /// The text of a file without white space around it; nil if there is none.
    static func word(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return text.isEmpty ? nil : text
    }

    /// The numbers of a file.
    static func numbers(_ path: String) -> [Int] {
        (word(path) ?? "").split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    }
}
