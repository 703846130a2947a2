internal import Glibc
internal import NIOSSL

/// Makes the TLS context of a listener from its files. It reads them each time it is asked, so a listener that is
/// given a new context serves new certificates to those who connect from then on.
enum TLSContextFactory {
    /// TLS 1.2 suites: forward secrecy and authenticated encryption alone. TLS 1.3 has no other.
    private static let tls12Suites = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ].joined(separator: ":")

    /// Reads the files. Blocks on the disk: never on a loop.
    static func context(_ tls: SiteServerConfiguration.TLS, listener: String) throws(SiteServerError) -> NIOSSLContext {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(tls.certificateFile)
        } catch {
            throw failure(listener, "certfile \(tls.certificateFile) is not a readable PEM certificate", error)
        }
        guard !chain.isEmpty else {
            throw failure(listener, "certfile \(tls.certificateFile) holds no certificate", nil)
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: tls.keyFile, format: .pem)
        } catch {
            throw failure(listener, "keyfile \(tls.keyFile) is not a readable PEM private key", error)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = tls.minimumVersion == .tls13 ? .tlsv13 : .tlsv12
        configuration.cipherSuites = tls12Suites
        configuration.curves = [.x25519, .secp256r1, .secp384r1]
        configuration.renegotiationSupport = .none
        if tls.requireCertificate {
            guard let authorityFile = tls.authorityFile else {
                throw failure(listener, "require_certificate needs a cafile that says whose certificates count", nil)
            }
            let authorities: [NIOSSLCertificate]
            do {
                authorities = try NIOSSLCertificate.fromPEMFile(authorityFile)
            } catch {
                throw failure(listener, "cafile \(authorityFile) is not a readable PEM file", error)
            }
            guard !authorities.isEmpty else {
                throw failure(listener, "cafile \(authorityFile) holds no certificate", nil)
            }
            configuration.trustRoots = .certificates(authorities)
            configuration.certificateVerification = .noHostnameVerification
            configuration.sendCANameList = true
        } else if tls.useIdentityAsUsername {
            throw failure(listener, "use_identity_as_username needs require_certificate: true", nil)
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw failure(listener, "certificate and key cannot be used together; does the key belong to it?", error)
        }
    }

    /// Whether others than the owner's group may read a file that should be secret.
    static func isReadableByOthers(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & 0o004 != 0
    }

    private static func failure(_ listener: String, _ message: String, _ cause: (any Error)?) -> SiteServerError {
        SiteServerError(.tlsConfiguration, "Listener \(listener): \(message)", cause: cause)
    }
}
