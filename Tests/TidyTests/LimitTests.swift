import Testing

@Suite("Named limits are documented")
struct LimitTests {
    @Test("every named limit stands in Docs/Limits.md")
    func limitsAreDocumented() throws {
        let tree = SourceTree.current
        let document = try #require(tree.file(LimitRules.document)).text
        let findings = tree.files(under: "Sources", suffix: ".swift")
            .flatMap { LimitRules.findings(in: $0, document: document) }
        #expect(findings.isEmpty, "\(lines(findings))")
    }

    @Test("a constant that is a maximum, and every field of a type of limits, are found")
    func findsUndocumentedLimits() {
        let constant = SourceFile(path: "Sources/MQTT/A.swift", text: "    private static let levelsMax = 200\n")
        #expect(LimitRules.findings(in: constant, document: "").map(\.line) == [1])
        #expect(LimitRules.findings(in: constant, document: "| `A.levelsMax` | 200 |").isEmpty)
        #expect(LimitRules.findings(in: constant, document: "| `B.levelsMax` | 200 |").count == 1)
        let fields = SourceFile(path: "Sources/Broker/ALimits.swift", text: "    public var seconds: UInt64 = 10\n")
        #expect(LimitRules.findings(in: fields, document: "").count == 1)
        let other = SourceFile(path: "Sources/Broker/Other.swift", text: fields.text)
        #expect(LimitRules.findings(in: other, document: "").isEmpty)
    }
}
