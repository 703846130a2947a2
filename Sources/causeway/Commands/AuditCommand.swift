import ArgumentParser
import Audit
import Foundation

/// `causeway audit`: what stands in an audit log, and whether it is as it was written.
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Verify an audit log, or show what stands in it.",
        subcommands: [Verify.self, Show.self]
    )

    /// `causeway audit verify`.
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Find every change of an audit log: flipped bits, missing, moved or repeated records, a cut end.",
            discussion: """
                Give the log's directory: a file by itself is verified within, but whether its end was cut cannot be told. \
                Prints one line for each finding, as FILE:LINE: record N: what is wrong. Ends with 0 if nothing is wrong, \
                else with 1.

                The last line of the output is the log's head. Kept elsewhere, and given with --head later, it tells \
                whether the whole log was written anew since; so does $SYS/broker/audit/head.
                """
        )

        @Argument(help: "The log's directory, or one of its files.")
        var path: String

        @Option(name: .customLong("key"), help: "The file with the key of the log's hashes.")
        var keyFile: String?

        @Option(help: ArgumentHelp("A record that the log is known to have had.", valueName: "number:hash"))
        var head: String?

        func run() throws {
            let expected = try head.map { text in
                guard let head = AuditHead(text) else {
                    throw ValidationError("--head is a record's number, a colon and 64 hexadecimal digits")
                }
                return head
            }
            let key = try keyFile.map { Array(try SecretFile.read($0).utf8) }
            let found: AuditVerification
            do {
                found = try AuditVerifier(key: key, head: expected).verify(path)
            } catch {
                Output.problem("causeway audit: \(error)")
                throw ExitCode.failure
            }
            for finding in found.findings { Output.line(finding.description) }
            let records = "\(found.records) \(found.records == 1 ? "record" : "records")"
            let files = "\(found.files) \(found.files == 1 ? "file" : "files")"
            guard found.isIntact else {
                Output.problem("\(path): not as it was written (\(records) in \(files))")
                throw ExitCode.failure
            }
            Output.line("\(path): as it was written (\(records) in \(files))")
            if let head = found.head { Output.line("head \(head)") }
        }
    }

    /// `causeway audit show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Print records of an audit log, one line each.",
            discussion: "What is shown is not verified: see causeway audit verify."
        )

        @Argument(help: "The log's directory, or one of its files.")
        var path: String

        @Option(help: "From this instant on, such as 2026-11-23 or 2026-11-23T08:00:00Z.")
        var since: String?

        @Option(
            help: "Only records of this kind, such as client.refused; a group's name, such as client, means all of it."
        )
        var kind: String?

        @Option(help: "Only records of this client identifier.")
        var client: String?

        @Flag(help: "Print the log's own lines.")
        var json = false

        func run() throws {
            do {
                try AuditReader.read(path) { line in
                    guard let entry = AuditEntry(line: line) else {
                        Output.problem("a line is no record; causeway audit verify tells which")
                        return
                    }
                    guard matches(entry) else { return }
                    Output.line(json ? String(decoding: line, as: UTF8.self) : Self.text(entry))
                }
            } catch let error as AuditError {
                Output.problem("causeway audit: \(error)")
                throw ExitCode.failure
            }
        }

        private func matches(_ entry: AuditEntry) -> Bool {
            // Instants in one form and one zone are in order where their texts are.
            if let since, entry.time < since { return false }
            if let kind, entry.kind != kind, !entry.kind.hasPrefix(kind + ".") { return false }
            return client == nil || entry["client"] == client
        }

        private static func text(_ entry: AuditEntry) -> String {
            let fields = entry.fields.map { "\($0.name)=\(AuditText.shown($0.value))" }
            return ([entry.time, "\(entry.number)", entry.kind] + fields).joined(separator: " ")
        }
    }
}
