public import Foundation

/// A certificate and, if it was made with it, the private key, both PEM.
public struct IssuedCertificate: Sendable {
    /// The certificate, PEM.
    public var certificatePEM: String
    /// The private key, PEM (PKCS #8); nil for a renewal, which keeps the key. Never log it.
    public var keyPEM: String?
    /// What it says.
    public var details: CertificateDetails

    /// Writes certificate (mode 0644) and key (mode 0600), each at once or not at all, after making the folders (mode
    /// 0755). The key first: a certificate without its key is of no use.
    ///
    /// - Parameter replacing: Whether files that are there are replaced; else they are an error and nothing is written.
    public func write(
        certificate: String,
        key: String,
        replacing: Bool = false
    ) throws(CertificateAuthorityError) {
        try PrivateFile.refuseExisting(keyPEM == nil ? [certificate] : [certificate, key], replacing: replacing)
        if let keyPEM { try PrivateFile.write(keyPEM, to: key, mode: 0o600, replacing: replacing) }
        try PrivateFile.write(certificatePEM, to: certificate, mode: 0o644, replacing: replacing)
    }
}

extension IssuedCertificate: CustomStringConvertible, CustomDebugStringConvertible {
    /// The name and serial number, without the key.
    public var description: String { "IssuedCertificate(\(details.commonName), \(details.serialNumber))" }
    /// The same.
    public var debugDescription: String { description }
}

/// What a certificate says, for people.
public struct CertificateDetails: Sendable, Hashable {
    /// The common name.
    public var commonName: String
    /// The issuer's common name.
    public var issuer: String
    /// DNS names and IP addresses it is for.
    public var hosts: [String]
    /// `authority`, `server`, `client`, as far as it may be used so.
    public var purposes: [String]
    /// The serial number, hexadecimal.
    public var serialNumber: String
    /// From when until when it counts.
    public var validity: CertificateValidity

    /// Reads the first certificate of a PEM text.
    public init(pem: String) throws(CertificateAuthorityError) {
        self.init(try CertificateAuthority.certificate(pem: pem))
    }

    /// Whole days until the end, taking a minute as nothing; negative if it is over.
    public func daysLeft(now: Date = Date()) -> Int {
        Int(((validity.notAfter.timeIntervalSince(now) + 60) / 86_400).rounded(.down))
    }
}
