import NIOCore

/// Bytes as test data writes them: hexadecimal pairs and "quoted ASCII", separated by spaces; `*N` repeats what is
/// before it N times.
enum Hex {
    struct Mistake: Error, CustomStringConvertible {
        let description: String
    }

    static func bytes(_ text: some StringProtocol) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var last: [UInt8] = []
        var rest = Substring(text)
        while true {
            rest = rest.drop { $0 == " " }
            guard let first = rest.first else { return bytes }
            if first == "\"" {
                rest.removeFirst()
                guard let end = rest.firstIndex(of: "\"") else {
                    throw Mistake(description: "no closing quote: \(text)")
                }
                last = Array(rest[..<end].utf8)
                bytes += last
                rest = rest[rest.index(after: end)...]
            } else {
                let word = rest.prefix { $0 != " " }
                rest = rest.dropFirst(word.count)
                if word.first == "*", let times = Int(word.dropFirst()), times > 0 {
                    for _ in 1..<times { bytes += last }
                } else if word.count == 2, let byte = UInt8(word, radix: 16) {
                    last = [byte]
                    bytes.append(byte)
                } else {
                    throw Mistake(description: "not a byte: \(word)")
                }
            }
        }
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
}

extension ByteBuffer {
    /// The readable bytes as an array.
    var array: [UInt8] { Array(readableBytesView) }
}
