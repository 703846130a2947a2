/// What can be told only when everything is read.
extension MosquittoReader {
    private static let noSharedKeys =
        "TLS with shared keys is not spoken here; give the listener a certificate: 'causeway certs init'"

    func checkWhole() {
        for listener in configuration.listeners { check(listener) }
        for connection in configuration.bridges { check(connection) }
        checkClientIDs()
        for (index, plugin) in configuration.plugins.enumerated() where plugin.kind == nil { check(plugin, index) }
        if !configuration.perListenerSettings { checkSharedKeys(configuration.security) }
    }

    private func check(_ listener: MosquittoListener) {
        let (certificate, key) = (listener.certificateFile, listener.keyFile)
        if (certificate == nil) != (key == nil), let place = (certificate ?? key)?.place {
            report("Both certfile and keyfile must be provided to enable a TLS listener.", at: place)
        }
        if certificate == nil, let authority = listener.authorityFile ?? listener.authorityFolder {
            report("cafile or capath specified without certfile and keyfile.", at: authority.place)
        }
        if listener.requireCertificate, certificate != nil, listener.authorityFile == nil,
            listener.authorityFolder == nil
        {
            report(
                "require_certificate without cafile: no client certificate would be known.",
                hint: "name the authority that signs the clients' certificates",
                at: listener.place
            )
        }
        if listener.sharedKeyHint != nil || listener.security.sharedKeyFile != nil {
            let place = listener.sharedKeyHint?.place ?? listener.security.sharedKeyFile?.place ?? listener.place
            if certificate != nil {
                report("Cannot use both certificate and psk encryption in a single listener.", at: place)
            } else {
                note(.impossible, Self.noSharedKeys, option: "psk_hint", at: place)
            }
        }
        if listener.proxyProtocol == 2 {
            if listener.useSubjectAsUsername {
                report(
                    "use_subject_as_username cannot be used with `enable_proxy_protocol 2`.",
                    at: listener.place
                )
            }
            if certificate != nil || key != nil {
                report(
                    "certfile and keyfile cannot be used with `enable_proxy_protocol 2`.",
                    at: listener.place
                )
            }
        }
    }

    private func checkSharedKeys(_ security: MosquittoSecurity) {
        guard let file = security.sharedKeyFile, configuration.listeners.contains(where: { $0.sharedKeyHint != nil })
        else { return }
        note(.impossible, Self.noSharedKeys, option: "psk_file", at: file.place)
    }

    private func check(_ connection: MosquittoBridge) {
        if connection.addresses.isEmpty {
            report("Invalid bridge configuration: no remote addresses defined.", at: connection.place)
        }
        if connection.topics.isEmpty {
            report("Invalid bridge configuration: no topics defined.", at: connection.place)
        }
        let tls = connection.tls
        if (tls.sharedKey == nil) != (tls.sharedKeyIdentity == nil) {
            let missing = tls.sharedKey == nil ? "bridge_psk" : "bridge_identity"
            report("Invalid bridge configuration: missing \(missing).", at: connection.place)
        } else if tls.sharedKey != nil, tls.authorityFile != nil || tls.certificateFile != nil {
            report("Cannot use both certificate and psk encryption in a single bridge.", at: connection.place)
        }
        if (tls.certificateFile == nil) != (tls.keyFile == nil) {
            report("Both bridge_certfile and bridge_keyfile must be provided.", at: connection.place)
        }
    }

    private func checkClientIDs() {
        var seen: Set<String> = []
        for connection in configuration.bridges {
            guard seen.insert(connection.effectiveLocalClientID(hostName: "")).inserted else {
                report(
                    "Bridge local_clientid of '\(connection.name)' is not unique.",
                    hint: "try changing or setting the local_clientid value for one of the bridges",
                    at: connection.place
                )
                continue
            }
        }
    }

    /// A plugin that is not known may be the one that keeps strangers out: the broker does not start without it.
    private func check(_ plugin: MosquittoPlugin, _ index: Int) {
        let users = configuration.listeners.map(\.security.plugins) + [configuration.security.plugins]
        guard users.contains(where: { $0.contains(index) }) else {
            return note(
                .moot,
                "no listener uses the plugin, and it is not loaded",
                option: "plugin_load",
                at: plugin.place
            )
        }
        note(
            .impossible,
            "plugins of Mosquitto are not loaded, and \(plugin.path) may be what keeps strangers out; known here are "
                + MosquittoPlugin.Kind.allCases.map { "\($0.rawValue).so" }.joined(separator: ", "),
            option: "plugin",
            at: plugin.place
        )
    }
}
