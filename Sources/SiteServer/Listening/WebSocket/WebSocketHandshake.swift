internal import Crypto
internal import Foundation

/// Decides about the request that opens a WebSocket (RFC 6455, section 4.2) and writes the answer.
struct WebSocketHandshake {
    /// The subprotocols that are MQTT, as the client may call them [MQTT-6.0.0-3].
    private static let subprotocols = ["mqtt", "mqttv3.1"]
    private static let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    let options: SiteServerConfiguration.WebSockets

    /// The answer to a request that may open one.
    func answer(_ head: HTTPRequestHead) throws(HTTPRequestHead.Refusal) -> String {
        guard head.method == "GET" else { throw refusal(405, "the method is not GET") }
        let path = head.target.prefix { $0 != "?" }
        guard options.paths.contains(where: { $0 == path }) else { throw refusal(404, "there is nothing at this path") }
        guard head.minorVersion == 1, head.values("host").count == 1 else {
            throw refusal(400, "the request is none of HTTP/1.1")
        }
        guard head.values("transfer-encoding").isEmpty, head.values("content-length").allSatisfy({ $0 == "0" }) else {
            throw refusal(400, "the request has a body")
        }
        guard
            head.words("upgrade").contains(where: { $0.lowercased() == "websocket" }),
            head.words("connection").contains(where: { $0.lowercased() == "upgrade" })
        else { throw refusal(426, "the request opens no WebSocket") }
        guard head.values("sec-websocket-version") == ["13"] else {
            throw refusal(426, "the version of WebSocket is not 13")
        }
        let keys = head.values("sec-websocket-key")
        guard keys.count == 1, let key = keys.first, Data(base64Encoded: key)?.count == 16 else {
            throw refusal(400, "the key of the WebSocket is wrong")
        }
        try checkOrigin(head)
        guard let subprotocol = head.words("sec-websocket-protocol").first(where: Self.subprotocols.contains) else {
            throw refusal(400, "the client does not offer the subprotocol mqtt")
        }
        // Extensions are not answered, and so not agreed on: nothing is compressed.
        return """
            HTTP/1.1 101 Switching Protocols\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Accept: \(Self.accept(key))\r
            Sec-WebSocket-Protocol: \(subprotocol)\r
            \r

            """
    }

    /// The answer that says no.
    static func answer(_ refusal: HTTPRequestHead.Refusal) -> String {
        var lines = ["HTTP/1.1 \(refusal.status) \(phrases[refusal.status] ?? "Error")"]
        if refusal.status == 426 { lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13"] }
        if refusal.status == 405 { lines.append("Allow: GET") }
        lines += [refusal.status == 426 ? "Connection: Upgrade, close" : "Connection: close", "Content-Length: 0"]
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    /// What a key is answered with, to show that the server speaks WebSocket.
    static func accept(_ key: String) -> String {
        Data(Insecure.SHA1.hash(data: Data((key + guid).utf8))).base64EncodedString()
    }

    private func checkOrigin(_ head: HTTPRequestHead) throws(HTTPRequestHead.Refusal) {
        let origins = head.values("origin")
        guard !options.origins.isEmpty, !origins.isEmpty else { return }
        guard origins.count == 1, let origin = origins.first?.lowercased(),
            options.origins.contains(where: { $0.lowercased() == origin })
        else { throw refusal(403, "the origin is not let in") }
    }

    private func refusal(_ status: Int, _ message: String) -> HTTPRequestHead.Refusal {
        HTTPRequestHead.Refusal(status: status, message: message)
    }

    private static let phrases = [
        400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 426: "Upgrade Required",
        431: "Request Header Fields Too Large",
    ]
}
