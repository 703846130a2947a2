/// Why the store could not do something.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of failure it is. All but ``conflict`` stop the acknowledging until the store works again.
    public enum Code: String, Sendable, Hashable {
        /// The disk, or the file's allowance, is full.
        case full
        /// Another process holds the database.
        case locked
        /// The file is damaged or is no database.
        case corrupt
        /// The file cannot be opened or written with our rights.
        case unwritable
        /// The disk failed.
        case disk
        /// The store holds something else than this aggregator remembers: another one wrote. Loading again resolves it.
        case conflict
        /// The file was written by a newer version.
        case newer
        /// Anything else.
        case other
    }

    /// What kind of failure.
    public let code: Code
    /// What happened, without any data of the messages.
    public let message: String
    /// The database's own result code; 0 if there is none.
    public let resultCode: Int32

    /// Makes an error.
    public init(code: Code, message: String, resultCode: Int32 = 0) {
        self.code = code
        self.message = message
        self.resultCode = resultCode
    }

    /// The code and the message.
    public var description: String { "\(code.rawValue): \(message)" }
}
