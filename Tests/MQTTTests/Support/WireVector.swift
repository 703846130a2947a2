import Foundation
import MQTT
import NIOCore
import Testing

/// One wire vector of `Tests/Fixtures/wire`. The format is told in the README beside them.
struct WireVector: Sendable, CustomTestStringConvertible {
    enum Expectation: Sendable {
        /// The bytes are this packet, and the packet is these bytes.
        case both(String)
        /// The bytes are this packet; the encoder writes it in another form.
        case decodes(String)
        /// The bytes are refused with this reason code and statement.
        case fails(reason: UInt8, statement: String)
        /// The bytes are no whole packet yet.
        case incomplete
    }

    let file: String
    let name: String
    let version: ProtocolVersion?
    let role: PacketDecoder.Role
    let bytes: [UInt8]
    let expectation: Expectation

    var testDescription: String { "\(file): \(name)" }

    var decoder: PacketDecoder { PacketDecoder(version: version, role: role) }
}

extension WireVector {
    static let all: [WireVector] = {
        do {
            return try load()
        } catch {
            fatalError("the wire vectors cannot be read: \(error)")
        }
    }()

    private static func load() throws -> [WireVector] {
        let files = try FileManager.default.contentsOfDirectory(atPath: Fixtures.path("wire")).sorted()
        return try files.filter { $0.hasSuffix(".txt") }.flatMap { file in
            try parse(String(contentsOfFile: Fixtures.path("wire/\(file)"), encoding: .utf8), file: file)
        }
    }

    private static func parse(_ text: String, file: String) throws -> [WireVector] {
        var vectors: [WireVector] = []
        var name = ""
        var side: (version: ProtocolVersion?, role: PacketDecoder.Role) = (nil, .server)
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n") {
            guard let mark = line.first, mark != "#" else { continue }
            let rest = line.dropFirst().drop { $0 == " " }
            switch mark {
            case "@": side = try parseSide(rest)
            case "-": (name, bytes) = (String(rest), [])
            case ">": bytes += try Hex.bytes(rest)
            default:
                let expectation: Expectation
                switch mark {
                case "=": expectation = .both(String(rest))
                case "~": expectation = .decodes(String(rest))
                case "!": expectation = try parseError(rest)
                case "?": expectation = .incomplete
                default: throw Hex.Mistake(description: "\(file): not understood: \(line)")
                }
                vectors.append(
                    WireVector(
                        file: file,
                        name: name,
                        version: side.version,
                        role: side.role,
                        bytes: bytes,
                        expectation: expectation
                    )
                )
            }
        }
        return vectors
    }

    private static func parseSide(_ text: Substring) throws -> (ProtocolVersion?, PacketDecoder.Role) {
        let words = text.split(separator: " ")
        guard words.count == 2 else { throw Hex.Mistake(description: "not a side: \(text)") }
        let versions: [Substring: ProtocolVersion?] = ["new": nil, "3.1": .v3_1, "3.1.1": .v3_1_1, "5.0": .v5]
        guard let version = versions[words[0]] else { throw Hex.Mistake(description: "not a version: \(text)") }
        return (version, words[1] == "client" ? .client : .server)
    }

    private static func parseError(_ text: Substring) throws -> Expectation {
        let words = text.split(separator: " ")
        guard words.count == 2, let reason = UInt8(words[0].dropFirst(2), radix: 16) else {
            throw Hex.Mistake(description: "not an error: \(text)")
        }
        return .fails(reason: reason, statement: String(words[1]))
    }
}

/// Where the fixtures are.
enum Fixtures {
    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures").appendingPathComponent(name).path
    }
}
