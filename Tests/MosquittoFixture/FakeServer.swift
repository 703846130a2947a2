internal import Foundation
internal import Glibc

/// A server that says exactly what a test wants, byte by byte, to one client at a time.
public final class FakeServer: @unchecked Sendable {
    // SAFETY: one test uses it from one thread.
    /// The port it listens on.
    public let port: UInt16
    private let listener: Int32
    private var client: Int32 = -1

    /// Listens on a free port.
    public init() throws {
        (listener, port) = try listenOnLoopback()
    }

    deinit {
        if client >= 0 { close(client) }
        close(listener)
    }

    /// Waits for a client.
    public func accept(seconds: Double = 10) throws {
        guard isReadable(listener, seconds: seconds) else { throw DeadlinePassed(description: "no client came") }
        client = Glibc.accept(listener, nil, nil)
    }

    /// Waits for one packet and returns it, fixed header included; nil if none comes in time or the client left.
    public func readPacket(seconds: Double = 10) -> [UInt8]? {
        guard let first = readByte(seconds) else { return nil }
        var packet = [first]
        var length = 0
        var shift = 0
        while true {
            guard let byte = readByte(seconds) else { return nil }
            packet.append(byte)
            length |= Int(byte & 127) << shift
            shift += 7
            if byte & 128 == 0 { break }
        }
        for _ in 0..<length {
            guard let byte = readByte(seconds) else { return nil }
            packet.append(byte)
        }
        return packet
    }

    /// Whether something (also the end) comes within the time.
    public func isReadable(seconds: Double) -> Bool { isReadable(client, seconds: seconds) }

    /// Sends bytes.
    public func send(_ bytes: [UInt8]) {
        _ = Glibc.send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Reads CONNECT and answers with success and these properties (MQTT 5.0) or none (nil: 3.1.1).
    public func acceptSession(properties: [UInt8]? = []) throws {
        try accept()
        guard readPacket()?.first == 0x10 else { throw DeadlinePassed(description: "no CONNECT came") }
        if let properties {
            send([0x20, UInt8(3 + properties.count), 0, 0, UInt8(properties.count)] + properties)
        } else {
            send([0x20, 2, 0, 0])
        }
    }

    /// Closes the client's connection.
    public func hangUp() {
        if client >= 0 { close(client) }
        client = -1
    }

    private func isReadable(_ descriptor: Int32, seconds: Double) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, Int32(seconds * 1000)) > 0
    }

    private func readByte(_ seconds: Double) -> UInt8? {
        guard isReadable(client, seconds: seconds) else { return nil }
        var byte: UInt8 = 0
        return read(client, &byte, 1) == 1 ? byte : nil
    }
}
