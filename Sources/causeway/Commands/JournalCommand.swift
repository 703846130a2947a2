import ArgumentParser
import Broker
import Foundation
import Journal
import MQTT
import NIOCore

/// `causeway journal`: looks into a node's data folder. Nothing is changed, and a running site does not notice.
struct JournalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        abstract: "Look into a journal: what it holds, whether it is whole, its records.",
        discussion: """
            DIR is a data folder (journal.path of the configuration) with the main journal and the outboxes of the bridges, \
            or one journal's own folder. Everything is read only, and safe while the site runs.
            """,
        subcommands: [Inspect.self, Verify.self, Show.self]
    )

    /// How results are printed.
    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    /// Runs a body and says in one line why it could not.
    static func attempt(_ name: String, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let exit as ExitCode {
            throw exit
        } catch {
            Output.problem("causeway \(name): \(error)")
            throw ExitCode.failure
        }
    }

    /// Prints a value as one line of JSON.
    static func print(json value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        Output.line(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    /// `causeway journal inspect`.
    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect",
            abstract: "Segments, records by kind, sessions, readers' positions, and what keeps segments from going."
        )

        @Argument(help: "A data folder, or one journal's folder.")
        var directory: String

        @OptionGroup var keys: KeyOptions

        @Option(help: "text or json.")
        var format = Format.text

        func run() throws {
            try JournalCommand.attempt("journal") {
                let parts = try DataFolder(directory).parts
                let ring = try keys.ring()
                for part in parts {
                    let report = try JournalReport.make(part, beside: parts, ring)
                    if format == .json { try JournalCommand.print(json: report) } else { report.print() }
                }
            }
        }
    }

    /// `causeway journal verify`.
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Check every checksum, the order of the records and the files' headers.",
            discussion: """
                Prints one line for each finding, as FILE:OFFSET: what is wrong. Ends with 0 if nothing is wrong, else \
                with 1. The cut-off end of a last write, as a crash leaves it, is no finding: nobody was told of what it \
                held. Of an encrypted journal without its key, checksums alone are checked.
                """
        )

        @Argument(help: "A data folder, or one journal's folder.")
        var directory: String

        @OptionGroup var keys: KeyOptions

        @Option(help: "text or json.")
        var format = Format.text

        func run() throws {
            try JournalCommand.attempt("journal") {
                var isWhole = true
                let ring = try keys.ring()
                for part in try DataFolder(directory).parts {
                    let verification = try JournalVerification(part, ring)
                    if !verification.findings.isEmpty { isWhole = false }
                    if format == .json { try JournalCommand.print(json: verification) } else { verification.print() }
                }
                guard isWhole else { throw ExitCode.failure }
            }
        }
    }

    /// `causeway journal show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Print records, one entry a line.",
            discussion: "Payloads are shown: mind who looks. Of a data folder, the main journal is shown."
        )

        @Argument(help: "A data folder, or one journal's folder.")
        var directory: String

        @OptionGroup var keys: KeyOptions

        @Option(help: "The first record.")
        var from: UInt64 = 1

        @Option(help: "The last record.")
        var to: UInt64 = .max

        @Option(help: "Only messages whose topic matches this filter.")
        var topic: String?

        @Option(help: "text or json.")
        var format = Format.text

        func validate() throws {
            if let topic, (try? TopicFilter(topic)) == nil { throw ValidationError("--topic is not a topic filter") }
            guard from <= to else { throw ValidationError("--from is behind --to") }
        }

        func run() throws {
            try JournalCommand.attempt("journal") {
                guard let part = try DataFolder(directory).parts.first else { return }
                let filter = try topic.map { try TopicFilter($0) }
                try RecordPrinter(part, filter: filter, format: format).print(from...to, try keys.ring())
            }
        }
    }
}
