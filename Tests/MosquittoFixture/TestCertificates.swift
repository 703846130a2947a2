public import Foundation

/// Certificates of a test, made with the openssl command line.
public struct TestCertificates: Sendable {
    /// Where the files are.
    public let folder: URL

    /// Makes an authority `ca`, a stranger's authority `other`, servers `localhost` and `elsewhere`, and a client
    /// `site`.
    public init(in folder: URL) throws {
        self.folder = folder
        for authority in ["ca", "other"] {
            try openssl(
                [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=\(authority)", "-keyout", "\(authority).key", "-out", "\(authority).pem",
                ]
            )
        }
        try issue("localhost", extension: "subjectAltName=DNS:localhost,IP:127.0.0.1")
        try issue("elsewhere", extension: "subjectAltName=DNS:elsewhere.example")
        try issue("site", extension: "extendedKeyUsage=clientAuth")
    }

    /// The path of a file, such as `ca.pem`.
    public func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    /// Lines of a mosquitto configuration for a TLS listener.
    public func listenerLines(server: String = "localhost", version: String? = nil, mutual: Bool = false) -> [String] {
        var lines = [
            "allow_anonymous true", "cafile \(path("ca.pem"))", "certfile \(path("\(server).pem"))",
            "keyfile \(path("\(server).key"))",
        ]
        if let version { lines.append("tls_version \(version)") }
        if mutual { lines.append("require_certificate true") }
        return lines
    }

    /// Issues a certificate, again if there is one.
    public func issue(_ name: String, extension: String) throws {
        let file = folder.appendingPathComponent("\(name).ext")
        try `extension`.write(to: file, atomically: true, encoding: .utf8)
        try openssl(
            [
                "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
                "-keyout", "\(name).key", "-out", "\(name).csr",
            ]
        )
        try openssl(
            [
                "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2",
                "-extfile", file.path, "-out", "\(name).pem",
            ]
        )
    }

    private func openssl(_ arguments: [String]) throws {
        try run("/usr/bin/openssl", arguments, in: folder)
    }
}
