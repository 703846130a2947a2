/// Why a certificate could not be made, read or written. Its text never holds key material.
public struct CertificateAuthorityError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: String, Sendable, Hashable, CaseIterable {
        /// A name is not possible in a certificate, or not allowed by this authority.
        case invalidName
        /// A lifetime that ends before it begins, or lies outside the authority's own.
        case invalidValidity
        /// A file or text holds no certificate or key that can be read.
        case unreadable
        /// Certificate and key do not belong together, or the certificate is not an authority's.
        case mismatch
        /// A file is there already.
        case alreadyExists
        /// The disk refused.
        case disk
        /// The certificate library refused.
        case library
    }

    /// What kind of failure it is.
    public var code: Code
    /// One sentence.
    public var message: String
    /// What the library or the system said, where it said something.
    public var cause: String?
    /// Where it was made.
    public var fileID: String
    /// Where it was made.
    public var line: UInt

    /// Makes an error.
    public init(
        _ code: Code,
        _ message: String,
        cause: String? = nil,
        fileID: String = #fileID,
        line: UInt = #line
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.fileID = fileID
        self.line = line
    }

    /// Message and cause.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
