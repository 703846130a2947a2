/// Text with places to fill: `alarm/{1}`, `{bed}`, `hnd/{handler}/{key}/proposal`, `{payload.customer}`.
///
/// A place is filled by a capture of its name or number, or, as `{payload.field}`, by a text or whole number of the
/// payload. A name that the topic's pattern does not capture is looked for among the payload's top-level fields.
public struct TopicTemplate: Sendable, Hashable, CustomStringConvertible {
    private enum Part: Sendable, Hashable {
        case literal(String)
        case place(String)
        case payload([String])
    }

    /// The most bytes of what is filled in, all together.
    public static let bytesMax = 1024

    /// The template as it was written.
    public let template: String
    private let parts: [Part]

    /// The template as it was written.
    public var description: String { template }

    /// Reads a template.
    ///
    /// - Throws: ``TopicPatternError`` if a brace is alone or a place has no name.
    public init(_ template: String) throws(TopicPatternError) {
        guard !template.isEmpty, template.utf8.count <= Self.bytesMax else {
            throw TopicPatternError(pattern: template, problem: "it is empty or longer than \(Self.bytesMax) bytes")
        }
        var parts: [Part] = []
        var rest = template[...]
        while let open = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            guard rest[open] == "{", let close = rest[open...].firstIndex(of: "}") else {
                throw TopicPatternError(pattern: template, problem: "a brace has no partner")
            }
            if open > rest.startIndex { parts.append(.literal(String(rest[..<open]))) }
            let name = String(rest[rest.index(after: open)..<close])
            let path = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            guard !path.contains("") else {
                throw TopicPatternError(pattern: template, problem: "a place in braces has no name")
            }
            parts.append(path.count > 1 && path[0] == "payload" ? .payload(Array(path.dropFirst())) : .place(name))
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        self.template = template
        self.parts = parts
    }

    /// The places that are not fields of the payload, in order.
    public var places: [String] {
        parts.compactMap { part in
            guard case .place(let name) = part else { return nil }
            return name
        }
    }

    /// Whether filling it for a pattern may need the payload.
    public func needsPayload(for pattern: TopicPattern) -> Bool {
        parts.contains { part in
            switch part {
            case .literal: false
            case .payload: true
            case .place(let name): Int(name) == nil && !pattern.names.contains(name)
            }
        }
    }

    /// The text with all places filled, or nil if one cannot be, or if it is longer than ``bytesMax``.
    ///
    /// - Parameters:
    ///   - captures: What the topic's wildcards stood for.
    ///   - payload: The payload, if it is JSON.
    public func filled(captures: TopicCaptures, payload: JSONValue?) -> String? {
        filled {
            captures[$0] ?? payload?[$0]?.identifier
        } payload: {
            payload?[path: $0]?.identifier
        }
    }

    /// The text with all places filled for use as a topic: what is filled in is one level, whatever it holds
    /// (``escaped(_:)``).
    public func topic(_ values: [String: String]) -> String? {
        filled {
            values[$0].map(Self.escaped)
        } payload: { _ in
            nil
        }
    }

    private func filled(_ place: (String) -> String?, payload: ([String]) -> String?) -> String? {
        var text = ""
        for part in parts {
            switch part {
            case .literal(let literal): text += literal
            case .place(let name):
                guard let value = place(name) else { return nil }
                text += value
            case .payload(let path):
                guard let value = payload(path) else { return nil }
                text += value
            }
        }
        return text.isEmpty || text.utf8.count > Self.bytesMax ? nil : text
    }

    /// A text as one level of a topic name: `/`, `+`, `#`, `%` and control characters are written as in URLs, so that
    /// different texts stay different.
    public static func escaped(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0..<0x20, 0x7F, UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "#"), UInt8(ascii: "%"):
                bytes.append(contentsOf: [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]])
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
