import Testing

@Suite("Words that have no place in Sources")
struct WordingTests {
    @Test("Sources crashes, prints, casts and promises only where it says why")
    func sourcesAreClean() {
        let files = SourceTree.current.files(under: "Sources", suffix: ".swift")
        let findings = files.flatMap { WordingRules.findings(in: $0) }
        #expect(findings.isEmpty, "\(lines(findings))")
    }

    @Test("each banned word is found in code", arguments: WordingRules.rules.map(\.word))
    func findsBannedWords(word: String) {
        let file = SourceFile(path: "Sources/MQTT/Bad.swift", text: "let a = 1\n  \(word) b\n")
        let found = WordingRules.findings(in: file)
        #expect(found.map(\.line) == [2])
        #expect(found.first?.message.hasPrefix(word) == true)
    }

    @Test("left-over work is found in comments too, other words are not")
    func readsComments() {
        let leftOver = SourceFile(path: "Sources/MQTT/Bad.swift", text: "// TO" + "DO: later\n")
        #expect(WordingRules.findings(in: leftOver).count == 1)
        let talk = SourceFile(path: "Sources/MQTT/Good.swift", text: "// no try! or print( here\nlet s = \"as! x\"\n")
        #expect(WordingRules.findings(in: talk).isEmpty)
    }

    @Test("longer words that end in a banned one are fine")
    func respectsWordBoundaries() {
        let file = SourceFile(path: "Sources/MQTT/Good.swift", text: "reprint(1); screen.print(2)\nfunc print() {}\n")
        #expect(WordingRules.findings(in: file).isEmpty)
    }

    @Test("a promise without a reason is found, with one it passes")
    func asksForReasons() {
        let bare = SourceFile(path: "Sources/Journal/Bad.swift", text: "final class A: @unchecked Sendable {}\n")
        #expect(WordingRules.findings(in: bare).count == 1)
        let unsafe = SourceFile(path: "Sources/Journal/Bad.swift", text: "nonisolated(unsafe) var x = 1\n")
        #expect(WordingRules.findings(in: unsafe).count == 1)
        let said = SourceFile(
            path: "Sources/Journal/Good.swift",
            text: "// SAFETY: all state sits behind the lock.\nfinal class A: @unchecked Sendable {}\n"
        )
        #expect(WordingRules.findings(in: said).isEmpty)
        let inside = SourceFile(
            path: "Sources/Journal/Good.swift",
            text: "final class A: @unchecked Sendable {\n    // SAFETY: never shared.\n}\n"
        )
        #expect(WordingRules.findings(in: inside).isEmpty)
    }

    @Test("only the terminal's own folder may print")
    func printsInOnePlace() {
        let text = "print(1)\n"
        #expect(WordingRules.findings(in: SourceFile(path: WordingRules.terminal + "A.swift", text: text)).isEmpty)
        #expect(WordingRules.findings(in: SourceFile(path: "Sources/causeway/Demo.swift", text: text)).count == 1)
    }
}
