/// Reads a mosquitto.conf and what it includes. Confined to the call that reads.
///
/// Mosquitto stops at its first mistake; here all of them are found.
final class MosquittoReader {
    /// What the options of one file refer to; Mosquitto forgets it at the end of the file.
    struct Context {
        var isIncluded: Bool
        var listener: Int?
        var connection: Int?
        var plugin: Int?
    }

    private static let problemsMax = 1_000

    let sources: MosquittoSources
    var configuration: MosquittoSettings
    var context = Context(isIncluded: false)
    var problems: [ConfigurationProblem] = []
    /// The listener that options before any `listener` line make.
    var defaultListener: Int?
    /// Whether an option about security came, after which `per_listener_settings` may not.
    var hasSecurityOption = false
    var logDestinations: [MosquittoLog.Destination]?
    var logKinds: Set<MosquittoLog.Kind>?

    init(file: String, sources: MosquittoSources) {
        self.sources = sources
        configuration = MosquittoSettings(file: file)
    }

    func read() -> ConfigurationOutcome<MosquittoSettings> {
        readFile(configuration.file, from: nil)
        if let logDestinations { configuration.log.destinations = logDestinations }
        if let logKinds { configuration.log.kinds = logKinds }
        checkWhole()
        if problems.contains(where: { $0.severity == .error }) { return .refused(problems) }
        return .loaded(configuration, warnings: problems)
    }

    /// Reports a mistake; `place` is the line, or the file as a whole.
    func report(
        _ message: String,
        hint: String? = nil,
        severity: ConfigurationProblem.Severity = .error,
        option: String = "",
        at place: MosquittoPlace
    ) {
        guard problems.count < Self.problemsMax else { return }
        problems.append(
            ConfigurationProblem(
                severity: severity,
                file: place.file,
                position: SourcePosition(line: place.line, column: 1),
                path: option,
                message: message,
                hint: hint
            )
        )
    }

    /// Says that an option is taken but does not do here what it does in Mosquitto.
    func note(_ effect: MosquittoNote.Effect, _ message: String, _ line: MosquittoLine) {
        note(effect, message, option: line.name, at: line.place)
    }

    func note(_ effect: MosquittoNote.Effect, _ message: String, option: String, at place: MosquittoPlace) {
        configuration.notes.append(MosquittoNote(effect: effect, option: option, message: message, place: place))
    }

    private func readFile(_ file: String, from include: MosquittoLine?) {
        let place = include?.place ?? MosquittoPlace(file: file, line: 1)
        let bytes: [UInt8]
        switch sources.read(file) {
        case .success(let content): bytes = content
        case .failure(let failure):
            report("Unable to open config file '\(file)': \(failure.reason)", at: place)
            return
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            report("The file '\(file)' is not UTF-8 text.", at: place)
            return
        }
        let outer = context
        context = Context(isIncluded: include != nil)
        defer { context = outer }
        // By scalars: to Swift a carriage return and a line feed are one character.
        var number = 0
        for content in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            var content = Substring(content)
            while content.unicodeScalars.last == "\r" { content = Substring(content.unicodeScalars.dropLast()) }
            guard var line = MosquittoLine(content, place: MosquittoPlace(file: file, line: number)) else { continue }
            do throws(MosquittoMistake) {
                try readLine(&line)
            } catch {
                report(error.message, hint: error.hint, option: line.name, at: line.place)
            }
        }
    }

    private func readLine(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        if line.name == "include_dir" { return try includeFolder(&line) }
        if try readLimit(&line) { return }
        if try readGeneral(&line) { return }
        if try readLog(&line) { return }
        if try readListener(&line) { return }
        if try readListenerTLS(&line) { return }
        if try readSecurity(&line) { return }
        if try readPlugin(&line) { return }
        if try readConnection(&line) { return }
        if try readConnectionTLS(&line) { return }
        if try readIgnored(&line) { return }
        let name = line.name
        throw MosquittoMistake(
            "Unknown configuration variable '\(name)'.",
            hint: name.contains("\t")
                ? "a name and its value are parted by spaces, not by tabs"
                : Suggestion.closest(to: name, among: MosquittoOption.names).map { "did you mean '\($0)'?" }
        )
    }

    private func includeFolder(_ line: inout MosquittoLine) throws(MosquittoMistake) {
        guard !context.isIncluded else {
            throw MosquittoMistake("The include_dir option is only valid in the main configuration file.")
        }
        let folder = try line.text()
        let names: [String]
        switch sources.list(folder) {
        case .success(let found): names = found.filter { $0.hasSuffix(".conf") && $0 != ".conf" }
        case .failure(let failure):
            throw MosquittoMistake("Unable to open include_dir '\(folder)': \(failure.reason)")
        }
        guard names.count <= MosquittoSources.includedFilesMax else {
            throw MosquittoMistake("The include_dir '\(folder)' has more than 1,000 files.")
        }
        // As Mosquitto sorts: without regard to case, and where that is equal, capitals first.
        let sorted = names.sorted { left, right in
            let (small, other) = (left.lowercased(), right.lowercased())
            return small == other ? left < right : small < other
        }
        let slash = folder.hasSuffix("/") ? "" : "/"
        for name in sorted { readFile(folder + slash + name, from: line) }
    }
}

extension MosquittoSettings {
    /// Reads a mosquitto.conf.
    ///
    /// - Parameters:
    ///   - file: The main file; relative paths count from the process's folder, as they do for Mosquitto.
    ///   - sources: Where the files are.
    /// - Returns: The values, or every mistake found, each with its own file and line.
    public static func load(
        file: String,
        sources: MosquittoSources = .disk
    ) -> ConfigurationOutcome<MosquittoSettings> {
        MosquittoReader(file: file, sources: sources).read()
    }
}
