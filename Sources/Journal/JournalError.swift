#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Why the journal cannot do what it was asked for, and what the operator should do about it.
public struct JournalError: Error, Sendable {
    /// What kind of failure it is. The raw value is the stable name in logs and metrics.
    public enum Code: String, Sendable, Hashable {
        /// The file system has no room. Seen while preparing a segment it is temporary (see
        /// ``CommitNotice/stalled(_:)``).
        case diskFull = "disk_full"
        /// The journal has reached its configured `maxBytes`. Temporary: it goes on when readers let segments go.
        case sizeLimit = "size_limit"
        /// A write failed. The journal takes nothing more until it is opened again.
        case writeFailed = "write_failed"
        /// A sync failed. The journal takes nothing more until it is opened again.
        case syncFailed = "sync_failed"
        /// A read failed.
        case readFailed = "read_failed"
        /// A file or directory could not be opened, made, renamed or removed.
        case accessFailed = "access_failed"
        /// Another process, or another journal in this one, has it open.
        case locked = "locked"
        /// The files were written by a newer version. They were not touched.
        case unsupportedVersion = "unsupported_version"
        /// Files are encrypted with a key that is not configured. They were not touched.
        case keyMissing = "key_missing"
        /// Records that were committed do not pass their checksum; ``JournalError/lostSequences`` says which.
        case corrupt = "corrupt"
        /// More than the hard limit of bytes waits for the disk (``Journal/Configuration/maxPendingBytes`` was
        /// ignored).
        case pendingOverflow = "pending_overflow"
        /// The caller broke the contract: sequence out of order, a record beyond the limit, a checkpoint of the future.
        case misuse = "misuse"
        /// The journal was closed.
        case closed = "closed"
    }

    /// What kind of failure it is.
    public let code: Code
    /// One sentence that says what happened and what to do.
    public let message: String
    /// The raw `errno`, where the system gave one.
    public let errno: Int32?
    /// The file or directory, where there is one.
    public let path: String?
    /// The records that cannot be read, for ``Code/corrupt``. Reading may go on after them.
    public let lostSequences: ClosedRange<UInt64>?
    /// The disk error below it.
    public let cause: DiskError?
    /// Where it was thrown.
    public let fileID: String
    /// Where it was thrown.
    public let line: Int

    init(
        _ code: Code,
        _ message: String,
        cause: DiskError? = nil,
        path: String? = nil,
        lost: ClosedRange<UInt64>? = nil,
        fileID: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.errno = cause?.code
        self.path = path ?? cause?.path
        self.lostSequences = lost
        self.cause = cause
        self.fileID = fileID
        self.line = line
    }

    /// Wraps a disk error: want of space has its own code, everything else is `code`.
    init(_ cause: DiskError, as code: Code, fileID: String = #fileID, line: Int = #line) {
        let isFull = cause.code == ENOSPC || cause.code == EDQUOT
        let reason = "\(cause.operation) of \(cause.path): \(String(cString: strerror(cause.code)))"
        let message =
            switch (isFull, code) {
            case (true, _): "The journal's disk is full (\(reason)). Make room; what is committed is safe and readable."
            case (_, .writeFailed), (_, .syncFailed):
                "The journal could not be written (\(reason)). It takes nothing more: check the disk, then restart."
            case (_, .locked): "Another process has this journal open (\(reason)). Stop it, or use another path."
            default: "The journal met an error of the disk (\(reason)). Check the path, its owner and the disk."
            }
        self.init(isFull ? .diskFull : code, message, cause: cause, fileID: fileID, line: line)
    }

    /// Whether it is want of space.
    var isWantOfSpace: Bool { code == .diskFull || code == .sizeLimit }
}

extension JournalError: CustomStringConvertible {
    /// The code, the message and where it was thrown.
    public var description: String { "journal \(code.rawValue): \(message) [\(fileID):\(line)]" }
}
