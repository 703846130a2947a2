extension MosquittoReader {
    /// Who may enter and do what.
    func readSecurity(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "per_listener_settings":
            // Once set it stays.
            guard !configuration.perListenerSettings else { return true }
            configuration.perListenerSettings = try line.flag()
            if hasSecurityOption, configuration.perListenerSettings {
                throw MosquittoMistake("per_listener_settings must be set before any other security settings.")
            }
        case "allow_anonymous":
            let value = try line.flag()
            try withSecurity(line) { $0.allowAnonymous = value }
        case "listener_allow_anonymous":
            let value = try line.flag()
            try withListener(line) { $0.security.allowAnonymous = value }
        case "allow_zero_length_clientid":
            let value = try line.flag()
            try withSecurity(line) { $0.allowZeroLengthClientID = value }
        case "auto_id_prefix", "listener_auto_id_prefix":
            let prefix = try line.text()
            guard prefix.utf8.count <= 50 else { throw MosquittoMistake("'\(line.name)' length must be <= 50.") }
            if line.name == "auto_id_prefix" {
                try withSecurity(line) { $0.autoIDPrefix = prefix }
            } else {
                try withListener(line) { $0.security.autoIDPrefix = prefix }
            }
        case "password_file":
            let file = try line.located()
            try withSecurity(line) { $0.passwordFile = file }
        case "acl_file":
            let file = try line.located()
            try withSecurity(line) { $0.aclFile = file }
        case "psk_file":
            let file = try line.located()
            try withSecurity(line) { $0.sharedKeyFile = file }
        case "psk_hint":
            let hint = try line.located()
            try withListenerOrDefault(line) { $0.sharedKeyHint = hint }
        default: return false
        }
        return true
    }

    private func withSecurity(
        _ line: MosquittoLine,
        _ body: (inout MosquittoSecurity) -> Void
    ) throws(MosquittoMistake) {
        if configuration.perListenerSettings {
            try withListener(line) { body(&$0.security) }
        } else {
            body(&configuration.security)
        }
        hasSecurityOption = true
    }

    /// Plugins and what is told to them.
    func readPlugin(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        switch line.name {
        case "plugin", "auth_plugin", "global_plugin":
            let path = try line.word()
            let index = configuration.plugins.count
            let isGlobal = line.name == "global_plugin" || !configuration.perListenerSettings
            configuration.plugins.append(MosquittoPlugin(path: path, place: line.place))
            context.plugin = index
            if isGlobal {
                configuration.security.plugins.append(index)
                if line.name != "global_plugin" { hasSecurityOption = true }
            } else {
                try withSecurity(line) { $0.plugins.append(index) }
            }
        case "plugin_load":
            let name = try line.word()
            guard !configuration.plugins.contains(where: { $0.name == name }) else {
                throw MosquittoMistake("Duplicate plugin name '\(name)'.")
            }
            context.plugin = configuration.plugins.count
            configuration.plugins.append(MosquittoPlugin(name: name, path: try line.text(), place: line.place))
        case "plugin_use":
            let name = try line.text()
            guard let index = configuration.plugins.firstIndex(where: { $0.name == name }) else {
                throw MosquittoMistake("Plugin '\(name)' not previously loaded.", hint: "plugin_load comes first")
            }
            context.plugin = index
            try withListener(line) { $0.security.plugins.append(index) }
        case "auth_plugin_deny_special_chars":
            _ = try line.flag()
            guard context.plugin != nil else { throw pluginRequired(line) }
        case let name where name.hasPrefix("plugin_opt_") || name.hasPrefix("auth_opt_"):
            guard let plugin = context.plugin else { throw pluginRequired(line) }
            let key = String(name.dropFirst(name.hasPrefix("auth") ? 9 : 11))
            guard key.utf8.count >= 3 else { throw MosquittoMistake("Invalid 'plugin_opt_' config option.") }
            configuration.plugins[plugin].options[key] = try line.located()
        default: return false
        }
        return true
    }

    private func pluginRequired(_ line: MosquittoLine) -> MosquittoMistake {
        MosquittoMistake("The '\(line.name)' option requires plugin/global_plugin/plugin_load to be defined first.")
    }

    /// TLS of a listener.
    func readListenerTLS(_ line: inout MosquittoLine) throws(MosquittoMistake) -> Bool {
        let file: WritableKeyPath<MosquittoListener, MosquittoSettings.Text?>?
        switch line.name {
        case "cafile": file = \.authorityFile
        case "capath": file = \.authorityFolder
        case "certfile": file = \.certificateFile
        case "keyfile": file = \.keyFile
        case "crlfile": file = \.revocationFile
        case "ciphers": file = \.ciphers
        case "ciphers_tls1.3": file = \.ciphersTLS13
        case "tls_version": file = \.tlsVersion
        default: file = nil
        }
        if let file {
            let value = try line.located()
            // Mosquitto asks for a listener line above these two alone.
            if line.name == "cafile" || line.name == "tls_version" {
                try withListener(line) { $0[keyPath: file] = value }
            } else {
                try withListenerOrDefault(line) { $0[keyPath: file] = value }
            }
            return true
        }
        switch line.name {
        case "require_certificate":
            let value = try line.flag()
            try withListenerOrDefault(line) { $0.requireCertificate = value }
        case "use_identity_as_username":
            let value = try line.flag()
            try withListenerOrDefault(line) { $0.useIdentityAsUsername = value }
        case "use_subject_as_username":
            let value = try line.flag()
            try withListenerOrDefault(line) { $0.useSubjectAsUsername = value }
        case "disable_client_cert_date_checks":
            let value = try line.flag()
            try withListener(line) { $0.disableClientCertificateDateChecks = value }
            if value { note(.different, "the dates of client certificates are checked all the same", line) }
        case "tls_engine", "tls_engine_kpass_sha1", "tls_keyform":
            _ = try line.text()
            try withListenerOrDefault(line) { _ in }
            note(.different, "keys are read from files, not from an engine", line)
        default: return false
        }
        return true
    }
}
