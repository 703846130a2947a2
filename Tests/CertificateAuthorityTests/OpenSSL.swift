import Foundation
import Testing

/// The openssl command line tool, as an opinion of its own about our certificates.
enum OpenSSL {
    struct Outcome {
        var status: Int32
        var text: String
    }

    /// Runs openssl and waits for it.
    static func run(_ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
    }

    /// `openssl verify` of a certificate for a purpose.
    static func verify(_ certificate: String, authority: String, purpose: String, _ more: [String] = []) throws
        -> Outcome
    {
        try run(["verify", "-x509_strict", "-CAfile", authority, "-purpose", purpose] + more + [certificate])
    }
}

/// Runs a body with a folder of its own that is gone afterwards.
func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/causeway-certs-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}

/// The permission bits of a file.
func mode(of path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return try #require(attributes[.posixPermissions] as? Int)
}
