/// Whether a file in PEM holds certificates, as far as that can be told without reading them: each block is base64 and
/// in it stand the three parts of a certificate, no byte more or less. Who signed it, for whom and until when is the
/// business of whoever uses it.
enum CertificateText {
    private static let begin = "-----BEGIN CERTIFICATE-----"
    private static let end = "-----END CERTIFICATE-----"

    /// What is wrong with the file; nil if there is at least one certificate and nothing that only looks like one.
    static func problem(in content: [UInt8]) -> (message: String, hint: String?)? {
        var block: (line: Int, base64: [UInt8])?
        var count = 0
        let lines = String(decoding: content, as: UTF8.self).split(omittingEmptySubsequences: false) { $0.isNewline }
        for (index, line) in lines.enumerated() {
            let text = String(line).trimmed
            if text == begin {
                if let open = block { return unended(open.line) }
                block = (index + 1, [])
            } else if let open = block, text == end {
                guard let der = decode(open.base64), isCertificate(der) else {
                    return ("holds no certificate: what begins in its line \(open.line) is none", nil)
                }
                count += 1
                block = nil
            } else {
                block?.base64.append(contentsOf: text.utf8)
            }
        }
        if let open = block { return unended(open.line) }
        return count > 0 ? nil : ("holds no certificate in PEM", "it should have a line with \(begin)")
    }

    private static func unended(_ line: Int) -> (message: String, hint: String?) {
        ("holds no certificate: what begins in its line \(line) has no end", "it should have a line with \(end)")
    }

    /// A sequence of a sequence (what is certified), a sequence (the algorithm) and a bit string (the signature).
    private static func isCertificate(_ der: [UInt8]) -> Bool {
        var whole = DERCursor(der[...])
        guard let body = whole.content(of: DERCursor.sequence), whole.isAtEnd else { return false }
        var parts = DERCursor(body)
        guard let certified = parts.content(of: DERCursor.sequence), !certified.isEmpty,
            parts.content(of: DERCursor.sequence) != nil, parts.content(of: DERCursor.bitString) != nil
        else { return false }
        return parts.isAtEnd
    }

    private static func decode(_ text: [UInt8]) -> [UInt8]? {
        guard !text.isEmpty, text.count.isMultiple(of: 4) else { return nil }
        let padding = text.suffix(2).count { $0 == UInt8(ascii: "=") }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var collected: UInt32 = 0
        for (index, character) in text.enumerated() {
            guard let value = index < text.count - padding ? digit(character) : 0 else { return nil }
            collected = collected << 6 | value
            guard index % 4 == 3 else { continue }
            bytes += [UInt8(collected >> 16 & 0xFF), UInt8(collected >> 8 & 0xFF), UInt8(collected & 0xFF)]
        }
        return bytes.dropLast(padding)
    }

    private static func digit(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

/// Goes over the outermost parts of DER.
private struct DERCursor {
    static let sequence: UInt8 = 0x30
    static let bitString: UInt8 = 0x03

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    /// The content of the next part, if it has this tag and is all there.
    mutating func content(of tag: UInt8) -> ArraySlice<UInt8>? {
        guard rest.popFirst() == tag, var length = rest.popFirst().map(Int.init) else { return nil }
        if length >= 0x80 {
            // Three bytes are more than a file may have here.
            let count = length & 0x7F
            guard (1...3).contains(count), rest.count >= count else { return nil }
            length = rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(count)
        }
        guard rest.count >= length else { return nil }
        defer { rest = rest.dropFirst(length) }
        return rest.prefix(length)
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = Substring(self)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return String(text)
    }
}
