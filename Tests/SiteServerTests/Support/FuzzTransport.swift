import NIOCore
import SiteServer

/// Any bytes at all, as what comes before MQTT on a connection: used by the fuzzer under `Tests/Fuzz` and by the replay
/// in `swift test`.
enum FuzzTransport {
    /// What is wrong, or nil. The first byte says what the others are, the second how they are cut.
    static func run(_ input: [UInt8]) -> String? {
        guard input.count > 2 else { return nil }
        let content = Array(input[2...])
        let chunkBytes = Int(input[1]) % 32 + 1
        switch input[0] % 3 {
        case 0: return proxy(content, chunkBytes, version: [.v1, .v2, .any][Int(input[0] / 3) % 3])
        case 1: return http(content, chunkBytes)
        default: return webSocket(content, chunkBytes)
        }
    }

    private enum Parsed<Value: Equatable>: Equatable {
        case more
        case value(Value, left: Int)
        case refused
        /// Bytes were taken of what is not whole.
        case spoilt
    }

    /// What is found in the whole must be found in any beginning that is enough, with the same bytes taken. It comes in
    /// pieces of so many bytes.
    private static func check<Value: Equatable>(
        _ content: [UInt8],
        _ chunkBytes: Int,
        _ parse: (inout ByteBuffer) throws -> Value?
    ) -> String? {
        func parsed(_ count: Int) -> Parsed<Value> {
            var bytes = ByteBuffer(bytes: content[..<count])
            do {
                guard let value = try parse(&bytes) else { return bytes.readableBytes == count ? .more : .spoilt }
                return .value(value, left: bytes.readableBytes)
            } catch {
                return .refused
            }
        }
        let whole = parsed(content.count)
        if whole == .spoilt { return "bytes are taken of what is not whole" }
        for count in stride(from: 0, to: content.count, by: chunkBytes) {
            switch (parsed(count), whole) {
            case (.more, _): continue
            case (.refused, .refused): return nil
            case (.value(let value, let left), .value(let wholeValue, let wholeLeft)):
                let taken = count - left == content.count - wholeLeft
                return value == wholeValue && taken ? nil : "a beginning of \(count) bytes is read otherwise"
            default: return "a beginning of \(count) bytes is judged otherwise than the whole"
            }
        }
        return nil
    }

    private static func proxy(
        _ content: [UInt8],
        _ chunkBytes: Int,
        version: SiteServerConfiguration.ProxyProtocol.Version
    ) -> String? {
        var found: ProxyHeader?
        let mistake = check(content, chunkBytes) { bytes in
            found = try ProxyHeader.parse(&bytes, version: version)
            return found
        }
        if let mistake { return "PROXY: \(mistake)" }
        // Addresses and names go into logs and rules.
        var texts: [String] = []
        if case .client(let address)? = found?.source { texts.append(address) }
        if let name = found?.commonName { texts.append(name) }
        for text in texts
        where text.isEmpty || text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
            return "PROXY: a text that is none: \(Array(text.utf8))"
        }
        return nil
    }

    private static func http(_ content: [UInt8], _ chunkBytes: Int) -> String? {
        var found: HTTPRequestHead?
        let mistake = check(content, chunkBytes) { bytes in
            found = try HTTPRequestHead.parse(&bytes, bytesMax: 1_024, headersMax: 8)
            return found
        }
        if let mistake { return "HTTP: \(mistake)" }
        guard let found else { return nil }
        guard found.headers.count <= 8 else { return "HTTP: \(found.headers.count) header lines" }
        for header in found.headers
        where header.name.isEmpty || header.value.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) {
            return "HTTP: a header that is none"
        }
        return nil
    }

    // MARK: - WebSocket

    private struct Frames: Equatable {
        var data: [UInt8] = []
        var pings: [[UInt8]] = []
        var pongs = 0
        var close: UInt16??
        var violation: UInt16?
    }

    private static func webSocket(_ content: [UInt8], _ chunkBytes: Int) -> String? {
        let expected = plain(content)
        for chunk in [content.count, chunkBytes] where chunk > 0 {
            let found = decode(content, chunkBytes: chunk)
            if found != expected { return "WebSocket: \(found), expected \(expected)" }
        }
        return nil
    }

    private static let frameBytesMax = 300

    private static func decode(_ content: [UInt8], chunkBytes: Int) -> Frames {
        var decoder = WebSocketFrameDecoder(frameBytesMax: frameBytesMax)
        var frames = Frames()
        var buffer = ByteBuffer()
        var rest = content[...]
        while !rest.isEmpty {
            buffer.writeBytes(rest.prefix(chunkBytes))
            rest = rest.dropFirst(chunkBytes)
            do {
                while let event = try decoder.next(&buffer) {
                    switch event {
                    case .data(let bytes): frames.data += Array(bytes.readableBytesView)
                    case .ping(let bytes): frames.pings.append(Array(bytes.readableBytesView))
                    case .pong: frames.pongs += 1
                    case .close(let code):
                        frames.close = .some(code)
                        return frames
                    }
                }
            } catch {
                frames.violation = error.code
                return frames
            }
        }
        return frames
    }

    /// Frames as section 5 of RFC 6455 has them, byte by byte, on the whole of what came.
    private static func plain(_ content: [UInt8]) -> Frames {
        var frames = Frames()
        var index = 0
        var isInMessage = false
        func refuse(_ code: UInt16) -> Frames {
            frames.violation = code
            return frames
        }
        while index < content.count {
            let first = content[index]
            let opcode = first & 0x0F
            if first & 0x70 != 0 { return refuse(1002) }
            if opcode == 1 { return refuse(1003) }
            if ![0, 2, 8, 9, 10].contains(opcode) { return refuse(1002) }
            guard index + 1 < content.count else { return frames }
            let second = content[index + 1]
            if second & 0x80 == 0 { return refuse(1002) }
            var length = UInt64(second & 0x7F)
            var start = index + 2
            if opcode >= 8 {
                if first & 0x80 == 0 || length > 125 { return refuse(1002) }
            } else if length > 125 {
                let width = length == 126 ? 2 : 8
                guard start + width <= content.count else { return frames }
                length = content[start..<start + width].reduce(0) { $0 << 8 | UInt64($1) }
                if width == 2 ? length < 126 : length < 65_536 { return refuse(1002) }
                start += width
            }
            if length > UInt64(frameBytesMax) { return refuse(1009) }
            guard start + 4 <= content.count else { return frames }
            let mask = content[start..<start + 4].map { $0 }
            start += 4
            if opcode < 8, (opcode == 0) != isInMessage { return refuse(1002) }
            let end = start + Int(length)
            let payload = content[start..<min(end, content.count)].enumerated().map { $1 ^ mask[$0 % 4] }
            if opcode < 8 {
                frames.data += payload
                isInMessage = first & 0x80 == 0
            }
            guard end <= content.count else { return frames }
            index = end
            switch opcode {
            case 9: frames.pings.append(payload)
            case 10: frames.pongs += 1
            case 8: return close(payload, frames)
            default: break
            }
        }
        return frames
    }

    private static func close(_ payload: [UInt8], _ before: Frames) -> Frames {
        var frames = before
        guard !payload.isEmpty else {
            frames.close = .some(nil)
            return frames
        }
        let code = payload.count > 1 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : 0
        let isKnown = (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code)
        if !isKnown {
            frames.violation = 1002
        } else if String(validating: payload[2...], as: UTF8.self) == nil {
            frames.violation = 1007
        } else {
            frames.close = .some(code)
        }
        return frames
    }
}
