import Foundation
import MQTT
import NIOCore
import Repeatable
import Testing

@testable import SiteServer

@Suite("WebSocket frames") struct WebSocketFrameTests {
    /// A frame of a client.
    static func frame(
        _ opcode: UInt8,
        _ payload: [UInt8],
        isFinal: Bool = true,
        mask: [UInt8] = [0xA1, 0x02, 0xFF, 0x34]
    ) -> [UInt8] {
        var bytes: [UInt8] = [opcode | (isFinal ? 0x80 : 0)]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ...65_535: bytes += [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default: bytes += [0xFF] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        return bytes + mask + payload.enumerated().map { $0.element ^ mask[$0.offset % 4] }
    }

    private func events(
        _ pieces: [[UInt8]],
        max: Int = 1 << 20
    ) throws -> (data: [UInt8], other: [WebSocketFrameDecoder.Event]) {
        var decoder = WebSocketFrameDecoder(frameBytesMax: max)
        var buffer = ByteBuffer()
        var data: [UInt8] = []
        var other: [WebSocketFrameDecoder.Event] = []
        for piece in pieces {
            buffer.writeBytes(piece)
            while let event = try decoder.next(&buffer) {
                if case .data(let part) = event { data += part.readableBytesView } else { other.append(event) }
            }
        }
        return (data, other)
    }

    private func code(_ bytes: [UInt8], max: Int = 1 << 20) -> UInt16? {
        do {
            _ = try events([bytes], max: max)
            return nil
        } catch { return (error as? WebSocketFrameDecoder.Violation)?.code }
    }

    @Test("Frames of every length form come out whole, in whatever pieces they come")
    func pieces() throws {
        var generator = SeededRandom(seed: 7)
        for count in [0, 1, 3, 4, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001] {
            let payload = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let stream = Self.frame(2, payload) + Self.frame(9, [1, 2]) + Self.frame(2, [5])
            #expect(try events([stream]).data == payload + [5])
            for _ in 0..<8 {
                var pieces: [[UInt8]] = []
                var rest = stream[...]
                while !rest.isEmpty {
                    let size = min(rest.count, Int.random(in: 1...max(1, stream.count / 3), using: &generator))
                    pieces.append(Array(rest.prefix(size)))
                    rest = rest.dropFirst(size)
                }
                let result = try events(pieces)
                #expect(result.data == payload + [5], "length \(count), seed 7")
                #expect(result.other == [.ping(ByteBuffer(bytes: [1, 2]))])
            }
        }
        let stream = Self.frame(2, [1, 2, 3], isFinal: false) + Self.frame(0xA, []) + Self.frame(0, [4], isFinal: true)
        let result = try events(stream.map { [$0] })
        #expect(result.data == [1, 2, 3, 4])
        #expect(result.other == [.pong])
    }

    @Test("A mask of zeros is a mask")
    func zeroMask() throws {
        #expect(try events([Self.frame(2, [1, 2, 3], mask: [0, 0, 0, 0])]).data == [1, 2, 3])
    }

    @Test("What breaks the rules of frames is answered with their codes")
    func violations() {
        #expect(code([0x82, 0x01, 0x00]) == 1002, "no mask")
        #expect(code(Self.frame(1, [0x61])) == 1003, "text")
        #expect(code(Self.frame(3, [])) == 1002, "reserved opcode")
        #expect(code([0xC2, 0x80, 0, 0, 0, 0]) == 1002, "RSV1: compressed")
        #expect(code(Self.frame(9, [1], isFinal: false)) == 1002, "fragmented ping")
        #expect(code([0x89, 0xFE, 0, 126]) == 1002, "long ping")
        #expect(code([0x82, 0xFE, 0, 125, 0, 0, 0, 0]) == 1002, "length not minimal")
        #expect(code([0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) == 1002, "length not minimal")
        #expect(code([0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]) == 1009, "length beyond everything")
        #expect(code([0x82, 0xFE, 0x04, 0x01], max: 1_024) == 1009, "length beyond the limit, from the head alone")
        #expect(code(Self.frame(0, [1])) == 1002, "continuation of nothing")
        #expect(code(Self.frame(2, [1], isFinal: false) + Self.frame(2, [1])) == 1002, "message within a message")
        #expect(code(Self.frame(8, [3])) == 1002, "half a code")
        #expect(code(Self.frame(8, [0x03, 0xED])) == 1002, "1005 is never sent")
        #expect(code(Self.frame(8, [0x03, 0xE8, 0xFF])) == 1007, "reason without UTF-8")
    }

    @Test("Nothing comes after a close")
    func close() throws {
        let result = try events([Self.frame(8, [0x03, 0xE8]) + Self.frame(2, [1])])
        #expect(result.other == [.close(1000)])
        #expect(result.data.isEmpty)
        #expect(try events([Self.frame(8, [])]).other == [.close(nil)])
    }
}

@Suite("WebSocket requests") struct WebSocketRequestTests {
    static let good = [
        "GET /mqtt HTTP/1.1", "Host: localhost", "Upgrade: WebSocket", "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: chat, mqtt",
    ]

    static func text(_ lines: [String]) -> String { lines.joined(separator: "\r\n") + "\r\n\r\n" }

    private func answer(
        _ text: String,
        _ options: SiteServerConfiguration.WebSockets = .init()
    ) throws -> String? {
        var bytes = ByteBuffer(string: text)
        guard let head = try HTTPRequestHead.parse(&bytes, bytesMax: 8_192, headersMax: 64) else { return nil }
        return try WebSocketHandshake(options: options).answer(head)
    }

    private func status(_ text: String, _ options: SiteServerConfiguration.WebSockets = .init()) -> Int? {
        do {
            return try answer(text, options) == nil ? nil : 101
        } catch { return (error as? HTTPRequestHead.Refusal)?.status }
    }

    /// The good request with lines replaced by their beginnings; an empty replacement removes the line.
    private func changed(_ changes: [String: String]) -> String {
        Self.text(
            Self.good.compactMap { line in
                guard let change = changes.first(where: { line.hasPrefix($0.key) })?.value else { return line }
                return change.isEmpty ? nil : change
            }
        )
    }

    @Test("A good request is answered with the key's proof and the subprotocol, and with no extension")
    func good() throws {
        let answer = try #require(try answer(Self.text(Self.good + ["Sec-WebSocket-Extensions: permessage-deflate"])))
        #expect(answer.hasPrefix("HTTP/1.1 101 "))
        #expect(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(answer.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"))
        #expect(!answer.lowercased().contains("extension"))
        #expect(answer.hasSuffix("\r\n\r\n"))
        #expect(status(changed(["GET": "GET / HTTP/1.1"])) == 101)
        #expect(status(changed(["GET": "GET /mqtt?site=1 HTTP/1.1"])) == 101)
        #expect(status(changed(["Sec-WebSocket-Protocol": "sec-websocket-protocol:mqttv3.1"])) == 101)
    }

    @Test("What opens no WebSocket gets the status that says why")
    func refusals() {
        #expect(status(changed(["GET": "POST /mqtt HTTP/1.1"])) == 405)
        #expect(status(changed(["GET": "GET /other HTTP/1.1"])) == 404)
        #expect(status(changed(["GET": "GET /mqtt/ HTTP/1.1"])) == 404)
        #expect(status(changed(["GET": "GET /mqtt HTTP/1.0"])) == 400)
        #expect(status(changed(["GET": "GET /mqtt HTTP/2.0"])) == 400)
        #expect(status(changed(["Host": ""])) == 400)
        #expect(status(changed(["Upgrade": ""])) == 426)
        #expect(status(changed(["Connection": "Connection: close"])) == 426)
        #expect(status(changed(["Sec-WebSocket-Version": "Sec-WebSocket-Version: 8"])) == 426)
        #expect(status(changed(["Sec-WebSocket-Key": ""])) == 400)
        #expect(status(changed(["Sec-WebSocket-Key": "Sec-WebSocket-Key: short"])) == 400)
        #expect(status(changed(["Sec-WebSocket-Protocol": ""])) == 400)
        #expect(status(changed(["Sec-WebSocket-Protocol": "Sec-WebSocket-Protocol: MQTT"])) == 400)
        #expect(status(Self.text(Self.good + ["Content-Length: 5"])) == 400)
        #expect(status(Self.text(Self.good + ["Transfer-Encoding: chunked"])) == 400)
        #expect(status(Self.text(Self.good + ["Host: second"])) == 400)
    }

    @Test("Origins that are not listed are refused; without one it is no browser")
    func origins() {
        let options = SiteServerConfiguration.WebSockets(origins: ["https://till.example.com"])
        #expect(status(Self.text(Self.good), options) == 101)
        #expect(status(Self.text(Self.good + ["Origin: https://TILL.example.com"]), options) == 101)
        for origin in ["https://evil.example", "null", "https://till.example.com.evil.example", ""] {
            #expect(status(Self.text(Self.good + ["Origin: \(origin)"]), options) == 403, "\(origin)")
        }
        let two = ["Origin: https://till.example.com", "Origin: https://evil.example"]
        #expect(status(Self.text(Self.good + two), options) == 403)
        #expect(status(Self.text(Self.good + ["Origin: https://evil.example"])) == 101)
    }

    @Test("What is no HTTP is refused by its first byte or line; a head that is too long or has too many lines by 431")
    func malformed() {
        #expect(status("\u{10}\u{20}") == 400)
        #expect(status("\u{16}\u{3}\u{1}") == 400)
        for line in [
            "GET /mqtt", "GET  /mqtt HTTP/1.1", "GET /m\u{7F} HTTP/1.1", "GET /mqtt HTTP/1.1 x", "/ HTTP/1.1",
        ] {
            #expect(status(changed(["GET": line])) == 400, "\(line)")
        }
        for line in ["no colon", ": empty", "Na me: x", "Name : x", " folded: x", "A: \u{0}"] {
            #expect(status(Self.text(Self.good + [line])) == 400, "\(line)")
        }
        #expect(status("GET /mqtt HTTP/1.1\nHost: a\r\n\r\n") == 400)
        #expect(status("GET /" + String(repeating: "a", count: 8_187)) == 431)
        #expect(status(Self.text(Self.good + (0..<60).map { "X-\($0): 1" })) == 431)
        #expect(status(Self.text(Self.good + (0..<50).map { "X-\($0): 1" })) == 101)
    }

    @Test("A head may come in any pieces")
    func pieces() throws {
        let text = Self.text(Self.good)
        for count in stride(from: 0, to: text.utf8.count, by: 7) {
            #expect(try answer(String(decoding: text.utf8.prefix(count), as: UTF8.self)) == nil)
        }
    }
}
