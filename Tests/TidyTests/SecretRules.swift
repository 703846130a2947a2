import Foundation

/// Keys and certificates are made on the machine that uses them and are never versioned.
enum SecretRules {
    static let extensions: Set<String> = ["pem", "key", "p12", "pfx", "crt", "csr", "der", "jks"]

    /// A PEM block with a body. The markers alone are fine: code that writes PEM has them.
    private static let block = "-----BEGIN [A-Z0-9 ]+-----[\\s\\\\nr\"]*[A-Za-z0-9+/=]{40,}"

    static func findings(inPath path: String) -> [Finding] {
        let suffix = path.split(separator: "/").last?.split(separator: ".").dropFirst().last.map { $0.lowercased() }
        guard let suffix, extensions.contains(suffix) else { return [] }
        return [Finding(path: path, line: 1, message: "a .\(suffix) file does not belong in git")]
    }

    static func findings(in file: SourceFile) -> [Finding] {
        guard let range = file.text.range(of: block, options: .regularExpression) else { return [] }
        let line = file.text[..<range.lowerBound].count { $0 == "\n" } + 1
        return [Finding(path: file.path, line: line, message: "a PEM block does not belong in git")]
    }
}
