/// Swift source split into what the compiler runs and what people read.
///
/// Both views keep the length and the line ends of the source: everything that does not belong to a view is a space
/// there. Code inside a string interpolation counts as code. Regex literals are not understood; Sources has none.
struct SwiftText {
    /// The source without comments and without the contents of string literals.
    let code: [Substring]
    /// The source without anything but its comments.
    let comments: [Substring]

    private enum Mode {
        /// `depth` counts open parentheses; a nested code mode ends at the one that closes its interpolation.
        case code(depth: Int)
        case string(hashes: Int, multiline: Bool)
    }

    init(_ source: String) {
        var scanner = Scanner(bytes: Array(source.utf8))
        scanner.run()
        code = Self.lines(scanner.code)
        comments = Self.lines(scanner.comments)
    }

    private static func lines(_ bytes: [UInt8]) -> [Substring] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    }

    private struct Scanner {
        let bytes: [UInt8]
        var code: [UInt8]
        var comments: [UInt8]
        var position = 0
        var modes: [Mode] = [.code(depth: 0)]

        init(bytes: [UInt8]) {
            self.bytes = bytes
            let blank = bytes.map { $0 == UInt8(ascii: "\n") ? $0 : UInt8(ascii: " ") }
            code = blank
            comments = blank
        }

        mutating func run() {
            while position < bytes.count {
                switch modes[modes.count - 1] {
                case .code(let depth): scanCode(depth: depth)
                case .string(let hashes, let multiline): scanString(hashes: hashes, multiline: multiline)
                }
            }
        }

        private func has(_ text: StaticString, at index: Int) -> Bool {
            guard index + text.utf8CodeUnitCount <= bytes.count else { return false }
            return (0..<text.utf8CodeUnitCount).allSatisfy { bytes[index + $0] == text.utf8Start[$0] }
        }

        private func hashes(at index: Int) -> Int {
            var end = index
            while end < bytes.count, bytes[end] == UInt8(ascii: "#") { end += 1 }
            return end - index
        }

        private mutating func scanCode(depth: Int) {
            // What nearly every byte is: plain code.
            let byte = bytes[position]
            guard byte < 48 else {
                code[position] = byte
                position += 1
                return
            }
            if has("//", at: position) {
                while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { keepComment() }
                return
            }
            if has("/*", at: position) {
                scanBlockComment()
                return
            }
            let hashes = hashes(at: position)
            if has("\"", at: position + hashes) {
                let multiline = has("\"\"\"", at: position + hashes)
                position += hashes + (multiline ? 3 : 1)
                modes.append(.string(hashes: hashes, multiline: multiline))
                return
            }
            code[position] = byte
            position += 1
            if byte == UInt8(ascii: "(") {
                modes[modes.count - 1] = .code(depth: depth + 1)
            } else if byte == UInt8(ascii: ")") {
                if depth == 1, modes.count > 1 {
                    modes.removeLast()
                } else {
                    modes[modes.count - 1] = .code(depth: max(0, depth - 1))
                }
            }
        }

        private mutating func keepComment() {
            comments[position] = bytes[position]
            position += 1
        }

        private mutating func scanBlockComment() {
            var depth = 0
            repeat {
                if has("/*", at: position) {
                    depth += 1
                    keepComment()
                } else if has("*/", at: position) {
                    depth -= 1
                    keepComment()
                }
                keepComment()
            } while depth > 0 && position < bytes.count
        }

        private mutating func scanString(hashes: Int, multiline: Bool) {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\\"), self.hashes(at: position + 1) >= hashes {
                position += 1 + hashes
                if has("(", at: position) { modes.append(.code(depth: 0)) } else { position += 1 }
                return
            }
            let quotes = multiline ? 3 : 1
            let closes = multiline ? has("\"\"\"", at: position) : byte == UInt8(ascii: "\"")
            if closes, self.hashes(at: position + quotes) >= hashes {
                position += quotes + hashes
                modes.removeLast()
                return
            }
            // A one-line literal cannot span lines: recover rather than swallow the rest of the file.
            if byte == UInt8(ascii: "\n"), !multiline { modes.removeLast() }
            position += 1
        }
    }
}
