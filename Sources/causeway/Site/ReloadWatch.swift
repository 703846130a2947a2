// Foundation brings the C library's `stat` by this module, optimised builds at least.
import CoreFoundation
import Dispatch
import Foundation
import Synchronization

/// What tells one state of a file from the next, without opening it. Links are followed, so a Kubernetes volume whose
/// link is swapped is seen as well.
struct FileFingerprint: Sendable, Hashable {
    private var device: UInt64 = 0
    private var inode: UInt64 = 0
    private var byteCount: Int64 = 0
    private var changed: [Int] = []

    /// Of a file that is there, or of one that is not.
    init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        byteCount = Int64(status.st_size)
        changed = [
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
        ]
    }
}

/// Finds files that have changed, and waits until they rest: an editor or a certificate tool writes several files, and
/// one of them in several steps.
struct FileWatchState: Sendable {
    private var known: [String: FileFingerprint] = [:]
    /// Files that looked otherwise at the last look, as they looked then.
    private var moving: [String: FileFingerprint] = [:]

    /// Files watched at once. Those beyond are left to SIGHUP.
    static let filesMax = 4_096

    /// Watches these files from now on. Those that were watched before keep what was seen of them.
    mutating func watch(_ files: [String], _ look: (String) -> FileFingerprint) {
        let before = known
        known = [:]
        for file in files.prefix(Self.filesMax) { known[file] = before[file] ?? look(file) }
        moving = moving.filter { known[$0.key] != nil }
    }

    /// Takes a file as it is now: who changed it knows of it.
    mutating func accept(_ file: String, _ look: (String) -> FileFingerprint) {
        guard known[file] != nil else { return }
        known[file] = look(file)
        moving[file] = nil
    }

    /// Looks at all files.
    ///
    /// - Returns: Those that have changed, once none of them has changed since the last look.
    mutating func look(_ look: (String) -> FileFingerprint) -> [String] {
        var now: [String: FileFingerprint] = [:]
        for (file, before) in known {
            let fingerprint = look(file)
            if fingerprint != before { now[file] = fingerprint }
        }
        guard !now.isEmpty, now == moving else {
            moving = now
            return []
        }
        for (file, fingerprint) in now { known[file] = fingerprint }
        moving = [:]
        return now.keys.sorted()
    }
}

/// Looks at files once a second, on a queue of its own.
final class FileWatch: Sendable {
    private let state = Mutex(FileWatchState())
    private let onChange: @Sendable ([String]) -> Void
    // SAFETY: set by init and never replaced; cancelling is allowed from any thread.
    private nonisolated(unsafe) let timer: any DispatchSourceTimer

    /// Seconds between two looks. What changes is reported once it has rested for as long.
    static let lookSeconds = 1.0

    /// Makes a watch that looks at nothing yet.
    ///
    /// - Parameter onChange: Told which files have changed, on the watch's queue.
    init(everySeconds seconds: Double = FileWatch.lookSeconds, onChange: @escaping @Sendable ([String]) -> Void) {
        self.onChange = onChange
        let queue = DispatchQueue(label: "causeway.watch", qos: .utility)
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: .now() + seconds, repeating: seconds, leeway: .milliseconds(Int(seconds * 100)))
        timer.setEventHandler { [weak self] in self?.look() }
        timer.resume()
    }

    deinit { timer.cancel() }

    /// Watches these files from now on.
    func watch(_ files: [String]) { state.withLock { $0.watch(files) { FileFingerprint($0) } } }

    /// Takes a file as it is now: whoever wrote it, as dynamic security writes its own, knows of the change.
    func accept(_ file: String) { state.withLock { $0.accept(file) { FileFingerprint($0) } } }

    /// Looks no more.
    func stop() { timer.cancel() }

    private func look() {
        let changed = state.withLock { $0.look { FileFingerprint($0) } }
        if !changed.isEmpty { onChange(changed) }
    }
}
