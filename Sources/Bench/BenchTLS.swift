import NIOSSL

/// TLS of a load's connections. One context serves all of them.
public struct BenchTLS: Sendable {
    let context: NIOSSLContext
    /// The name that the server's certificate has to hold; nil for an address.
    let serverName: String?

    /// Reads the files. Blocks.
    ///
    /// - Parameters:
    ///   - host: The host of the broker.
    ///   - authorityFile: Certificates of the authorities that may vouch for it, PEM; nil trusts the system's.
    ///   - certificateFile: Our certificate, PEM, where the broker wants one.
    ///   - keyFile: Its private key, PEM.
    ///   - isInsecure: Whether anybody may answer. For trials only.
    /// - Throws: What NIOSSL says of the files.
    public init(
        host: String,
        authorityFile: String?,
        certificateFile: String?,
        keyFile: String?,
        isInsecure: Bool
    ) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let authorityFile { configuration.trustRoots = .file(authorityFile) }
        if let certificateFile, let keyFile {
            let chain = try NIOSSLCertificate.fromPEMFile(certificateFile)
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: keyFile, format: .pem))
        }
        if isInsecure { configuration.certificateVerification = .none }
        context = try NIOSSLContext(configuration: configuration)
        // NIOSSL refuses addresses as server names: they are compared with the certificate as addresses.
        let isAddress = host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." }
        serverName = isAddress ? nil : host
    }

    func makeHandler() throws -> NIOSSLClientHandler {
        try NIOSSLClientHandler(context: context, serverHostname: serverName)
    }
}
