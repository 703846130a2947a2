import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import Console

private final class Source: ConsoleSource {
    let live = Mutex(HealthReport.available)
    let ready = Mutex(HealthReport.available)

    func liveness() -> HealthReport { live.withLock { $0 } }
    func readiness() -> HealthReport { ready.withLock { $0 } }
    func metrics() -> [MetricFamily] { [.gauge("causeway_up", "Up.", 1)] }
}

/// One TCP connection of the test's, with deadlines.
private final class RawConnection: Sendable {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw POSIXError(.init(rawValue: errno) ?? .EIO)
        }
    }

    deinit { close(descriptor) }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Reads until the end, or the deadline; nil in the latter case. Waits on a thread of its own, never on Swift's
    /// pool, which the server needs.
    func readToEnd(seconds: Int32 = 10) async -> String? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.readBlocking(seconds)) }
        }
    }

    private func readBlocking(_ seconds: Int32) -> String? {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&polled, 1, seconds * 1_000) > 0 else { return nil }
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: all, as: UTF8.self) }
            all += buffer[..<count]
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct ConsoleServerTests {
    private let source = Source()

    /// Runs a server while the body runs, and sees it end.
    private func withServer(
        answerSecondsMax: Int = 30,
        connectionsMax: Int = 64,
        _ body: @escaping @Sendable (Int) async throws -> Void
    ) async throws {
        var configuration = ConsoleConfiguration(port: 0)
        configuration.answerSecondsMax = answerSecondsMax
        configuration.connectionsMax = connectionsMax
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let server = ConsoleServer(
            configuration: configuration,
            source: source,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            onListening: { found.yield($0) }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask {
                for await port in ports {
                    try await body(port)
                    return
                }
            }
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private static func exchange(_ port: Int, _ request: String) async throws -> (
        status: String, head: String, body: String
    ) {
        let connection = try RawConnection(port: port)
        connection.send(request)
        let answer = try #require(await connection.readToEnd())
        let parts = answer.components(separatedBy: "\r\n\r\n")
        return (
            String(answer.prefix(12).dropFirst(9)), (parts.first ?? "").lowercased(),
            parts.dropFirst().joined(separator: "\r\n\r\n")
        )
    }

    private static func get(_ port: Int, _ path: String, method: String = "GET") async throws -> (
        status: String, head: String, body: String
    ) {
        try await exchange(port, "\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    @Test func `health is told in a status and in words`() async throws {
        let source = source
        try await withServer { port in
            let good = try await Self.get(port, "/readyz")
            #expect(good.status == "200" && good.body == "{\"status\":\"available\",\"reasons\":[]}\n")
            #expect(good.head.contains("content-type: application/json"))
            #expect(good.head.contains("cache-control: no-store"))
            let reason = HealthReason(code: "journal_failed", message: "The \"disk\" failed.\n")
            source.ready.withLock { $0 = HealthReport(status: .unavailable, reasons: [reason]) }
            let bad = try await Self.get(port, "/readyz?verbose=1")
            #expect(bad.status == "503")
            let document = try JSONSerialization.jsonObject(with: Data(bad.body.utf8)) as? [String: Any]
            #expect(document?["status"] as? String == "unavailable")
            let reasons = document?["reasons"] as? [[String: String]]
            #expect(reasons == [["code": "journal_failed", "message": "The \"disk\" failed.\n"]])
        }
    }

    @Test(arguments: [
        (HealthStatus.available, "200", "200"), (.degraded, "200", "200"), (.unavailable, "503", "503"),
        (.unknown, "200", "503"),
    ])
    func `each status has its answer`(status: HealthStatus, live: String, ready: String) async throws {
        source.live.withLock { $0 = HealthReport(status: status) }
        source.ready.withLock { $0 = HealthReport(status: status) }
        try await withServer { port in
            let answers = try await (live: Self.get(port, "/livez"), ready: Self.get(port, "/readyz"))
            #expect(answers.live.status == live && answers.ready.status == ready)
        }
    }

    @Test func `metrics come in the text format`() async throws {
        try await withServer { port in
            let answer = try await Self.get(port, "/metrics")
            #expect(answer.status == "200")
            #expect(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"))
            #expect(answer.body == "# HELP causeway_up Up.\n# TYPE causeway_up gauge\ncauseway_up 1\n")
            let head = try await Self.get(port, "/metrics", method: "HEAD")
            #expect(head.status == "200" && head.body.isEmpty)
            #expect(head.head.contains("content-length: \(answer.body.utf8.count)"))
        }
    }

    @Test func `an unknown path and another method are refused in JSON`() async throws {
        try await withServer { port in
            let unknown = try await Self.get(port, "/../etc/passwd")
            #expect(unknown.status == "404" && unknown.body.hasPrefix("{\"error\":"))
            #expect(try await Self.get(port, "/").status == "404")
            let post = try await Self.get(port, "/metrics", method: "POST")
            #expect(post.status == "405" && post.head.contains("allow: get, head"))
        }
    }

    @Test func `a connection is used for several requests`() async throws {
        try await withServer { port in
            let connection = try RawConnection(port: port)
            connection.send(
                "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            let answer = try #require(await connection.readToEnd())
            #expect(answer.components(separatedBy: "HTTP/1.1 200").count == 3)
        }
    }

    @Test func `a flood of headers, an endless one and bytes that are no HTTP end their connection only`() async throws
    {
        try await withServer { port in
            let many = (0..<100_000).map { "h\($0): 1\r\n" }.joined()
            for request in [
                "GET /livez HTTP/1.1\r\nHost: x\r\n\(many)\r\n",
                "GET /livez HTTP/1.1\r\nHost: x\r\nLong: \(String(repeating: "x", count: 1_000_000))\r\n\r\n",
                "\u{16}\u{3}\u{1} this is no request\r\n\r\n",
            ] {
                let connection = try RawConnection(port: port)
                connection.send(request)
                let answer = await connection.readToEnd()
                #expect(answer?.contains(" 200 ") == false, "refused, or cut without an answer")
            }
            #expect(try await Self.get(port, "/livez").status == "200")
        }
    }

    @Test func `a connection without a request is closed after the limit`() async throws {
        try await withServer(answerSecondsMax: 1) { port in
            let silent = try RawConnection(port: port)
            let slow = try RawConnection(port: port)
            slow.send("GET /livez HTT")
            #expect(await silent.readToEnd() == "")
            #expect(await slow.readToEnd()?.contains("200") == false)
        }
    }

    @Test func `connections beyond the limit wait until one ends`() async throws {
        try await withServer(answerSecondsMax: 3, connectionsMax: 2) { port in
            let held = try (0..<2).map { _ in try RawConnection(port: port) }
            let waiting = try RawConnection(port: port)
            waiting.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await waiting.readToEnd(seconds: 40)?.contains(" 200 ") == true)
            _ = held
        }
    }

    @Test func `a port in use is an error at once`() async throws {
        let source = source
        try await withServer { port in
            let second = ConsoleServer(
                configuration: ConsoleConfiguration(port: port),
                source: source,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            await #expect(throws: (any Error).self) { try await second.run() }
        }
    }

    @Test func `cancelling frees the port, also with a connection open`() async throws {
        let used = Mutex(0)
        let open = Mutex<RawConnection?>(nil)
        try await withServer { port in
            used.withLock { $0 = port }
            let connection = try RawConnection(port: port)
            open.withLock { $0 = connection }
        }
        #expect(throws: (any Error).self) { try RawConnection(port: used.withLock { $0 }) }
    }
}
