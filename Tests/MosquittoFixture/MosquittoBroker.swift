public import Foundation
internal import Glibc

/// A stock mosquitto on 127.0.0.1, ended by its process identifier.
public final class MosquittoBroker: @unchecked Sendable {
    // SAFETY: one test uses it from one task at a time.
    /// The port it listens on; the same after a restart.
    public let port: UInt16
    private let directory: URL
    private let configuration: URL
    private var process: Process?

    /// Makes a broker with these lines of configuration under its listener; it is not started yet.
    public init(directory: URL, port: UInt16? = nil, lines: [String] = ["allow_anonymous true"]) throws {
        self.directory = directory
        self.port = try port ?? freePort()
        configuration = directory.appendingPathComponent("mosquitto-\(self.port).conf")
        let text = (["listener \(self.port) 127.0.0.1", "user root"] + lines).joined(separator: "\n") + "\n"
        try text.write(to: configuration, atomically: true, encoding: .utf8)
    }

    deinit { kill() }

    /// Starts it and waits until it accepts connections.
    public func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/sbin/mosquitto")
        process.arguments = ["-c", configuration.path]
        let log = directory.appendingPathComponent("mosquitto-\(port).log")
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        self.process = process
        try eventually("mosquitto listens") { process.isRunning && canConnect(to: self.port) }
    }

    /// Ends it without a chance to say goodbye.
    public func kill() {
        guard let process else { return }
        self.process = nil
        _ = Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Stops it from answering while its connections stay open.
    public func freeze() { if let process { _ = Glibc.kill(process.processIdentifier, SIGSTOP) } }

    /// Lets it go on.
    public func thaw() { if let process { _ = Glibc.kill(process.processIdentifier, SIGCONT) } }
}
