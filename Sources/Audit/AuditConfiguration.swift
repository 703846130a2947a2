/// Where an audit log lies, and its limits.
public struct AuditConfiguration: Sendable {
    /// What happens when the disk refuses a record.
    public enum FailurePolicy: String, Sendable, Hashable {
        /// The node works on; what could not be kept is counted and, later, recorded.
        case `continue`
        /// The node is to stop: what cannot be audited must not happen.
        case stop
    }

    /// When records are forced to the disk.
    public enum SyncPolicy: String, Sendable, Hashable {
        /// After each batch.
        case always
        /// When the system finds time. A crash of the process loses nothing, a power cut may lose seconds.
        case system
    }

    /// The directory, made with mode 0700 if it is missing.
    public var directory: String
    /// The key of the hashes, at least ``keyBytesMin`` bytes; nil for plain SHA-256.
    public var key: [UInt8]?
    /// Bytes of one file (`max_file_bytes`); the next begins a new one.
    public var fileBytesMax: Int = 64 << 20
    /// Seconds that one file takes records (`max_file_age`); then a new one is begun.
    public var fileSecondsMax: Int = 86_400
    /// Seconds that a file is kept after its last record (`keep`); nil keeps all.
    public var keepSeconds: Int?
    /// Records that wait for the writer. Those beyond are counted, and the count is recorded.
    public var waitingRecordsMax: Int = 8_192
    /// When records are forced to the disk.
    public var sync = SyncPolicy.always
    /// What happens when the disk refuses.
    public var onFailure = FailurePolicy.continue

    /// A shorter key would be the weakest part.
    public static let keyBytesMin = 16

    /// The defaults.
    public init(directory: String) { self.directory = directory }
}

/// What happened to the log itself, for the operator's log. Called on the log's thread.
public enum AuditReport: Sendable, Hashable {
    /// The disk refuses records. Once for each time of trouble.
    case failing(AuditError)
    /// It takes them again; so many were lost.
    case working(lost: UInt64)
    /// Half a line was set aside in this file.
    case setAside(file: String, bytes: Int)
    /// The log was not as it was left.
    case broken(String)
}

/// A call on a file that failed.
public struct AuditError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The call.
    public var operation: String
    /// The file.
    public var path: String
    /// The system's error number; 0 where the call is not the system's.
    public var code: Int32

    /// Makes an error.
    public init(_ operation: String, _ path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }
}
