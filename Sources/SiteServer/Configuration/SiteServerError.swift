/// Why a ``SiteServer`` could not start, or could not do what it was asked for.
public struct SiteServerError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Hashable {
        /// Plain TCP on an address that is not loopback, without `insecure: true`.
        case plaintextBeyondLoopback
        /// A certificate, key or authority file cannot be used.
        case tlsConfiguration
        /// The address cannot be resolved or bound.
        case bind
        /// The core could not be made or recovered.
        case core
        /// The server is not running.
        case notRunning
    }

    /// What kind of failure it is.
    public let code: Code
    /// One sentence for the operator, with what to do about it. It holds no secrets.
    public let message: String
    /// What the layer below said.
    public let cause: (any Error)?
    /// Where in the code it was made.
    public let fileID: String
    /// Where in the code it was made.
    public let line: Int

    init(
        _ code: Code,
        _ message: String,
        cause: (any Error)? = nil,
        fileID: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.fileID = fileID
        self.line = line
    }

    /// The message, and what the layer below said.
    public var description: String {
        guard let cause else { return message }
        return "\(message) (\(cause))"
    }
}
