internal import Crypto
internal import Foundation
internal import NIOSSL
internal import SwiftASN1
internal import X509

/// Makes the TLS context of a listener from its files. It reads them each time it is asked, so a listener that is
/// given a new context serves new certificates to those who connect from then on.
enum TLSContextFactory {
    /// TLS 1.2 suites: forward secrecy and authenticated encryption alone. TLS 1.3 has no other.
    private static let tls12Suites = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ].joined(separator: ":")

    /// Certificates of a chain that cafile completes: OpenSSL's limit is ten authorities above the leaf.
    static let chainMax = 11

    /// Reads the files. Blocks on the disk: never on a loop.
    static func security(
        _ tls: SiteServerConfiguration.TLS,
        listener: String
    ) throws(SiteServerError) -> ListenerSecurity {
        let (serving, fingerprint) = try serverConfiguration(tls, listener: listener)
        var configuration = serving
        let isModern = tls.profile == .modern || tls.minimumVersion == .tls13
        configuration.minimumTLSVersion = isModern ? .tlsv13 : .tlsv12
        configuration.cipherSuites = tls.ciphers ?? tls12Suites
        configuration.curves = [.x25519, .secp256r1, .secp384r1]
        configuration.renegotiationSupport = .none
        var revocation: RevocationCheck?
        if tls.clientCertificate == .none {
            if tls.namesByCertificate {
                throw failure(
                    listener,
                    "use_identity_as_username and use_subject_as_username need require_certificate: true",
                    nil
                )
            }
        } else {
            let authorities = try authorities(tls, listener: listener)
            configuration.trustRoots = .certificates(authorities)
            configuration.certificateVerification =
                tls.clientCertificate == .required
                ? .noHostnameVerification : .optionalVerification
            configuration.sendCANameList = true
            revocation = try revocationCheck(tls, authorities, listener: listener)
        }
        do {
            return ListenerSecurity(
                context: try NIOSSLContext(configuration: configuration),
                revocation: revocation,
                fingerprint: fingerprint
            )
        } catch {
            let doubt = tls.ciphers == nil ? "" : ", and are the ciphers known"
            throw failure(
                listener,
                "certificate and key cannot be used together; does the key belong to it\(doubt)?",
                error
            )
        }
    }

    private static func serverConfiguration(
        _ tls: SiteServerConfiguration.TLS,
        listener: String
    ) throws(SiteServerError) -> (configuration: TLSConfiguration, fingerprint: String) {
        let chain: [NIOSSLCertificate]
        let fingerprint: String?
        do {
            chain = try NIOSSLCertificate.fromPEMFile(tls.certificateFile)
            fingerprint = try chain.first.map { hexadecimal(SHA256.hash(data: try $0.toDERBytes())) }
        } catch {
            throw failure(listener, "certfile \(tls.certificateFile) is not a readable PEM certificate", error)
        }
        guard let fingerprint else {
            throw failure(listener, "certfile \(tls.certificateFile) holds no certificate", nil)
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: tls.keyFile, format: .pem)
        } catch {
            throw failure(listener, "keyfile \(tls.keyFile) is not a readable PEM private key", error)
        }
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: completed(chain, from: tls.authorityFile).map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        return (configuration, fingerprint)
    }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The chain with what cafile knows of those above it, if certfile holds the server's own certificate alone, as
    /// OpenSSL's servers complete it: clients that trust the root only could not check it otherwise. The root itself
    /// is left out; they have it.
    private static func completed(_ chain: [NIOSSLCertificate], from file: String?) -> [NIOSSLCertificate] {
        guard chain.count == 1, let file, let authorities = try? NIOSSLCertificate.fromPEMFile(file) else {
            return chain
        }
        let known = authorities.compactMap { authority in
            (try? authority.toDERBytes()).flatMap { try? Certificate(derEncoded: $0) }.map { (authority, $0) }
        }
        var chain = chain
        guard var last = try? Certificate(derEncoded: chain[0].toDERBytes()) else { return chain }
        while chain.count < chainMax, last.issuer != last.subject,
            let (authority, issuer) = known.first(where: { _, certificate in
                certificate.subject == last.issuer && certificate.issuer != certificate.subject
                    && certificate.publicKey.isValidSignature(last.signature, for: last)
            })
        {
            chain.append(authority)
            last = issuer
        }
        return chain
    }

    private static func authorities(
        _ tls: SiteServerConfiguration.TLS,
        listener: String
    ) throws(SiteServerError) -> [NIOSSLCertificate] {
        guard let file = tls.authorityFile else {
            throw failure(listener, "require_certificate needs a cafile that says whose certificates count", nil)
        }
        let authorities: [NIOSSLCertificate]
        do {
            authorities = try NIOSSLCertificate.fromPEMFile(file)
        } catch {
            throw failure(listener, "cafile \(file) is not a readable PEM file", error)
        }
        guard !authorities.isEmpty else { throw failure(listener, "cafile \(file) holds no certificate", nil) }
        return authorities
    }

    private static func revocationCheck(
        _ tls: SiteServerConfiguration.TLS,
        _ authorities: [NIOSSLCertificate],
        listener: String
    ) throws(SiteServerError) -> RevocationCheck? {
        guard let file = tls.revocationFile else { return nil }
        do {
            let parsed = authorities.compactMap { try? Certificate(derEncoded: $0.toDERBytes()) }
            return try RevocationCheck(path: file, authorities: parsed)
        } catch {
            throw failure(listener, "crlfile \(file) cannot be used", error)
        }
    }

    /// Whether others than the owner's group may read a file that should be secret.
    static func isReadableByOthers(_ path: String) -> Bool {
        let file = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        let mode = try? FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        return (mode ?? 0) & 0o004 != 0
    }

    private static func failure(_ listener: String, _ message: String, _ cause: (any Error)?) -> SiteServerError {
        SiteServerError(.tlsConfiguration, "Listener \(listener): \(message)", cause: cause)
    }
}
