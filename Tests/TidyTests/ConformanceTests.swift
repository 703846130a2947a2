import Testing

@Suite("The table of conformance is whole")
struct ConformanceTests {
    private let tree = SourceTree.current

    @Test("every statement of the standards stands in the table, and what binds a server has tests that exist")
    func tableIsWhole() throws {
        let document = try #require(tree.file(ConformanceRules.document))
        let sources = tree.files(under: "Tests", suffix: ".swift") + tree.files(under: "Tests", suffix: ".py")
        let tests = sources.reduce(into: Set<String>()) { $0.formUnion(ConformanceRules.testNames(in: $1)) }
        #expect(tests.count > 500)
        let findings = ConformanceRules.findings(in: document, standards: Standard.all, tests: tests)
        #expect(findings.isEmpty, "\(lines(findings))")
    }

    @Test("sources cite statements that exist")
    func citationsExist() {
        let findings = tree.files(under: "Sources", suffix: ".swift")
            .flatMap { ConformanceRules.citations(in: $0, standards: Standard.all) }
        #expect(findings.isEmpty, "\(lines(findings))")
    }

    @Test("the lists of statements have the standards' lengths and no statement twice")
    func lists() {
        #expect(Standard.v3_1_1.statements.count == 141)
        #expect(Standard.v5.statements.count == 251)
        for standard in Standard.all { #expect(Set(standard.statements).count == standard.statements.count) }
    }

    // MARK: - The rules on broken samples

    private static let sample = Standard("MQTT 0.1", [("1.0.0", 2, []), ("2.0.0", 1, [])])
    private static let whole = """
        | MQTT 0.1 | 3 | 2 | 2 | 1 | 0 |
        ## MQTT 0.1
        | Statement | Binds | What | Tests |
        |---|---|---|---|
        | 1.0.0-1 | server | a | `A.one` |
        | 1.0.0-2 | client | b | not checked |
        | 2.0.0-1 | both | c | `A.one`, `test_x.py::test_two` |
        """

    private func messages(_ text: String) -> [String] {
        let file = SourceFile(path: "Docs/x.md", text: text)
        return ConformanceRules.findings(in: file, standards: [Self.sample], tests: ["A.one", "test_x.py::test_two"])
            .map(\.message)
    }

    @Test("a whole table has no findings")
    func wholeTable() {
        #expect(messages(Self.whole) == [])
    }

    @Test(
        "a broken table is found",
        arguments: [
            ("| 1.0.0-1 | server | a | `A.one` |\n", "", "MQTT 0.1: 1.0.0-1 is missing"),
            ("`A.one` |\n| 1.0.0-2", "none |\n| 1.0.0-2", "1.0.0-1 has no test"),
            ("| `A.one` |", "| `A.gone` |", "there is no test `A.gone`"),
            ("test_two", "test_three", "there is no test `test_x.py::test_three`"),
            ("| 2.0.0-1", "| 2.0.0-7", "MQTT 0.1 has no statement 2.0.0-7"),
            ("| 2.0.0-1 ", "| 1.0.0-1 ", "1.0.0-1 stands here twice"),
            ("| client |", "| nobody |", "`nobody` is nobody to bind"),
            ("| 3 | 2 | 2 ", "| 3 | 3 | 3 ", "the counts are not \"| MQTT 0.1 | 3 | 2 | 2 | 1 | 0 |\""),
        ]
    )
    func brokenTable(part: String, instead: String, message: String) {
        #expect(messages(Self.whole.replacing(part, with: instead)).contains(message))
    }

    @Test("names of tests are found as people write them: display names, functions in suites, Python functions")
    func names() {
        let swift = SourceFile(
            path: "Tests/XTests/X.swift",
            text: """
                @Suite struct XStatements {
                    @Test func plain() {}
                    @Test("it holds") func named() {}
                    @Test(
                        "it holds for all",
                        arguments: [1]
                    )
                    func table(value: Int) {}
                    func helper() {}
                    // @Test("only a comment") func ghost() {}
                }
                """
        )
        let wanted: Set = [
            "XStatements.plain", "it holds", "XStatements.named", "it holds for all", "XStatements.table",
        ]
        #expect(ConformanceRules.testNames(in: swift) == wanted)
        let python = SourceFile(
            path: "Tests/I/test_a.py",
            text: "def test_b():\n    def test_inner():\nasync def test_c(x):\n"
        )
        #expect(ConformanceRules.testNames(in: python) == ["test_a.py::test_b", "test_a.py::test_c"])
    }

    @Test("a citation of a statement that no standard has is found")
    func badCitation() {
        let file = SourceFile(
            path: "Sources/X/X.swift",
            text: "// [MQTT-3.1.2-3]\n// [MQTT-3.1.2-31]\nlet a = \"MQTT-9.9.9-1\"\n"
        )
        #expect(ConformanceRules.citations(in: file, standards: Standard.all).map(\.line) == [2, 3])
    }
}
