import Testing

@Suite("Sizes of files and lines")
struct SizeTests {
    @Test("files and lines stay within what a reader takes in")
    func sizesHold() {
        let tree = SourceTree.current
        let files = tree.files(under: "Sources", suffix: ".swift") + tree.files(under: "Tests", suffix: ".swift")
        let findings = files.flatMap { SizeRules.findings(in: $0) }
        #expect(findings.isEmpty, "\(lines(findings))")
        let gone = SizeRules.exceptions.keys.filter { !tree.exists($0) }
        #expect(gone.isEmpty, "exceptions for files that are gone: \(gone)")
    }

    @Test("a file over the hint is found, and tests may be longer")
    func findsLongFiles() {
        let text = String(repeating: "let a = 1\n", count: SizeRules.sourceLinesMax + 1)
        #expect(SizeRules.findings(in: SourceFile(path: "Sources/MQTT/Long.swift", text: text)).count == 1)
        #expect(SizeRules.findings(in: SourceFile(path: "Tests/MQTTTests/Long.swift", text: text)).isEmpty)
        let longer = String(repeating: "let a = 1\n", count: SizeRules.testLinesMax + 1)
        #expect(SizeRules.findings(in: SourceFile(path: "Tests/MQTTTests/Long.swift", text: longer)).count == 1)
    }

    @Test("an exception is a ceiling, has a reason, and goes when it is not needed")
    func exceptionsAreARatchet() {
        let path = "Sources/MQTT/Long.swift"
        let grown = SourceFile(path: path, text: String(repeating: "a\n", count: 701))
        #expect(SizeRules.findings(in: grown, exceptions: [path: .init(ceiling: 700, reason: "r")]).count == 1)
        #expect(SizeRules.findings(in: grown, exceptions: [path: .init(ceiling: 701, reason: "r")]).isEmpty)
        #expect(SizeRules.findings(in: grown, exceptions: [path: .init(ceiling: 701, reason: "")]).count == 1)
        let shrunk = SourceFile(path: path, text: "a\n")
        #expect(SizeRules.findings(in: shrunk, exceptions: [path: .init(ceiling: 700, reason: "r")]).count == 1)
    }

    @Test("a long line is found, recorded data is left alone")
    func findsLongLines() {
        let wide = String(repeating: "x", count: SizeRules.lineCharactersMax + 1)
        let text = "a\n\(wide)\n"
        let found = SizeRules.findings(in: SourceFile(path: "Sources/MQTT/Wide.swift", text: text))
        #expect(found.map(\.line) == [2])
        #expect(SizeRules.findings(in: SourceFile(path: "Tests/Fixtures/Wide.swift", text: text)).isEmpty)
        let comment = SourceFile(path: "Sources/MQTT/Wide.swift", text: "// \(wide)\n")
        #expect(SizeRules.findings(in: comment).count == 1)
        let literal = SourceFile(path: "Sources/MQTT/Wide.swift", text: "let a = \"\(wide)\"\n")
        #expect(SizeRules.findings(in: literal).isEmpty)
    }
}
