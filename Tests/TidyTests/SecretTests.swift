import Testing

@Suite("Secrets stay out of git")
struct SecretTests {
    @Test("no key, certificate or PEM block is versioned")
    func nothingPrivateIsVersioned() {
        let tree = SourceTree.current
        let paths = tree.versionedPaths()
        #expect(paths.contains("Package.swift"))
        let byName = paths.flatMap { SecretRules.findings(inPath: $0) }
        let byText = paths.compactMap { tree.file($0) }.flatMap { SecretRules.findings(in: $0) }
        #expect((byName + byText).isEmpty, "\(lines(byName + byText))")
    }

    @Test("a key file is found by its name", arguments: ["certs/site.key", "certs/site.pem", "a/b/c.P12"])
    func findsKeyFiles(path: String) {
        #expect(SecretRules.findings(inPath: path).count == 1)
    }

    @Test("ordinary names pass", arguments: ["certs/README.md", "Sources/MQTT/Key.swift", ".gitignore", "Makefile"])
    func passesOrdinaryNames(path: String) {
        #expect(SecretRules.findings(inPath: path).isEmpty)
    }

    @Test("a PEM block is found inside any file, a bare marker is not")
    func findsBlocks() {
        let marker = "-----BEGIN PRIVATE" + " KEY-----"
        let body = String(repeating: "QUJD", count: 16)
        let block = SourceFile(path: "Docs/x.md", text: "one\n\(marker)\n\(body)\n")
        #expect(SecretRules.findings(in: block).map(\.line) == [2])
        let literal = SourceFile(path: "Tests/x.swift", text: "let k = \"\(marker)\\n\(body)\"\n")
        #expect(SecretRules.findings(in: literal).count == 1)
        let bare = SourceFile(path: "Sources/x.swift", text: "let begin = \"\(marker)\"\nlet other = 1\n")
        #expect(SecretRules.findings(in: bare).isEmpty)
    }
}
