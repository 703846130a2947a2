internal import COpenSSL
internal import Glibc
internal import Synchronization

/// A TLS client context for one server, shared by successive connections so that a reconnect resumes the session.
///
/// libmosquitto makes its `SSL` objects itself and has no option for resumption, for a protocol floor that holds or for
/// suites by protocol. So the `SSL_CTX` is ours (`MOSQ_OPT_SSL_CTX`): it verifies chain and host name, keeps the
/// sessions that the server issues, and hands one to each new handshake in the moment it starts.
///
/// A TLS 1.3 ticket is used once; a TLS 1.2 session until a newer one comes. Both are only issued after the server was
/// verified by this same context. Thread-safe; meant for one connection at a time.
public final class MosquittoTLSContext: Sendable {
    /// TLS 1.2 suites: forward secret and authenticated encryption only. Those of 1.3 are OpenSSL's defaults.
    static let suites12 =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    /// Sessions kept at most: a server sends two TLS 1.3 tickets after a full handshake.
    static let sessionsMax = 4

    /// The options it was made from.
    public let options: MosquittoTLSOptions
    /// The host whose certificate is expected.
    public let host: String

    /// What the callbacks of OpenSSL and the connections share.
    private struct Shared {
        var sessions: [Session] = []
        var verifyError: String?
    }

    // SAFETY: OpenSSL counts references to these objects atomically; each value here holds one of them.
    private struct Session: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private struct Context: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private let context: Context
    private let shared = Mutex(Shared())
    private let files: [FileStamp]

    /// Loads the files and makes a context.
    /// - Parameter host: what the server's certificate must be for: a DNS name or an IP address.
    public init(options: MosquittoTLSOptions, host: String) throws(MosquittoError) {
        guard let context = SSL_CTX_new(TLS_client_method()) else {
            throw MosquittoError(.tls, "cannot make a TLS context: \(OpenSSLErrors.drain())")
        }
        self.options = options
        self.host = host
        self.context = Context(pointer: context)
        files = FileStamp.take([options.cafile, options.certfile, options.keyfile])
        try Self.configure(context, options: options, host: host)
        SSL_CTX_set_ex_data(context, TLSCallbacks.index, Unmanaged.passUnretained(self).toOpaque())
        TLSCallbacks.install(on: context)
    }

    deinit {
        // The connections that use the context hold `self`, so no callback can come any more.
        SSL_CTX_set_ex_data(context.pointer, TLSCallbacks.index, nil)
        for session in shared.withLock({ $0.sessions }) { SSL_SESSION_free(session.pointer) }
        SSL_CTX_free(context.pointer)
    }

    /// Whether the certificate files are still those it was made from. If not, the next connection deserves a new
    /// context.
    public var isCurrent: Bool {
        files == FileStamp.take([options.cafile, options.certfile, options.keyfile])
    }

    /// How many sessions could be resumed now.
    public var resumableSessions: Int { shared.withLock { $0.sessions.count } }

    /// The `SSL_CTX`, valid while `self` lives.
    var pointer: OpaquePointer { context.pointer }

    /// What the last failed certificate check said; asking forgets it.
    func takeVerifyError() -> String? {
        shared.withLock { shared in
            defer { shared.verifyError = nil }
            return shared.verifyError
        }
    }

    // MARK: - From the callbacks, on the connection's thread

    func verificationFailed(_ text: String) {
        shared.withLock { $0.verifyError = text }
    }

    /// Takes over one reference to the session.
    func keep(_ session: OpaquePointer) {
        let dropped = shared.withLock { shared -> [Session] in
            shared.sessions.append(Session(pointer: session))
            guard shared.sessions.count > Self.sessionsMax else { return [] }
            return [shared.sessions.removeFirst()]
        }
        for old in dropped { SSL_SESSION_free(old.pointer) }
    }

    /// Gives the newest session to a handshake that is about to start.
    func resume(_ ssl: OpaquePointer) {
        let newest = shared.withLock { $0.sessions.popLast() }
        guard let newest else { return }
        // SSL_set_session takes its own reference. It refuses only what this context could not have kept.
        _ = SSL_set_session(ssl, newest.pointer)
        if SSL_SESSION_get_protocol_version(newest.pointer) < TLS1_3_VERSION {
            shared.withLock { $0.sessions.insert(newest, at: 0) }
        } else {
            SSL_SESSION_free(newest.pointer)
        }
    }

    // MARK: - Making one

    private static func configure(
        _ context: OpaquePointer,
        options: MosquittoTLSOptions,
        host: String
    ) throws(MosquittoError) {
        let minimum = options.minimumVersion == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION
        let maximum = options.maximumVersion == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION
        guard minimum <= maximum,
            cw_ssl_ctx_set_min_version(context, minimum) == 1, cw_ssl_ctx_set_max_version(context, maximum) == 1,
            SSL_CTX_set_cipher_list(context, suites12) == 1
        else {
            throw MosquittoError(.invalidArgument, "these TLS versions are not possible")
        }
        if let ciphers = options.ciphers, SSL_CTX_set_cipher_list(context, ciphers) != 1 {
            throw MosquittoError(.invalidArgument, "none of these ciphers is known: \(OpenSSLErrors.drain())")
        }
        if let suites = options.ciphersTLS13, SSL_CTX_set_ciphersuites(context, suites) != 1 {
            throw MosquittoError(.invalidArgument, "none of these TLS 1.3 ciphers is known: \(OpenSSLErrors.drain())")
        }
        SSL_CTX_set_options(context, cw_ssl_safe_options())
        cw_ssl_ctx_never_prompt(context)
        cw_ssl_ctx_enable_client_cache(context)
        try loadAuthorities(context, options)
        try loadIdentity(context, options)
        try setALPN(context, options.alpn)
        try expect(host: host, context, insecure: options.insecure)
    }

    private static func loadAuthorities(_ context: OpaquePointer, _ options: MosquittoTLSOptions) throws(MosquittoError)
    {
        if options.cafile == nil, options.capath == nil {
            guard SSL_CTX_set_default_verify_paths(context) == 1 else {
                throw MosquittoError(.tls, "cannot load the system's certificate authorities")
            }
        }
        if let file = options.cafile, SSL_CTX_load_verify_file(context, file) != 1 {
            throw MosquittoError(.tls, "cannot load cafile \(file): \(OpenSSLErrors.drain())")
        }
        if let directory = options.capath, SSL_CTX_load_verify_dir(context, directory) != 1 {
            throw MosquittoError(.tls, "cannot use capath \(directory): \(OpenSSLErrors.drain())")
        }
    }

    private static func loadIdentity(_ context: OpaquePointer, _ options: MosquittoTLSOptions) throws(MosquittoError) {
        guard options.certfile != nil || options.keyfile != nil else { return }
        guard let certificate = options.certfile, let key = options.keyfile else {
            throw MosquittoError(.invalidArgument, "certfile and keyfile belong together")
        }
        guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
            throw MosquittoError(.tls, "cannot load certfile \(certificate): \(OpenSSLErrors.drain())")
        }
        guard SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 else {
            throw MosquittoError(.tls, "cannot load keyfile \(key): \(OpenSSLErrors.drain())")
        }
        guard SSL_CTX_check_private_key(context) == 1 else {
            throw MosquittoError(.tls, "keyfile \(key) is not the key of certfile \(certificate)")
        }
    }

    private static func setALPN(_ context: OpaquePointer, _ name: String?) throws(MosquittoError) {
        guard let name else { return }
        let bytes = Array(name.utf8)
        guard (1...255).contains(bytes.count) else {
            throw MosquittoError(.invalidArgument, "an ALPN name has 1 to 255 bytes")
        }
        let wire = [UInt8(bytes.count)] + bytes
        // The one call of this library that returns 0 for success.
        guard SSL_CTX_set_alpn_protos(context, wire, UInt32(wire.count)) == 0 else {
            throw MosquittoError(.tls, "cannot set ALPN")
        }
    }

    /// Has OpenSSL itself check the host name of every connection: libmosquitto only does so in a context of its own.
    private static func expect(host: String, _ context: OpaquePointer, insecure: Bool) throws(MosquittoError) {
        guard !insecure else { return }
        let parameters = SSL_CTX_get0_param(context)
        if X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1 { return }
        X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        guard !host.isEmpty, X509_VERIFY_PARAM_set1_host(parameters, host, 0) == 1 else {
            throw MosquittoError(.invalidArgument, "this host name cannot be verified")
        }
    }
}

/// What tells one version of a file from the next.
private struct FileStamp: Sendable, Hashable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    let seconds: Int64
    let nanoseconds: Int64

    static func take(_ paths: [String?]) -> [FileStamp] {
        paths.compactMap { $0 }.map { path in
            var status = stat()
            guard stat(path, &status) == 0 else {
                return FileStamp(device: 0, inode: 0, size: -1, seconds: 0, nanoseconds: 0)
            }
            return FileStamp(
                device: UInt64(status.st_dev),
                inode: UInt64(status.st_ino),
                size: Int64(status.st_size),
                seconds: Int64(status.st_mtim.tv_sec),
                nanoseconds: Int64(status.st_mtim.tv_nsec)
            )
        }
    }
}
