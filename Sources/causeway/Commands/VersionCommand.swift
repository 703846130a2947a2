import ArgumentParser

/// `causeway version`: what this binary is.
struct VersionCommand: ParsableCommand {
    /// The version of the whole product, as in CHANGELOG.md.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Print the version."
    )

    func run() throws {
        Output.line("causeway \(Self.version)")
    }
}
