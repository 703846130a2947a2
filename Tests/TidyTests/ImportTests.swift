import Testing

@Suite("The arrows between targets")
struct ImportTests {
    @Test("every import under Sources follows an arrow of the design")
    func arrowsPointDown() {
        let files = SourceTree.current.files(under: "Sources", suffix: ".swift")
        #expect(!files.isEmpty)
        let findings = files.flatMap { ImportRules.findings(in: $0) }
        #expect(findings.isEmpty, "\(lines(findings))")
        for (path, exception) in ImportRules.exceptions {
            let imports = SourceTree.current.file(path).map { ImportRules.imports(of: $0).map(\.module) } ?? []
            #expect(imports.contains(exception.module), "\(path) needs no exception any more")
            #expect(!exception.reason.isEmpty)
        }
    }

    @Test("an arrow that points up is found, whatever its access level or kind")
    func findsForbiddenImports() {
        let file = SourceFile(
            path: "Sources/MQTT/Bad.swift",
            text: "import NIOCore\ninternal import Foundation\n@preconcurrency import struct Broker.BrokerTime\n"
        )
        let found = ImportRules.findings(in: file)
        #expect(found.map(\.line) == [2, 3])
        #expect(found.map(\.message) == ["MQTT may not import Foundation", "MQTT may not import Broker"])
    }

    @Test("a C library is imported by its owner alone")
    func findsForeignCImports() {
        let file = SourceFile(path: "Sources/causeway/Bad.swift", text: "internal import CMosquitto\n")
        #expect(ImportRules.findings(in: file).map(\.message) == ["CMosquitto belongs to MosquittoClient alone"])
    }

    @Test("a target nobody thought about is found, a commented import is not")
    func findsUnknownTargets() {
        let unknown = SourceFile(path: "Sources/Extra/New.swift", text: "")
        #expect(ImportRules.findings(in: unknown).count == 1)
        let text = "// import Foundation\nlet x = \"import Foundation\"\n"
        let quiet = SourceFile(path: "Sources/MQTT/Good.swift", text: text)
        #expect(ImportRules.findings(in: quiet).isEmpty)
    }

    @Test("the pure targets reach neither the clock nor the disk")
    func pureTargetsStayPure() {
        let doors = ["Foundation", "Glibc", "NIOPosix", "Synchronization", "Dispatch", "Logging"]
        for target in ["MQTT", "Broker"] {
            let modules = ImportRules.allowed[target] ?? []
            #expect(!modules.isEmpty && modules.isDisjoint(with: doors))
        }
    }
}

/// Findings as the text of a failure, one a line.
func lines(_ findings: [Finding]) -> String {
    findings.map { "\n" + $0.description }.joined()
}
