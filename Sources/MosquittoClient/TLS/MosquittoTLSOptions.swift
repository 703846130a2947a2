/// Which files and rules TLS uses. Every file is PEM.
public struct MosquittoTLSOptions: Sendable, Hashable {
    /// The oldest protocol accepted.
    public enum Version: Sendable, Hashable {
        /// TLS 1.2.
        case tls12
        /// TLS 1.3.
        case tls13
    }

    /// Certificates of the authorities that may sign the server's certificate. Without file and directory: the
    /// system's.
    public var cafile: String?
    /// A directory of such certificates, with hashed names.
    public var capath: String?
    /// Our certificate, followed by those between it and its authority.
    public var certfile: String?
    /// Our private key, not encrypted.
    public var keyfile: String?
    /// Application protocol to ask for, such as `x-amzn-mqtt-ca`; 1 to 255 bytes.
    public var alpn: String?
    /// The oldest protocol accepted. 1.3 is always preferred.
    public var minimumVersion = Version.tls12
    /// The newest protocol offered.
    public var maximumVersion = Version.tls13
    /// Suites up to TLS 1.2, as OpenSSL writes them; nil: forward secret and authenticated ones only.
    public var ciphers: String?
    /// Suites of TLS 1.3, as OpenSSL writes them; nil: OpenSSL's.
    public var ciphersTLS13: String?
    /// True gives up checking that the certificate is for the host; its signature is still checked. For tests only.
    public var insecure = false

    /// Makes options that verify the server against the system's authorities.
    public init() {}

    /// Makes options from the usual three files.
    public init(cafile: String?, certfile: String? = nil, keyfile: String? = nil) {
        self.cafile = cafile
        self.certfile = certfile
        self.keyfile = keyfile
    }
}
