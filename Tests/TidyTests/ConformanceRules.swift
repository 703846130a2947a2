import Foundation

/// `Docs/Conformance.md` names every statement of the standards once, and tests that exist for what binds a server.
enum ConformanceRules {
    static let document = "Docs/Conformance.md"

    /// One row of a table: the statement, whom it binds, and the code spans of its last column.
    struct Row: Equatable {
        let statement: String
        let binds: String
        let tests: [String]
        let line: Int
    }

    /// The tables of the document by the heading that they stand under.
    static func tables(in file: SourceFile) -> [String: [Row]] {
        var tables: [String: [Row]] = [:]
        var heading = ""
        for (index, line) in file.lines.enumerated() {
            if line.hasPrefix("## ") {
                heading = String(line.dropFirst(3))
                continue
            }
            guard line.hasPrefix("| ") else { continue }
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast()
                .map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 4, cells[1] != "Binds", !cells[1].hasPrefix("-") else { continue }
            let tests = captures(of: "`([^`]+)`", in: Substring(cells[3]))
            tables[heading, default: []].append(
                Row(statement: cells[0], binds: cells[1], tests: tests, line: index + 1)
            )
        }
        return tables
    }

    /// Everything that is wrong with the document.
    static func findings(in file: SourceFile, standards: [Standard], tests: Set<String>) -> [Finding] {
        let tables = tables(in: file)
        var found = standards.flatMap { findings(in: file, tables[$0.name] ?? [], of: $0) }
        for row in tables.values.joined() {
            if !["server", "client", "both"].contains(row.binds) {
                found.append(Finding(path: file.path, line: row.line, message: "`\(row.binds)` is nobody to bind"))
            }
            if row.binds != "client", row.tests.isEmpty {
                found.append(Finding(path: file.path, line: row.line, message: "\(row.statement) has no test"))
            }
            for test in row.tests where !tests.contains(test) {
                found.append(Finding(path: file.path, line: row.line, message: "there is no test `\(test)`"))
            }
        }
        return found.sorted { $0.line < $1.line }
    }

    private static func findings(in file: SourceFile, _ rows: [Row], of standard: Standard) -> [Finding] {
        var found: [Finding] = []
        var seen: Set<String> = []
        let known = Set(standard.statements)
        for row in rows {
            if !known.contains(row.statement) {
                let message = "\(standard.name) has no statement \(row.statement)"
                found.append(Finding(path: file.path, line: row.line, message: message))
            }
            if !seen.insert(row.statement).inserted {
                found.append(Finding(path: file.path, line: row.line, message: "\(row.statement) stands here twice"))
            }
        }
        for statement in standard.statements where !seen.contains(statement) {
            let message = "\(standard.name): \(statement) is missing"
            found.append(Finding(path: file.path, line: 1, message: message))
        }
        // The counts at the top are for people; they must be those of the table.
        let counts = counts(of: rows, standard)
        if !file.text.contains(counts) {
            found.append(Finding(path: file.path, line: 1, message: "the counts are not \"\(counts)\""))
        }
        return found
    }

    /// The line that the document opens with for a standard.
    static func counts(of rows: [Row], _ standard: Standard) -> String {
        let binding = rows.filter { $0.binds != "client" }
        let checked = rows.filter { $0.binds == "client" && !$0.tests.isEmpty }
        return "| \(standard.name) | \(rows.count) | \(binding.count) | "
            + "\(binding.filter { !$0.tests.isEmpty }.count) | \(rows.count - binding.count) | \(checked.count) |"
    }

    // MARK: - Tests that exist

    /// The names that a row may give: a display name, `Suite.function`, or `file.py::function`.
    static func testNames(in file: SourceFile) -> Set<String> {
        file.path.hasSuffix(".py") ? pythonNames(in: file) : swiftNames(in: file)
    }

    private static func pythonNames(in file: SourceFile) -> Set<String> {
        let name = file.path.split(separator: "/").last ?? ""
        return Set(
            file.lines.flatMap { captures(of: "^(?:async )?def (test_[A-Za-z0-9_]+)", in: $0) }.map { "\(name)::\($0)" }
        )
    }

    private static func swiftNames(in file: SourceFile) -> Set<String> {
        var names: Set<String> = []
        var suite = ""
        var isTest = false
        let code = SwiftText(file.text).code
        for (line, text) in zip(code, file.text.split(separator: "\n", omittingEmptySubsequences: false)) {
            if let type = captures(of: "(?:struct|class|enum|extension) ([A-Z][A-Za-z0-9_]*)", in: line).first,
                !line.hasPrefix("    ")
            {
                suite = type
            }
            if line.contains("@Test") { isTest = true }
            guard isTest else { continue }
            if let display = captures(of: "^\\s*(?:@Test\\()?\"([^\"]+)\"", in: text).first { names.insert(display) }
            guard let function = captures(of: "func ([A-Za-z0-9_]+)\\(", in: line).first else { continue }
            names.insert("\(suite).\(function)")
            isTest = false
        }
        return names
    }

    // MARK: - Statements that sources cite

    /// Citations of statements that no standard has.
    static func citations(in file: SourceFile, standards: [Standard]) -> [Finding] {
        let known = Set(standards.flatMap(\.statements))
        return file.lines.enumerated().flatMap { index, line in
            captures(of: "MQTT-([0-9]+(?:\\.[0-9]+)+-[0-9]+)", in: line).filter { !known.contains($0) }.map {
                Finding(path: file.path, line: index + 1, message: "no standard has a statement MQTT-\($0)")
            }
        }
    }
}
