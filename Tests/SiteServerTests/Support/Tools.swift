import Foundation
import Glibc

/// A condition did not come true in time.
struct DeadlinePassed: Error, CustomStringConvertible {
    let description: String
}

/// Waits until the condition is true, at most until the deadline.
func eventually(_ what: String, seconds: Double = 15, _ condition: () throws -> Bool) throws {
    let deadline = Date().addingTimeInterval(seconds)
    while try !condition() {
        guard Date() < deadline else { throw DeadlinePassed(description: what) }
        usleep(2_000)
    }
}

/// A temporary folder that goes with the value.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("causeway-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}

/// A command line tool that is running.
final class Tool {
    private let process = Process()
    private let output: URL
    private let folder: TemporaryFolder

    /// Starts it.
    init(_ command: String, _ arguments: [String]) throws {
        folder = try TemporaryFolder()
        output = folder.url.appendingPathComponent("output")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        let handle = try FileHandle(forWritingTo: output)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/\(command)")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        try handle.close()
    }

    deinit { if process.isRunning { process.terminate() } }

    var text: String { (try? String(contentsOf: output, encoding: .utf8)) ?? "" }

    /// Waits for its end.
    @discardableResult
    func wait(seconds: Double = 15) throws -> Int32 {
        let process = process
        try eventually("the end of \(process.executableURL?.lastPathComponent ?? "") (\(text))", seconds: seconds) {
            !process.isRunning
        }
        return process.terminationStatus
    }

    /// Runs a tool to its end.
    @discardableResult
    static func run(_ command: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
        let tool = try Tool(command, arguments)
        let status = try tool.wait()
        return (status, tool.text)
    }
}

/// Certificates of a test, made with the openssl command line: an authority `ca`, a stranger's `other`, the server's
/// `server`, clients `till-7` (of `ca`), `stranger` (of `other`) and `expired` (of `ca`).
struct TestCertificates {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        for authority in ["ca", "other"] {
            try Tool.run(
                "openssl",
                ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
                    + [
                        "-subj", "/CN=\(authority)", "-keyout", path("\(authority).key"), "-out",
                        path("\(authority).pem"),
                    ]
            )
        }
        try issue("server", by: "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        try issue("till-7", by: "ca", "extendedKeyUsage=clientAuth")
        try issue("stranger", by: "other", "extendedKeyUsage=clientAuth")
        try issue("expired", by: "ca", "extendedKeyUsage=clientAuth", days: -1)
    }

    func path(_ name: String) -> String { folder.path(name) }

    /// Writes the list of revoked certificates of an authority.
    ///
    /// - Parameters:
    ///   - revoked: The names of the certificates in it.
    ///   - isOld: Whether the next list was due years ago.
    func list(_ name: String, by authority: String = "ca", revoked: [String], isOld: Bool = false) throws {
        let index = try revoked.map { revoked in
            let text = try Tool.run("openssl", ["x509", "-in", path("\(revoked).pem"), "-noout", "-serial"]).text
            let serial =
                text.split(separator: "=").last.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) } ?? ""
            return "R\t491231235959Z\t200101000000Z\t\(serial)\tunknown\t/CN=\(revoked)\n"
        }
        try index.joined().write(toFile: path("\(name).index"), atomically: true, encoding: .utf8)
        let configuration = """
            [ca]
            default_ca = one
            [one]
            database = \(path("\(name).index"))
            default_md = sha256
            default_crl_days = 30
            """
        try configuration.write(toFile: path("\(name).conf"), atomically: true, encoding: .utf8)
        let dates = isOld ? ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"] : []
        let result = try Tool.run(
            "openssl",
            ["ca", "-gencrl", "-config", path("\(name).conf"), "-cert", path("\(authority).pem")]
                + ["-keyfile", path("\(authority).key"), "-out", path("\(name).crl")] + dates
        )
        guard result.status == 0 else { throw DeadlinePassed(description: "openssl ca: \(result.text)") }
    }

    /// Issues a certificate whose subject is its name, or another one.
    func issue(
        _ name: String,
        by authority: String,
        _ extensions: String,
        days: Int = 2,
        subject: String? = nil
    ) throws {
        try extensions.write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
        try Tool.run(
            "openssl",
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-utf8"]
                + ["-subj", subject ?? "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).csr")]
        )
        let lifetime =
            days > 0 ? ["-days", "\(days)"] : ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
        let result = try Tool.run(
            "openssl",
            ["x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).pem")]
                + ["-CAkey", path("\(authority).key"), "-CAcreateserial", "-extfile", path("\(name).ext")]
                + ["-out", path("\(name).pem")] + lifetime
        )
        guard result.status != 0, days <= 0 else { return }
        // Older openssl cannot date a certificate back: `ca` signs it with a life of minus one day.
        try Tool.run(
            "openssl",
            ["x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).pem"), "-days", "-1"]
                + ["-CAkey", path("\(authority).key"), "-CAcreateserial", "-extfile", path("\(name).ext")]
                + ["-out", path("\(name).pem")]
        )
    }
}
