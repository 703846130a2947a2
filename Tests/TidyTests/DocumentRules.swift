import Foundation

/// Documents name things that exist.
enum DocumentRules {
    /// Sections every architecture decision record has, in this order.
    static let recordSections = ["Status", "Context", "Decision", "Limits", "Consequences"]

    /// Links and paths of a Markdown file, each with its line; code blocks are left out.
    struct References: Equatable {
        var links: [Reference] = []
        var paths: [Reference] = []
    }

    struct Reference: Equatable {
        let text: String
        let line: Int
    }

    static func references(in file: SourceFile) -> References {
        var references = References()
        var isInBlock = false
        for (index, line) in file.lines.enumerated() {
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                isInBlock.toggle()
                continue
            }
            guard !isInBlock else { continue }
            for span in captures(of: "`([^`]+)`", in: line) where isPath(span) {
                references.paths.append(Reference(text: span, line: index + 1))
            }
            for link in captures(of: "\\]\\(([^)\\s]+)\\)", in: line) {
                references.links.append(Reference(text: link, line: index + 1))
            }
        }
        return references
    }

    /// A code span counts as a path when it starts in a folder of the repository and holds no placeholder.
    static func isPath(_ span: String) -> Bool {
        let pattern = "^(Sources|Tests|Docs|docker|certs|\\.ci)/[A-Za-z0-9_./+-]+$"
        return span.range(of: pattern, options: .regularExpression) != nil
    }

    static func findings(in file: SourceFile, exists: (String) -> Bool, read: (String) -> String?) -> [Finding] {
        let references = references(in: file)
        let folder = file.path.split(separator: "/").dropLast().map(String.init)
        var found: [Finding] = []
        for path in references.paths where !exists(path.text) {
            found.append(Finding(path: file.path, line: path.line, message: "`\(path.text)` does not exist"))
        }
        for link in references.links where !link.text.contains("://") && !link.text.hasPrefix("mailto:") {
            let parts = link.text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let target = parts[0].isEmpty ? file.path : resolve(parts[0], in: folder)
            guard let target, exists(target) else {
                found.append(Finding(path: file.path, line: link.line, message: "link \(link.text) leads nowhere"))
                continue
            }
            guard parts.count == 2, target.hasSuffix(".md") else { continue }
            let text = target == file.path ? file.text : read(target) ?? ""
            guard !anchors(of: text).contains(parts[1]) else { continue }
            found.append(Finding(path: file.path, line: link.line, message: "no heading for \(link.text)"))
        }
        return found
    }

    /// A relative link as a path from the root; nil when it leaves the repository.
    static func resolve(_ link: String, in folder: [String]) -> String? {
        var parts = folder
        for part in link.split(separator: "/") where part != "." {
            guard part == ".." else {
                parts.append(String(part))
                continue
            }
            guard parts.popLast() != nil else { return nil }
        }
        return parts.joined(separator: "/")
    }

    /// The anchors a Markdown viewer gives to a file's headings.
    static func anchors(of text: String) -> Set<String> {
        let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }
        return Set(
            headings.map { heading in
                let title = heading.drop { $0 == "#" || $0 == " " }.lowercased()
                let kept = title.filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
                return kept.replacingOccurrences(of: " ", with: "-")
            }
        )
    }

    /// What an architecture decision record lacks: its number, or a section in its place.
    static func recordFindings(in file: SourceFile) -> [Finding] {
        var found: [Finding] = []
        let name = file.path.split(separator: "/").last.map(String.init) ?? ""
        if name.range(of: "^[0-9]{4}-[a-z0-9-]+\\.md$", options: .regularExpression) == nil {
            found.append(Finding(path: file.path, line: 1, message: "a record is called NNNN-title.md"))
        }
        var rest = file.lines[...]
        for section in recordSections {
            guard let index = rest.firstIndex(where: { isHeading($0, section) }) else {
                found.append(Finding(path: file.path, line: 1, message: "no section \(section), or not in its place"))
                continue
            }
            rest = rest[(index + 1)...]
        }
        return found
    }

    /// `## Status`, `**Status**: accepted` and `Status: accepted` all open the section.
    private static func isHeading(_ line: Substring, _ section: String) -> Bool {
        let pattern = "^(#+ +|\\*\\*|- +|- +\\*\\*)?\(section)(\\*\\*|:|\\.|$)"
        return line.range(of: pattern, options: .regularExpression) != nil
    }
}

/// What the first group of a pattern matches in a line, match by match.
func captures(of pattern: String, in line: Substring) -> [String] {
    guard let expression = try? NSRegularExpression(pattern: pattern) else { return [] }
    let text = String(line)
    let whole = NSRange(text.startIndex..., in: text)
    return expression.matches(in: text, range: whole).compactMap { match in
        Range(match.range(at: 1), in: text).map { String(text[$0]) }
    }
}
