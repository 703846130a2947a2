extension Fields {
    /// `tls:` of a listener.
    func listenerTLS() -> ListenerTLS? {
        let certificate = field("certfile")
        let key = field("keyfile")
        let authority = field("cafile")
        let requires = field("require_certificate")
        let closesRevoked = field("close_revoked")
        let identity = field("use_identity_as_username")
        let subject = field("use_subject_as_username")
        let useSubject = subject.bool(default: false)
        let revocation = field("crlfile")
        let revocationFile = revocation.path(.readable)
        let profile = field("profile").choice(ListenerTLS.Profile.self) ?? .intermediate
        let versionField = field("tls_version")
        let version = versionField.choice(TLSVersion.self) ?? (profile == .modern ? .tls13 : .tls12)
        let ciphersField = field("ciphers")
        let ciphers = ciphersField.words(maxBytes: 4_096)
        if profile == .modern, version == .tls12 {
            versionField.reportKey("'tls_version: tlsv1.2' contradicts 'profile: modern'", hint: "keep one")
        }
        if profile == .modern, ciphersField.isPresent {
            ciphersField.reportKey("'ciphers' are those of TLS 1.2, which 'profile: modern' does not speak")
        }
        if revocation.isPresent, !authority.isPresent {
            revocation.reportKey("'crlfile' needs 'cafile'", hint: "it lists what that authority has revoked")
        }
        if useSubject, identity.isPresent {
            subject.reportKey("'use_subject_as_username' contradicts 'use_identity_as_username'", hint: "keep one")
        } else if useSubject, !requires.isPresent {
            subject.reportKey("'use_subject_as_username' needs 'require_certificate: true'")
        }
        let certificateFile = certificate.path(.certificates)
        let keyFile = key.path(.privateKey)
        let authorityFile = authority.path(.certificates)
        let asksForCertificate = requires.isWord("optional")
        let requireCertificate = asksForCertificate ? false : requires.bool(default: false)
        let useIdentity = identity.bool(default: false)
        if !certificate.isPresent {
            certificate.reportMissing(hint: "'causeway certs server' makes a certificate and a key")
        }
        if !key.isPresent { key.reportMissing(hint: "the private key that belongs to 'certfile'") }
        if requireCertificate || asksForCertificate, !authority.isPresent {
            requires.reportKey(
                "'require_certificate' needs 'cafile'",
                hint: "name the authority that signs the devices' certificates"
            )
        }
        if useIdentity, requires.isPresent, !requireCertificate, !asksForCertificate {
            identity.reportKey(
                "'use_identity_as_username' contradicts 'require_certificate: false'",
                hint: "a client without a certificate has no name in it"
            )
        } else if useIdentity, !requires.isPresent {
            identity.reportKey("'use_identity_as_username' needs 'require_certificate: true'")
        }
        if closesRevoked.isPresent, !revocation.isPresent {
            closesRevoked.reportKey("'close_revoked' needs 'crlfile'", hint: "the list says who is revoked")
        }
        let closes = closesRevoked.bool(default: true)
        guard let certificateFile, let keyFile else { return nil }
        return ListenerTLS(
            certificateFile: certificateFile,
            keyFile: keyFile,
            authorityFile: authorityFile,
            revocationFile: revocationFile,
            requireCertificate: requireCertificate,
            asksForCertificate: asksForCertificate,
            closesRevoked: closes,
            useIdentityAsUsername: useIdentity,
            useSubjectAsUsername: useSubject,
            profile: profile,
            minimumVersion: version,
            ciphers: ciphers
        )
    }

    /// `tls:` towards another broker.
    func clientTLS() -> ClientTLS? {
        let certificate = field("certfile")
        let key = field("keyfile")
        let authorityFile = field("cafile").path(.certificates)
        let certificateFile = certificate.path(.certificates)
        let keyFile = key.path(.privateKey)
        let insecure = field("insecure")
        let skipsCheck = insecure.bool(default: false)
        if certificate.isPresent, !key.isPresent {
            certificate.reportKey("'certfile' needs 'keyfile'", hint: "name the private key that belongs to it")
        } else if key.isPresent, !certificate.isPresent {
            key.reportKey("'keyfile' needs 'certfile'", hint: "name the certificate that belongs to it")
        }
        if skipsCheck {
            insecure.reportKey(
                "the other side's host name goes unchecked: whoever has a certificate of the authority can pose as it",
                hint: "for trials only",
                severity: .warning
            )
        }
        return ClientTLS(
            authorityFile: authorityFile,
            certificateFile: certificateFile,
            keyFile: keyFile,
            skipsHostNameCheck: skipsCheck
        )
    }
}
