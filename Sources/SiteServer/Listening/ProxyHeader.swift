internal import Glibc
public import NIOCore

/// What a proxy says of a connection before its first byte: the header of the PROXY protocol, versions 1 and 2
/// (haproxy's `proxy-protocol.txt`). A pure value; parsing reads no further than the header.
public struct ProxyHeader: Sendable, Hashable {
    /// Where the client is.
    public enum Source: Sendable, Hashable {
        /// At this address, or this path of a Unix socket.
        case client(String)
        /// The proxy speaks for itself (`LOCAL`, such as a health check), or does not know (`UNKNOWN`).
        case proxy
    }

    /// What is wrong with a header.
    public struct Violation: Error, Sendable, Hashable {
        /// A sentence for the operator.
        public let message: String
    }

    /// The most bytes of a header of version 1, its line end included.
    public static let lineBytesMax = 107
    /// The most bytes of a header of version 2; what the fields need and room for certificates' names.
    public static let bytesMax = 2_048

    /// Where the client is.
    public var source: Source
    /// Whether the client came to the proxy by TLS. Version 1 cannot say so.
    public var isTLS = false
    /// Whether the proxy verified a certificate of the client.
    public var isCertificateVerified = false
    /// The common name of that certificate.
    public var commonName: String?

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Takes a header off the bytes.
    ///
    /// - Returns: Nil if more bytes are needed; the bytes are as they were then.
    /// - Throws: ``Violation``, as soon as the bytes cannot become a header.
    public static func parse(
        _ bytes: inout ByteBuffer,
        version: SiteServerConfiguration.ProxyProtocol.Version
    ) throws(Violation) -> ProxyHeader? {
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return nil }
        switch (first, version) {
        case (signature[0], .v2), (signature[0], .any): return try parseBinary(&bytes)
        case (UInt8(ascii: "P"), .v1), (UInt8(ascii: "P"), .any): return try parseLine(&bytes)
        default: throw Violation(message: "there is no PROXY header of the version that is expected")
        }
    }

    // MARK: - Version 1

    private static func parseLine(_ bytes: inout ByteBuffer) throws(Violation) -> ProxyHeader? {
        let view = bytes.readableBytesView.prefix(lineBytesMax)
        guard view.starts(with: "PROXY ".utf8.prefix(view.count)) else {
            throw Violation(message: "there is no PROXY header")
        }
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count < lineBytesMax else { throw Violation(message: "the PROXY header is too long") }
            return nil
        }
        let line = view[..<end]
        guard line.last == UInt8(ascii: "\r"), line.allSatisfy({ $0 < 0x80 }) else {
            throw Violation(message: "the PROXY header is no line of text")
        }
        let words = String(decoding: line.dropLast(), as: UTF8.self)
            .split(separator: " ", omittingEmptySubsequences: false)
        let header = try header(words: words)
        bytes.moveReaderIndex(to: end + 1)
        return header
    }

    private static func header(words: [Substring]) throws(Violation) -> ProxyHeader {
        if words.count >= 2, words[1] == "UNKNOWN" { return ProxyHeader(source: .proxy) }
        guard words.count == 6 else { throw Violation(message: "the PROXY header does not have its six words") }
        let length: Int
        switch words[1] {
        case "TCP4": length = 4
        case "TCP6": length = 16
        default: throw Violation(message: "the PROXY header names a protocol that is not TCP")
        }
        for word in words[2...3] where NetworkPrefix.bytes(String(word))?.count != length {
            throw Violation(message: "the PROXY header holds an address that is none")
        }
        for word in words[4...5] where !isPort(word) {
            throw Violation(message: "the PROXY header holds a port that is none")
        }
        return ProxyHeader(source: .client(String(words[2])))
    }

    private static func isPort(_ word: Substring) -> Bool {
        guard (1...5).contains(word.utf8.count), word.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return false
        }
        return UInt16(word) != nil && (word.utf8.count == 1 || word.utf8.first != 0x30)
    }

    // MARK: - Version 2

    private static func parseBinary(_ bytes: inout ByteBuffer) throws(Violation) -> ProxyHeader? {
        let start = bytes.readableBytesView.prefix(signature.count)
        guard start.elementsEqual(signature.prefix(start.count)) else {
            throw Violation(message: "there is no PROXY header")
        }
        var rest = bytes
        guard rest.readableBytes >= signature.count + 4 else { return nil }
        rest.moveReaderIndex(forwardBy: signature.count)
        guard let command = rest.readInteger(as: UInt8.self), let family = rest.readInteger(as: UInt8.self),
            let length = rest.readInteger(as: UInt16.self)
        else { return nil }
        guard command == 0x20 || command == 0x21 else {
            throw Violation(message: "the PROXY header has an unknown version or command")
        }
        guard signature.count + 4 + Int(length) <= bytesMax else {
            throw Violation(message: "the PROXY header is too long")
        }
        guard var fields = rest.readSlice(length: Int(length)) else { return nil }
        var header = ProxyHeader(source: .proxy)
        // What a health check says of itself is of no interest, whatever its family.
        if command == 0x21 {
            header.source = try source(family: family, &fields)
            if family != 0 { try header.readFields(&fields) }
        }
        bytes = rest
        return header
    }

    private static func source(family: UInt8, _ fields: inout ByteBuffer) throws(Violation) -> Source {
        switch family {
        case 0x00: return .proxy
        case 0x11: return .client(try address(&fields, bytes: 4))
        case 0x21: return .client(try address(&fields, bytes: 16))
        case 0x31:
            guard let path = fields.readBytes(length: 108), fields.readBytes(length: 108) != nil else {
                throw Violation(message: "the PROXY header is shorter than its addresses")
            }
            let name = String(decoding: path.prefix { $0 != 0 }.filter { $0 >= 0x20 && $0 < 0x7F }, as: UTF8.self)
            return name.isEmpty ? .proxy : .client(name)
        default: throw Violation(message: "the PROXY header names a protocol that is not TCP")
        }
    }

    private static func address(_ fields: inout ByteBuffer, bytes count: Int) throws(Violation) -> String {
        guard let source = fields.readBytes(length: count), fields.readBytes(length: count + 4) != nil else {
            throw Violation(message: "the PROXY header is shorter than its addresses")
        }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, source, &text, socklen_t(text.count)) != nil else {
            throw Violation(message: "the PROXY header holds an address that is none")
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A field: its type and its bytes. Nil at the end.
    private static func field(_ bytes: inout ByteBuffer) throws(Violation) -> (type: UInt8, value: ByteBuffer)? {
        guard let type = bytes.readInteger(as: UInt8.self) else { return nil }
        guard let length = bytes.readInteger(as: UInt16.self), let value = bytes.readSlice(length: Int(length)) else {
            throw Violation(message: "a field of the PROXY header is longer than the header")
        }
        return (type, value)
    }

    private mutating func readFields(_ fields: inout ByteBuffer) throws(Violation) {
        while var field = try Self.field(&fields) {
            // PP2_TYPE_SSL; the others are of no interest here.
            guard field.type == 0x20 else { continue }
            guard let client = field.value.readInteger(as: UInt8.self),
                let verify = field.value.readInteger(as: UInt32.self)
            else { throw Violation(message: "the TLS field of the PROXY header is too short") }
            isTLS = client & 0x01 != 0
            // PP2_CLIENT_CERT_CONN or PP2_CLIENT_CERT_SESS; zero says that it was verified.
            isCertificateVerified = isTLS && client & 0x06 != 0 && verify == 0
            commonName = nil
            while let part = try Self.field(&field.value) {
                guard part.type == 0x22, isCertificateVerified else { continue }
                // Repaired text could be somebody else's name.
                commonName = String(validating: part.value.readableBytesView, as: UTF8.self).flatMap(SubjectName.usable)
            }
        }
    }
}
