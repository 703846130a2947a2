import Foundation

/// Begins a corpus, and keeps what a corpus has come to:
///
/// - `FuzzSeeds <folder of wire vectors> <corpus folder>`: one input for each vector, with the two bytes in front that
///   the packet fuzzer reads;
/// - `FuzzSeeds <file.hex> <corpus folder>`: one input for each line;
/// - `FuzzSeeds <group> <corpus folder> <file.hex>`: the other way round, the shortest inputs first, as many as fit.
@main
struct FuzzSeeds {
    /// Sides in the order of `FuzzBody.sides`.
    static let sides = [
        "new server", "3.1 server", "3.1 client", "3.1.1 server", "3.1.1 client", "5.0 server", "5.0 client",
    ]

    /// A file of seeds is read by people who review it: no larger than this.
    static let seedFileBytesMax = 60_000

    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let count: Int
        switch (arguments.count, arguments.first) {
        case (3, let group?): count = try keep(group, from: arguments[2], in: arguments[3])
        case (2, let source?) where source.hasSuffix(".hex"): count = try unpack(source, to: arguments[2])
        case (2, let source?): count = try wireVectors(source, to: arguments[2])
        default:
            FileHandle.standardError.write(Data("usage: FuzzSeeds <source> <corpus folder> [file.hex]\n".utf8))
            exit(64)
        }
        FileHandle.standardOutput.write(Data("\(count) seeds\n".utf8))
    }

    private static func wireVectors(_ source: String, to target: String) throws -> Int {
        var count = 0
        for file in try FileManager.default.contentsOfDirectory(atPath: source).sorted() where file.hasSuffix(".txt") {
            var side: UInt8 = 0
            var bytes: [UInt8] = []
            for line in try String(contentsOfFile: "\(source)/\(file)", encoding: .utf8).split(separator: "\n") {
                let rest = String(line.dropFirst(2))
                switch line.first {
                case "@": side = UInt8(sides.firstIndex(of: rest) ?? 0)
                case "-": bytes = []
                case ">": bytes += try Hex.bytes(rest)
                case "=", "~", "!":
                    count += 1
                    let data = Data([side, 7] + bytes)
                    try data.write(to: URL(fileURLWithPath: "\(target)/\(file)-\(count)"))
                default: break
                }
            }
        }
        return count
    }

    private static func unpack(_ source: String, to target: String) throws -> Int {
        let lines = try String(contentsOfFile: source, encoding: .utf8).split(separator: "\n")
        for (index, line) in lines.enumerated() {
            try Data(Hex.bytes(String(line))).write(to: URL(fileURLWithPath: "\(target)/seed-\(index)"))
        }
        return lines.count
    }

    private static func keep(_ group: String, from corpus: String, in file: String) throws -> Int {
        var inputs: [Data] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: corpus) {
            let input = try Data(contentsOf: URL(fileURLWithPath: "\(corpus)/\(name)"))
            if !input.isEmpty { inputs.append(input) }
        }
        inputs.sort { $0.count == $1.count ? $0.lexicographicallyPrecedes($1) : $0.count < $1.count }
        var text = ""
        var count = 0
        for input in inputs where text.utf8.count + 3 * input.count <= seedFileBytesMax {
            text += input.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ") + "\n"
            count += 1
        }
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        FileHandle.standardOutput.write(Data("\(group): \(count) of \(inputs.count) inputs\n".utf8))
        return count
    }
}
