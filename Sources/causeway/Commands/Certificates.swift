import ArgumentParser
import CertificateAuthority
import Foundation

/// What the commands around certificates share.
enum Certificates {
    /// Prints a certificate in a few lines.
    static func print(_ details: CertificateDetails, file: String) {
        let hosts = details.hosts.isEmpty ? "" : " for \(details.hosts.joined(separator: ", "))"
        let end = details.validity.notAfter.formatted(.iso8601.year().month().day())
        Output.line("\(file)")
        Output.line("  name    \(details.commonName) (\(details.purposes.joined(separator: " and ")))\(hosts)")
        Output.line("  issuer  \(details.issuer)")
        Output.line("  until   \(end), \(details.daysLeft()) days")
        Output.line("  serial  \(details.serialNumber)")
    }

    /// Reads a PEM file.
    static func read(_ file: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CertificateAuthorityError(.unreadable, "\(file) cannot be read")
        }
        return String(decoding: data, as: UTF8.self)
    }

    static func check(days: Int) throws {
        guard (1...CertificateValidity.daysMax).contains(days) else {
            throw ValidationError("--days is from 1 to \(CertificateValidity.daysMax)")
        }
    }

    /// A name that becomes a file's must stay within its folder.
    static func check(fileName: String) throws {
        guard !fileName.isEmpty, !fileName.hasPrefix("."), !fileName.contains("/") else {
            throw ValidationError("'\(fileName)' cannot be the name of a file")
        }
    }
}
