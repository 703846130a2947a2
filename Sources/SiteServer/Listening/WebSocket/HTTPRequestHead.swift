public import NIOCore

/// The head of an HTTP/1.1 request: as much of HTTP as a WebSocket needs. A pure value; parsing keeps nothing and takes
/// what is not exactly a head of `RFC 9112` as none.
public struct HTTPRequestHead: Sendable, Hashable {
    /// Why a request is not answered with a WebSocket: the status, and a sentence for the operator.
    public struct Refusal: Error, Sendable, Hashable {
        /// The status of the answer.
        public let status: Int
        /// A sentence for the operator.
        public let message: String
    }

    /// The method, such as `GET`.
    public var method: String
    /// The target, such as `/mqtt?site=1`.
    public var target: String
    /// The minor version of HTTP/1.
    public var minorVersion: Int
    /// The header lines, in order.
    public var headers: [Header]

    /// One header line.
    public struct Header: Sendable, Hashable {
        /// The name, in lower case.
        public var name: String
        /// The value, without blanks around it.
        public var value: String
    }

    /// Takes a head off the bytes.
    ///
    /// - Parameters:
    ///   - bytesMax: The most bytes of a head. Beyond: 431.
    ///   - headersMax: The most header lines. Beyond: 431.
    /// - Returns: Nil if more bytes are needed; the bytes are as they were then.
    /// - Throws: ``Refusal``, as soon as the bytes cannot become a head.
    public static func parse(
        _ bytes: inout ByteBuffer,
        bytesMax: Int,
        headersMax: Int
    ) throws(Refusal) -> HTTPRequestHead? {
        let view = bytes.readableBytesView
        // Whoever speaks MQTT or TLS here is told so by the first byte.
        if let first = view.first, !isTokenByte(first) { throw bad("the request is no HTTP") }
        guard let end = endOfHead(view.prefix(bytesMax)) else {
            guard view.count < bytesMax else { throw Refusal(status: 431, message: "the HTTP head is too long") }
            return nil
        }
        let head = try read(view[..<end], headersMax: headersMax)
        bytes.moveReaderIndex(to: end)
        return head
    }

    /// The values of a header, one for each of its lines.
    public func values(_ name: String) -> [String] { headers.filter { $0.name == name }.map(\.value) }

    /// The comma-separated words of all lines of a header.
    public func words(_ name: String) -> [String] {
        values(name).flatMap { $0.split(separator: ",") }.map { Self.trimmed($0) }.filter { !$0.isEmpty }
    }

    // MARK: -

    private static func endOfHead(_ view: ByteBufferView) -> Int? {
        var index = view.startIndex
        while let lineEnd = view[index...].firstIndex(of: UInt8(ascii: "\n")) {
            let next = lineEnd + 1
            if next - index == 2 { return next }
            index = next
        }
        return nil
    }

    private static func read(_ head: ByteBufferView, headersMax: Int) throws(Refusal) -> HTTPRequestHead {
        var lines: [ByteBufferView] = []
        var index = head.startIndex
        while let lineEnd = head[index...].firstIndex(of: UInt8(ascii: "\n")) {
            guard lineEnd > index, head[lineEnd - 1] == UInt8(ascii: "\r") else { throw bad("a line end is wrong") }
            guard lines.count <= headersMax + 1 else {
                throw Refusal(status: 431, message: "the HTTP head has too many lines")
            }
            lines.append(head[index..<(lineEnd - 1)])
            index = lineEnd + 1
        }
        guard let request = lines.first, lines.count >= 2 else { throw bad("the request line is missing") }
        let words = request.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(isTokenByte), !words[1].isEmpty,
            words[1].allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw bad("the request line is wrong") }
        let minorVersion: Int
        switch String(decoding: words[2], as: UTF8.self) {
        case "HTTP/1.1": minorVersion = 1
        case "HTTP/1.0": minorVersion = 0
        default: throw bad("the version of HTTP is not 1.1")
        }
        var headers: [Header] = []
        for line in lines[1...].dropLast() { headers.append(try header(line)) }
        return HTTPRequestHead(
            method: String(decoding: words[0], as: UTF8.self),
            target: String(decoding: words[1], as: UTF8.self),
            minorVersion: minorVersion,
            headers: headers
        )
    }

    private static func header(_ line: ByteBufferView) throws(Refusal) -> Header {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(isTokenByte)
        else { throw bad("a header line has no name") }
        let value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F) }) else {
            throw bad("a header line holds control characters")
        }
        return Header(
            name: String(decoding: line[..<colon], as: UTF8.self).lowercased(),
            value: trimmed(String(decoding: value, as: UTF8.self))
        )
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        let start = text.drop(while: isBlank)
        guard let last = start.lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(start[...last])
    }

    /// A byte of a `token` (RFC 9110, section 5.6.2).
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    private static func bad(_ message: String) -> Refusal { Refusal(status: 400, message: message) }
}
