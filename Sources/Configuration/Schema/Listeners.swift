/// Bounds of the lists and numbers of a listener.
enum ListenerBounds {
    static let listenersMax = 64
    static let connections = 1...1_000_000
    static let packetBytes = 64...268_435_455
    static let keepAliveSeconds = 1...65_535
}

extension Field {
    /// `listeners:`.
    func listeners(limits: LimitsConfiguration, hasUsers: Bool) -> [ListenerConfiguration] {
        guard let elements = elements(max: ListenerBounds.listenersMax, hint: "each listener begins with '-'") else {
            return []
        }
        var listeners: [ListenerConfiguration] = []
        for element in elements {
            let listener = element.mapping { $0.listener(limits: limits, hasUsers: hasUsers) }
            guard let listener else { continue }
            if listeners.contains(where: { $0.name == listener.name }) {
                element.report("a listener named '\(listener.name)' stands above already", hint: "choose another name")
            } else if let other = listeners.first(where: { $0.bind == listener.bind && listener.bind.port != 0 }) {
                element.report("\(listener.bind) is taken by the listener '\(other.name)'", hint: "choose another port")
            }
            listeners.append(listener)
        }
        return listeners
    }
}

extension Fields {
    fileprivate func listener(limits: LimitsConfiguration, hasUsers: Bool) -> ListenerConfiguration? {
        let name = field("name").name()
        let bindField = field("bind")
        let bind = bindField.bindAddress()
        if !bindField.isPresent { bindField.reportMissing(hint: "such as bind: 0.0.0.0:8883") }
        let insecureField = field("insecure")
        let isInsecureAllowed = insecureField.bool(default: false)
        let tlsField = field("tls")
        let tls = tlsField.mapping { $0.listenerTLS() }
        let isPlain = !tlsField.isPresent
        if let bind, isPlain, !bind.isLoopback, !isInsecureAllowed {
            bindField.report(
                "plain TCP on \(bind) would carry passwords and data in the clear",
                hint: "add 'tls:', bind to 127.0.0.1, or set 'insecure: true' if the network is protected otherwise"
            )
        }
        if !isPlain, isInsecureAllowed {
            insecureField.reportKey("'insecure' contradicts 'tls'", hint: "take one of them away")
        }
        let anonymousField = field("allow_anonymous")
        let isPrivate = isPlain && bind?.isLoopback ?? false
        let allowAnonymous = anonymousField.bool(default: isPrivate && !hasUsers)
        let knowsByCertificate = tls?.requireCertificate == true && tls?.useIdentityAsUsername == true
        if bind != nil, tls != nil || isPlain, !allowAnonymous, !hasUsers, !knowsByCertificate {
            report(
                "nobody could enter here: no users, no anonymous clients, and certificates do not name the user",
                hint: "add 'users: { password_file: … }', 'allow_anonymous: true', "
                    + "or 'require_certificate' with 'use_identity_as_username'"
            )
        }
        let maxConnections = field("max_connections").integer(ListenerBounds.connections) ?? 10_000
        let packetField = field("max_packet_size")
        let maxPacketBytes = packetField.bytes(ListenerBounds.packetBytes)
        let keepAliveField = field("max_keepalive")
        let maxKeepAlive = keepAliveField.duration(1_000...65_535_000, secondsByDefault: true)
        guard let bind else { return nil }
        return ListenerConfiguration(
            name: name ?? bind.description,
            bind: bind,
            isInsecureAllowed: isInsecureAllowed,
            allowAnonymous: allowAnonymous,
            tls: tls,
            maxConnections: maxConnections,
            maxPacketBytes: maxPacketBytes,
            maxKeepAliveSeconds: maxKeepAlive.map { Int($0.components.seconds) },
            position: position
        )
    }

    private func listenerTLS() -> ListenerTLS? {
        let certificate = field("certfile")
        let key = field("keyfile")
        let authority = field("cafile")
        let requires = field("require_certificate")
        let identity = field("use_identity_as_username")
        let version = field("tls_version").choice(TLSVersion.self) ?? .tls12
        let certificateFile = certificate.path(.certificates)
        let keyFile = key.path(.privateKey)
        let authorityFile = authority.path(.certificates)
        let requireCertificate = requires.bool(default: false)
        let useIdentity = identity.bool(default: false)
        if !certificate.isPresent {
            certificate.reportMissing(hint: "'causeway certs server' makes a certificate and a key")
        }
        if !key.isPresent { key.reportMissing(hint: "the private key that belongs to 'certfile'") }
        if requireCertificate, !authority.isPresent {
            requires.reportKey(
                "'require_certificate' needs 'cafile'",
                hint: "name the authority that signs the devices' certificates"
            )
        }
        if useIdentity, requires.isPresent, !requireCertificate {
            identity.reportKey(
                "'use_identity_as_username' contradicts 'require_certificate: false'",
                hint: "a client without a certificate has no name in it"
            )
        } else if useIdentity, !requires.isPresent {
            identity.reportKey("'use_identity_as_username' needs 'require_certificate: true'")
        }
        guard let certificateFile, let keyFile else { return nil }
        return ListenerTLS(
            certificateFile: certificateFile,
            keyFile: keyFile,
            authorityFile: authorityFile,
            requireCertificate: requireCertificate,
            useIdentityAsUsername: useIdentity,
            minimumVersion: version
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
