import Foundation
import Testing

@testable import CausewayConfiguration

@Suite("Trees of settings as bytes")
struct FuzzTreeTests {
    @Test(
        "What is written as bytes is read as it was",
        arguments: [
            Examples.design, Examples.everySetting, Examples.attached, Examples.embeddedCloud, Examples.existingCloud,
        ]
    )
    func roundTrip(_ text: String) throws {
        let root = try #require(try SourceParser.parse(text, environment: [:]).0)
        let bytes = try #require(FuzzTree.write(root))
        #expect(Self.describe(FuzzTree.read(bytes).root) == Self.describe(root))
    }

    private static func describe(_ node: SourceNode) -> String {
        switch node.content {
        case .scalar(let text, let isQuoted): "\(isQuoted) \(text.debugDescription)"
        case .sequence(let nodes): "[\(nodes.map(describe).joined(separator: ", "))]"
        case .mapping(let entries): "{\(entries.map { "\($0.key): \(describe($0.value))" }.joined(separator: ", "))}"
        }
    }

    @Test("Every setting of the schema is in the table")
    func keys() throws {
        let schema = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "../../Sources/Configuration/Schema"
        )
        var settings: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(atPath: schema.path) {
            let text = try String(contentsOf: schema.appendingPathComponent(file), encoding: .utf8)
            for match in text.matches(of: /field\("([^"]+)"\)/) { settings.insert(String(match.1)) }
        }
        #expect(settings.count > 100)
        #expect(settings.subtracting(FuzzTree.keys) == [])
    }

    @Test("The tables fit into a byte")
    func tables() {
        #expect(FuzzTree.keys.count < 255)
        #expect(FuzzTree.words.count <= 256)
    }
}
