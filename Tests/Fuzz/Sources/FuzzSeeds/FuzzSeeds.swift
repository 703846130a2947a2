import Foundation

/// Writes a seed corpus: one file for each wire vector, with the two bytes in front that the packet fuzzer reads.
@main
struct FuzzSeeds {
    /// Sides in the order of `FuzzBody.sides`.
    static let sides = [
        "new server", "3.1 server", "3.1 client", "3.1.1 server", "3.1.1 client", "5.0 server", "5.0 client",
    ]

    static func main() throws {
        guard CommandLine.arguments.count == 3 else {
            FileHandle.standardError.write(Data("usage: FuzzSeeds <folder of wire vectors> <corpus folder>\n".utf8))
            exit(64)
        }
        let (source, target) = (CommandLine.arguments[1], CommandLine.arguments[2])
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
        FileHandle.standardOutput.write(Data("\(count) seeds\n".utf8))
    }
}
