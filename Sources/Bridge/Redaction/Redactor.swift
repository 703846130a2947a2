internal import Crypto
internal import MosquittoClient

/// Why a payload may not leave.
struct RedactionFailure: Error, Sendable {
    let message: String
}

/// Takes fields out of JSON payloads, or makes them harmless, before anything is queued.
///
/// A path names fields from the top, with dots: `customer.card`. Arrays are looked through: `items.card` is that field
/// of every element. `*` is any one field, `**` any number of levels, also none: `**.card` is that field wherever it
/// stands. Names are compared exactly, after their escapes are resolved; every one of repeated names is treated. Where
/// paths meet at one field, the strictest wins (drop, hmac, round).
///
/// What no path names is copied byte for byte, so that numbers keep every digit. A payload that is not JSON, or not an
/// object or an array of such, cannot be redacted and must not leave. JSON inside a string is a string.
struct Redactor: Sendable {
    /// Redaction paths of one route at most.
    static let pathsMax = 100

    private enum Step: Sendable, Hashable {
        case name(String)
        case any
        case anyDepth
    }

    private struct Rule: Sendable {
        let steps: [Step]
        let action: Redaction
    }

    /// A rule and how many of its steps are behind us.
    private struct State: Hashable {
        var rule: Int
        var step: Int
    }

    private let rules: [Rule]
    private let key: SymmetricKey

    init(_ redactions: [String: Redaction], key: [UInt8]) throws(BridgeError) {
        guard redactions.count <= Self.pathsMax else {
            throw BridgeError(.invalidRoute, "a route has at most \(Self.pathsMax) redactions")
        }
        var rules: [Rule] = []
        for (path, action) in redactions.sorted(by: { $0.key < $1.key }) {
            let steps = path.split(separator: ".", omittingEmptySubsequences: false).map { part -> Step in
                switch part {
                case "*": .any
                case "**": .anyDepth
                default: .name(String(part))
                }
            }
            guard !steps.contains(.name("")), steps.last != .anyDepth else {
                throw BridgeError(.invalidRoute, "a redaction path is field names with dots between")
            }
            if case .round(let decimals) = action, !(0...9).contains(decimals) {
                throw BridgeError(.invalidRoute, "`round` keeps 0 to 9 decimals")
            }
            if case .hmac = action, key.count < 16 {
                throw BridgeError(.invalidRoute, "`hmac` needs a site key of at least 16 bytes")
            }
            rules.append(Rule(steps: steps, action: action))
        }
        self.rules = rules
        self.key = SymmetricKey(data: key)
    }

    /// The payload without what must not leave.
    func redact(_ payload: [UInt8]) throws(RedactionFailure) -> [UInt8] {
        do {
            var reader = try JSONReader(payload)
            var output: [UInt8] = []
            output.reserveCapacity(payload.count)
            let start = rules.indices.map { State(rule: $0, step: 0) }
            try copyContainer(&reader, start, depth: 0, &output)
            try reader.finish()
            return output
        } catch {
            throw RedactionFailure(message: error.message)
        }
    }

    /// The top: an object, or an array of objects and such arrays.
    private func copyContainer(
        _ reader: inout JSONReader,
        _ states: [State],
        depth: Int,
        _ output: inout [UInt8]
    ) throws(JSONReadError) {
        try check(depth, reader)
        switch try reader.peek() {
        case UInt8(ascii: "{"): try copyObject(&reader, states, depth: depth, &output)
        case UInt8(ascii: "["):
            try copyArray(&reader, &output) { (reader, output) throws(JSONReadError) in
                try copyContainer(&reader, states, depth: depth + 1, &output)
            }
        default: throw JSONReadError(position: reader.position, "a bare value has no fields")
        }
    }

    private func copy(
        _ reader: inout JSONReader,
        _ states: [State],
        depth: Int,
        _ output: inout [UInt8]
    ) throws(JSONReadError) {
        try check(depth, reader)
        let first = try reader.peek()
        if !states.isEmpty, first == UInt8(ascii: "{") {
            try copyObject(&reader, states, depth: depth, &output)
        } else if !states.isEmpty, first == UInt8(ascii: "[") {
            try copyArray(&reader, &output) { (reader, output) throws(JSONReadError) in
                try copy(&reader, states, depth: depth + 1, &output)
            }
        } else {
            output.append(contentsOf: reader.bytes[try reader.skipValue(depth: depth)])
        }
    }

    private func copyObject(
        _ reader: inout JSONReader,
        _ states: [State],
        depth: Int,
        _ output: inout [UInt8]
    ) throws(JSONReadError) {
        output.append(UInt8(ascii: "{"))
        var isFirst = true
        try reader.readObject { (reader, name) throws(JSONReadError) in
            let (deeper, action) = advance(states, name: reader.decode(name))
            var value: [UInt8] = []
            if let action {
                guard let replaced = try replace(&reader, action, depth: depth + 1) else { return }
                value = replaced
            } else {
                try copy(&reader, deeper, depth: depth + 1, &value)
            }
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            output.append(contentsOf: reader.bytes[name])
            output.append(UInt8(ascii: ":"))
            output.append(contentsOf: value)
        }
        output.append(UInt8(ascii: "}"))
    }

    private func copyArray(
        _ reader: inout JSONReader,
        _ output: inout [UInt8],
        _ element: (inout JSONReader, inout [UInt8]) throws(JSONReadError) -> Void
    ) throws(JSONReadError) {
        output.append(UInt8(ascii: "["))
        var isFirst = true
        try reader.readArray { (reader) throws(JSONReadError) in
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            try element(&reader, &output)
        }
        output.append(UInt8(ascii: "]"))
    }

    /// Where the rules stand behind a field of this name, and what is to be done with its value.
    private func advance(_ states: [State], name: String) -> (deeper: [State], action: Redaction?) {
        var deeper: [State] = []
        var action: Redaction?
        var open = states
        while let state = open.popLast() {
            let steps = rules[state.rule].steps
            let next = State(rule: state.rule, step: state.step + 1)
            switch steps[state.step] {
            case .anyDepth:
                // Stays for what is deeper, and also stands for no level at all.
                if !deeper.contains(state) { deeper.append(state) }
                open.append(next)
                continue
            case .name(let wanted) where wanted != name: continue
            case .name, .any: break
            }
            if next.step == steps.count {
                let found = rules[state.rule].action
                if action.map({ $0.strictness < found.strictness }) ?? true { action = found }
            } else if !deeper.contains(next) {
                deeper.append(next)
            }
        }
        return (deeper, action)
    }

    /// Passes a value and returns what stands for it; nil for nothing.
    private func replace(
        _ reader: inout JSONReader,
        _ action: Redaction,
        depth: Int
    ) throws(JSONReadError) -> [UInt8]? {
        try check(depth, reader)
        let first = try reader.peek()
        if action != .drop, first == UInt8(ascii: "[") {
            var output: [UInt8] = []
            try copyArray(&reader, &output) { (reader, output) throws(JSONReadError) in
                output.append(contentsOf: try replace(&reader, action, depth: depth + 1) ?? Array("null".utf8))
            }
            return output
        }
        let range = try reader.skipValue(depth: depth)
        switch action {
        case .drop: return nil
        case _ where first == UInt8(ascii: "n"): return Array("null".utf8)
        case .hmac where first == UInt8(ascii: "\""): return pseudonym(Array(reader.decode(range).utf8))
        case .hmac: return pseudonym(Array(reader.bytes[range]))
        case .round(let decimals):
            guard first == UInt8(ascii: "-") || (0x30...0x39).contains(first) else { return nil }
            return DecimalText.round(reader.bytes[range], decimals: decimals)
        }
    }

    private func pseudonym(_ bytes: [UInt8]) -> [UInt8] {
        let code = HMAC<SHA256>.authenticationCode(for: bytes, using: key)
        var output: [UInt8] = [UInt8(ascii: "\"")]
        for byte in code.prefix(16) {
            output.append(Self.hexDigits[Int(byte >> 4)])
            output.append(Self.hexDigits[Int(byte & 15)])
        }
        output.append(UInt8(ascii: "\""))
        return output
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)

    private func check(_ depth: Int, _ reader: JSONReader) throws(JSONReadError) {
        guard depth < JSONReader.depthMax else {
            throw JSONReadError(position: reader.position, "the value is nested too deeply")
        }
    }
}
