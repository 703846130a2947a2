import Testing

@Suite("Documents name things that exist")
struct DocumentTests {
    private let tree = SourceTree.current

    @Test("links and paths in the documents resolve")
    func documentsResolve() {
        let documents = tree.versionedPaths().filter { $0.hasSuffix(".md") }.compactMap { tree.file($0) }
        #expect(documents.contains { $0.path == "README.md" })
        let findings = documents.flatMap { document in
            DocumentRules.findings(in: document, exists: tree.exists) { tree.file($0)?.text }
        }
        #expect(findings.isEmpty, "\(lines(findings))")
    }

    @Test("each decision record has its sections, and the index lists it once")
    func recordsAreWhole() throws {
        let records = tree.files(under: "Docs/ADR", suffix: ".md").filter { !$0.path.hasSuffix("/README.md") }
        #expect(records.count >= 5)
        let findings = records.flatMap { DocumentRules.recordFindings(in: $0) }
        #expect(findings.isEmpty, "\(lines(findings))")
        let index = try #require(tree.file("Docs/ADR/README.md")).text
        let names = records.map { String($0.path.dropFirst("Docs/ADR/".count)) }
        let unlisted = names.filter { !index.contains("](\($0))") }
        #expect(unlisted.isEmpty, "not in Docs/ADR/README.md: \(unlisted)")
        let numbers = names.map { $0.prefix(4) }
        #expect(Set(numbers).count == numbers.count, "a record's number is used twice: \(names)")
    }

    @Test("a dead link, a dead path and a dead anchor are found")
    func findsDeadReferences() {
        let text = """
            [a](gone.md) `Sources/Gone/File.swift`
            [b](there.md#no-such) [c](there.md#a-heading)
            [d](../../x)
            """
        let file = SourceFile(path: "Docs/x.md", text: text)
        let found = DocumentRules.findings(in: file, exists: { $0 == "Docs/there.md" }, read: { _ in "# A heading\n" })
        #expect(found.map(\.line) == [1, 1, 2, 3])
    }

    @Test("code blocks, placeholders and links to other hosts are left alone")
    func leavesTheRestAlone() {
        let text = "```\n[a](gone.md)\n```\n`Sources/<Target>/X.swift` [x](https://github.com/a/b) `certs/*.md`\n"
        let file = SourceFile(path: "Docs/x.md", text: text)
        #expect(DocumentRules.findings(in: file, exists: { _ in false }, read: { _ in nil }).isEmpty)
    }

    @Test("a record without a section, or with sections out of order, is found")
    func findsBrokenRecords() {
        let whole = DocumentRules.recordSections.map { "## \($0)\n\ntext\n" }.joined()
        #expect(DocumentRules.recordFindings(in: SourceFile(path: "Docs/ADR/0001-a.md", text: whole)).isEmpty)
        #expect(DocumentRules.recordFindings(in: SourceFile(path: "Docs/ADR/first.md", text: whole)).count == 1)
        let without = whole.replacing("## Limits", with: "## Bounds")
        #expect(DocumentRules.recordFindings(in: SourceFile(path: "Docs/ADR/0001-a.md", text: without)).count == 1)
        let swapped = DocumentRules.recordSections.reversed().map { "## \($0)\n" }.joined()
        #expect(!DocumentRules.recordFindings(in: SourceFile(path: "Docs/ADR/0001-a.md", text: swapped)).isEmpty)
    }
}
