/// Every named limit stands in `Docs/Limits.md`, with its default and what happens when it is reached.
enum LimitRules {
    static let document = "Docs/Limits.md"

    /// A constant whose name says that it is a maximum.
    private static let constant = "static let ([A-Za-z]+(?:Max|Maximum))(?:: [A-Za-z0-9.]+)? = "
    /// A field of a type that holds nothing but limits.
    private static let field = "^    public var ([A-Za-z]+)(?:: [A-Za-z0-9.]+)? = "

    /// Types whose every field is a limit, by the end of their file's name.
    private static let limitFiles = ["Limits.swift", "BrokerConfiguration.swift"]

    static func names(in file: SourceFile) -> [(name: String, line: Int)] {
        let holdsLimits = limitFiles.contains { file.path.hasSuffix($0) }
        var found: [(name: String, line: Int)] = []
        for (index, line) in SwiftText(file.text).code.enumerated() {
            let names = captures(of: constant, in: line) + (holdsLimits ? captures(of: field, in: line) : [])
            found += names.map { ($0, index + 1) }
        }
        return found
    }

    /// A limit is documented by its file and its name: `SiteServerLimits.connectionsMax`.
    static func findings(in file: SourceFile, document: String) -> [Finding] {
        let stem = file.path.split(separator: "/").last?.dropLast(".swift".count) ?? ""
        return names(in: file).compactMap { name, line in
            guard !document.contains("`\(stem).\(name)`") else { return nil }
            return Finding(path: file.path, line: line, message: "`\(stem).\(name)` is not in \(Self.document)")
        }
    }
}
