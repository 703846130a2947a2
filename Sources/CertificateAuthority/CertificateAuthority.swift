internal import Crypto
internal import Foundation
internal import SwiftASN1
internal import X509

/// The certificate authority of a site: it vouches for the site's servers, its devices, and the bridges to its cloud.
///
/// Keys are ECDSA P-256, which every device of the last ten years does in hardware. The authority signs end
/// certificates only (path length 0), with random serial numbers of 20 bytes and separate purposes: a device's
/// certificate cannot pose as a server. With `domains`, it can sign for those and private addresses alone (name
/// constraints), so that it does little harm where it is trusted for more than MQTT.
public struct CertificateAuthority: Sendable {
    /// The file of the certificate within a folder.
    public static let certificateFile = "ca.pem"
    /// The file of the private key within a folder.
    public static let keyFile = "ca.key"

    /// The authority's own certificate, PEM: the `cafile` of those who are to trust it.
    public let certificatePEM: String
    /// What it says.
    public let details: CertificateDetails

    private let keyPEM: String
    private let certificate: Certificate
    private let key: Certificate.PrivateKey

    // MARK: Making, reading and writing

    /// Makes a new authority.
    ///
    /// - Parameters:
    ///   - name: Its common name, such as `store-0042 CA`.
    ///   - domains: The domains it may sign for, with everything below; empty: any.
    ///   - validity: Default: twenty years.
    public static func create(
        name: String,
        domains: [String] = [],
        validity: CertificateValidity = .days(CertificateValidity.authorityDays)
    ) throws(CertificateAuthorityError) -> CertificateAuthority {
        try CertificateNames.check(commonName: name)
        for domain in domains where !CertificateNames.isDNSName(domain) {
            throw CertificateAuthorityError(.invalidName, "'\(domain)' is not a domain")
        }
        let privateKey = P256.Signing.PrivateKey()
        let key = Certificate.PrivateKey(privateKey)
        let subject = try distinguishedName(name)
        let certificate = try sign(
            publicKey: key.publicKey,
            subject: subject,
            issuer: subject,
            validity: validity,
            key: key
        ) {
            var extensions: [any CertificateExtensionConvertible] = [
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0)),
                Critical(KeyUsage(keyCertSign: true, cRLSign: true)),
                SubjectKeyIdentifier(hash: key.publicKey),
            ]
            if !domains.isEmpty {
                extensions.append(Critical(PermittedNames.constraints(domains: domains.map { $0.lowercased() })))
            }
            return extensions
        }
        return CertificateAuthority(
            certificatePEM: try pem(of: certificate),
            keyPEM: privateKey.pemRepresentation + "\n",
            certificate: certificate,
            key: key
        )
    }

    /// Takes an authority that exists: ours, or one made with other tools (ECDSA or RSA).
    ///
    /// - Throws: ``CertificateAuthorityError/Code/mismatch`` if the two do not belong together or the certificate is
    ///   not that of an authority.
    public init(certificatePEM: String, keyPEM: String) throws(CertificateAuthorityError) {
        let certificate = try Self.certificate(pem: certificatePEM)
        let key: Certificate.PrivateKey
        do {
            key = try Certificate.PrivateKey(pemEncoded: keyPEM)
        } catch {
            throw CertificateAuthorityError(.unreadable, "the authority's key cannot be read as an unencrypted PEM key")
        }
        guard key.publicKey == certificate.publicKey else {
            throw CertificateAuthorityError(.mismatch, "the authority's key does not belong to its certificate")
        }
        guard case .isCertificateAuthority = try? certificate.extensions.basicConstraints else {
            throw CertificateAuthorityError(.mismatch, "the certificate is not that of an authority")
        }
        if let usage = try? certificate.extensions.keyUsage, !usage.keyCertSign {
            throw CertificateAuthorityError(
                .mismatch,
                "the authority's certificate does not allow signing certificates"
            )
        }
        self.init(certificatePEM: certificatePEM, keyPEM: keyPEM, certificate: certificate, key: key)
    }

    /// Takes the authority in a folder: `ca.pem` and `ca.key`.
    public init(folder: String) throws(CertificateAuthorityError) {
        try self.init(
            certificatePEM: PrivateFile.read("\(folder)/\(Self.certificateFile)"),
            keyPEM: PrivateFile.read("\(folder)/\(Self.keyFile)")
        )
    }

    private init(certificatePEM: String, keyPEM: String, certificate: Certificate, key: Certificate.PrivateKey) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
        self.certificate = certificate
        self.key = key
        details = CertificateDetails(certificate)
    }

    /// Writes `ca.pem` (mode 0644) and `ca.key` (mode 0600) into a folder, which is made if need be.
    ///
    /// - Parameter replacing: Whether files that are there are replaced; else they are an error and nothing is written.
    public func write(to folder: String, replacing: Bool = false) throws(CertificateAuthorityError) {
        let issued = IssuedCertificate(certificatePEM: certificatePEM, keyPEM: keyPEM, details: details)
        try issued.write(
            certificate: "\(folder)/\(Self.certificateFile)",
            key: "\(folder)/\(Self.keyFile)",
            replacing: replacing
        )
    }

    // MARK: Issuing

    /// Makes a certificate for a server.
    ///
    /// - Parameters:
    ///   - hosts: DNS names (perhaps with a leading `*.`) and IP addresses under which clients reach it.
    ///   - name: Its common name. Default: the first host.
    ///   - alsoClient: Whether it may also be shown as a client's, such as by the site's bridge to its cloud.
    ///   - validity: Default: 825 days. Ends with the authority at the latest.
    public func issueServer(
        hosts: [String],
        name: String? = nil,
        alsoClient: Bool = false,
        validity: CertificateValidity = .days(CertificateValidity.serverDays)
    ) throws(CertificateAuthorityError) -> IssuedCertificate {
        guard let first = hosts.first, hosts.count <= CertificateNames.hostsMax else {
            throw CertificateAuthorityError(
                .invalidName,
                "a server needs 1 to \(CertificateNames.hostsMax) host names or addresses"
            )
        }
        var names: [GeneralName] = []
        for host in hosts {
            let name = try CertificateNames.generalName(host: host)
            try refuseForbidden(name, host: host)
            if !names.contains(name) { names.append(name) }
        }
        // A host name may be longer than a common name; clients look at the alternative names only.
        let commonName = name ?? String(first.prefix(CertificateNames.commonNameMax))
        let usages: [ExtendedKeyUsage.Usage] = alsoClient ? [.serverAuth, .clientAuth] : [.serverAuth]
        return try issue(commonName: commonName, usages: usages, hosts: names, validity: validity)
    }

    /// Makes a certificate for a device. Its name is the common name, which is the user name with
    /// `use_identity_as_username`.
    ///
    /// - Parameter validity: Default: five years. Ends with the authority at the latest.
    public func issueDevice(
        name: String,
        validity: CertificateValidity = .days(CertificateValidity.deviceDays)
    ) throws(CertificateAuthorityError) -> IssuedCertificate {
        try issue(commonName: name, usages: [.clientAuth], hosts: [], validity: validity)
    }

    /// Makes a certificate for another client: a bridge, an aggregator, a person's tool.
    ///
    /// - Parameter validity: Default: 825 days. Ends with the authority at the latest.
    public func issueClient(
        name: String,
        validity: CertificateValidity = .days(CertificateValidity.clientDays)
    ) throws(CertificateAuthorityError) -> IssuedCertificate {
        try issue(commonName: name, usages: [.clientAuth], hosts: [], validity: validity)
    }

    /// Makes a certificate anew with the same names, purposes and key, and a new lifetime and serial number. The key
    /// file stays as it is.
    ///
    /// - Parameter validity: Nil: as long as the old one was.
    /// - Throws: ``CertificateAuthorityError/Code/mismatch`` if this authority did not issue it.
    public func renew(
        certificatePEM: String,
        validity: CertificateValidity? = nil
    ) throws(CertificateAuthorityError) -> IssuedCertificate {
        let old = try Self.certificate(pem: certificatePEM)
        guard old.issuer == certificate.subject, certificate.publicKey.isValidSignature(old.signature, for: old) else {
            throw CertificateAuthorityError(.mismatch, "the certificate was not issued by this authority")
        }
        let days = Int((old.notValidAfter.timeIntervalSince(old.notValidBefore) / 86_400).rounded())
        let renewed = try Self.sign(
            publicKey: old.publicKey,
            subject: old.subject,
            issuer: certificate.subject,
            validity: try bounded(validity ?? .days(days)),
            key: key
        ) { old.extensions.map { $0 } }
        return IssuedCertificate(
            certificatePEM: try Self.pem(of: renewed),
            keyPEM: nil,
            details: CertificateDetails(renewed)
        )
    }

    private func issue(
        commonName: String,
        usages: [ExtendedKeyUsage.Usage],
        hosts: [GeneralName],
        validity: CertificateValidity
    ) throws(CertificateAuthorityError) -> IssuedCertificate {
        try CertificateNames.check(commonName: commonName)
        if hosts.isEmpty, commonName.contains("."), CertificateNames.isDNSName(commonName) {
            // OpenSSL takes such a common name for a host and holds it against the name constraints.
            try refuseForbidden(.dnsName(commonName.lowercased()), host: commonName)
        }
        let privateKey = P256.Signing.PrivateKey()
        let publicKey = Certificate.PublicKey(privateKey.publicKey)
        let authorityKeyIdentifier = (try? certificate.extensions.subjectKeyIdentifier)?.keyIdentifier
        let issued = try Self.sign(
            publicKey: publicKey,
            subject: try Self.distinguishedName(commonName),
            issuer: certificate.subject,
            validity: try bounded(validity),
            key: key
        ) {
            var extensions: [any CertificateExtensionConvertible] = [
                Critical(BasicConstraints.notCertificateAuthority),
                Critical(KeyUsage(digitalSignature: true)),
                try ExtendedKeyUsage(usages),
                SubjectKeyIdentifier(hash: publicKey),
            ]
            if let identifier = authorityKeyIdentifier {
                extensions.append(AuthorityKeyIdentifier(keyIdentifier: identifier))
            }
            if !hosts.isEmpty { extensions.append(SubjectAlternativeNames(hosts)) }
            return extensions
        }
        return IssuedCertificate(
            certificatePEM: try Self.pem(of: issued),
            keyPEM: privateKey.pemRepresentation + "\n",
            details: CertificateDetails(issued)
        )
    }

    /// A certificate that outlives its authority would fail on the day nobody expects.
    private func bounded(_ validity: CertificateValidity) throws(CertificateAuthorityError) -> CertificateValidity {
        let end = min(validity.notAfter, certificate.notValidAfter)
        guard validity.notBefore < end else {
            throw CertificateAuthorityError(
                .invalidValidity,
                "the lifetime would end before it begins, or after the authority's"
            )
        }
        return CertificateValidity(notBefore: validity.notBefore, notAfter: end)
    }

    private func refuseForbidden(_ name: GeneralName, host: String) throws(CertificateAuthorityError) {
        guard let constraints = try? certificate.extensions.nameConstraints,
            !PermittedNames.allow(name, by: constraints)
        else { return }
        let domains = Array(constraints.permittedDNSDomains).joined(separator: ", ")
        throw CertificateAuthorityError(
            .invalidName,
            "this authority may not sign for '\(host)', only for \(domains) and addresses of private networks"
        )
    }
}

// The stored key must not reach a log line by way of string interpolation.
extension CertificateAuthority: CustomStringConvertible, CustomDebugStringConvertible {
    /// The name, without the key.
    public var description: String { "CertificateAuthority(\(details.commonName))" }
    /// The same.
    public var debugDescription: String { description }
}
