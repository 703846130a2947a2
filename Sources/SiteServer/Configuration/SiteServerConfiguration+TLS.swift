extension SiteServerConfiguration {
    /// TLS of a listener. Files are PEM.
    public struct TLS: Sendable, Hashable {
        /// The oldest protocol version that is spoken.
        public enum Version: Sendable, Hashable { case tls12, tls13 }

        /// Which clients are served, by Mozilla's recommendations for servers (`profile`).
        public enum Profile: Sendable, Hashable {
            /// TLS 1.2 and 1.3 with forward secrecy and authenticated encryption: the default.
            case intermediate
            /// TLS 1.3 alone.
            case modern
        }

        /// What is asked of clients.
        public enum ClientCertificate: Sendable, Hashable {
            /// Nothing: `cafile` alone asks for none, as in Mosquitto.
            case none
            /// A certificate is asked for, verified if there is one, and not missed if there is none.
            case optional
            /// No client without one (`require_certificate`).
            case required
        }

        /// The server's certificate, followed by the chain above it.
        public var certificateFile: String
        /// Its private key.
        public var keyFile: String
        /// The authorities whose client certificates are accepted.
        public var authorityFile: String?
        /// Whether a client must show a certificate of these authorities. What is required or asked for needs
        /// `authorityFile`.
        public var clientCertificate: ClientCertificate
        /// Certificates that are revoked (`crlfile`): one or more lists, each of an authority in `authorityFile`. A
        /// client whose authority has no current list here is refused, as with OpenSSL.
        public var revocationFile: String?
        /// Whether a reload closes the connections of clients whose certificates are revoked by then.
        public var closesRevoked = true
        /// Whether the common name of the verified client certificate is the user name (`use_identity_as_username`).
        public var useIdentityAsUsername: Bool
        /// Whether the whole subject of the verified client certificate is the user name
        /// (`use_subject_as_username`), as RFC 2253 writes it: `CN=till-7,OU=shop,O=Example`.
        public var useSubjectAsUsername = false
        /// Which clients are served.
        public var profile = Profile.intermediate
        /// The oldest version spoken; 1.2 is the floor, and that of `modern` is 1.3.
        public var minimumVersion: Version
        /// The suites of TLS 1.2 (`ciphers`), in OpenSSL's words; nil leaves them to the profile.
        public var ciphers: String?

        /// Makes TLS options.
        public init(
            certificateFile: String,
            keyFile: String,
            authorityFile: String? = nil,
            requireCertificate: Bool = false,
            useIdentityAsUsername: Bool = false,
            minimumVersion: Version = .tls12
        ) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.authorityFile = authorityFile
            self.clientCertificate = requireCertificate ? .required : .none
            self.useIdentityAsUsername = useIdentityAsUsername
            self.minimumVersion = minimumVersion
        }

        /// Whether a client must show a certificate.
        public var requireCertificate: Bool {
            get { clientCertificate == .required }
            set { clientCertificate = newValue ? .required : .none }
        }

        /// Whether the user name is taken from the certificate.
        var namesByCertificate: Bool { useIdentityAsUsername || useSubjectAsUsername }
    }
}
