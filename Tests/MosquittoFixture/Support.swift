public import Foundation
internal import Glibc

/// A test's condition did not come true in time.
public struct DeadlinePassed: Error, CustomStringConvertible {
    /// What was waited for.
    public let description: String

    /// Makes one.
    public init(description: String) { self.description = description }
}

/// Waits until the condition is true, at most until the deadline.
public func eventually(_ what: String, seconds: Double = 20, _ condition: () throws -> Bool) throws {
    let deadline = Date().addingTimeInterval(seconds)
    while try !condition() {
        guard Date() < deadline else { throw DeadlinePassed(description: what) }
        usleep(5_000)
    }
}

/// A TCP port of 127.0.0.1 that nobody uses now.
public func freePort() throws -> UInt16 {
    let (descriptor, port) = try listenOnLoopback()
    close(descriptor)
    return port
}

/// A listening socket on a free port of 127.0.0.1.
public func listenOnLoopback() throws -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopback(port: 0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            bind(descriptor, pointer, size) == 0 && listen(descriptor, 16) == 0
                && getsockname(descriptor, pointer, &size) == 0
        }
    }
    guard bound else { throw DeadlinePassed(description: "cannot listen on 127.0.0.1") }
    return (descriptor, UInt16(bigEndian: address.sin_port))
}

/// Whether something accepts connections on the port.
public func canConnect(to port: UInt16) -> Bool {
    guard let descriptor = connectToLoopback(port) else { return false }
    close(descriptor)
    return true
}

/// A connected socket, or nil.
public func connectToLoopback(_ port: UInt16) -> Int32? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    var address = loopback(port: port)
    let connected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
    guard connected else {
        close(descriptor)
        return nil
    }
    return descriptor
}

private func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
}

/// Runs a test with a folder that is gone afterwards.
public func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("causeway-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

/// Runs a program to its end.
@discardableResult
public func run(_ program: String, _ arguments: [String], in folder: URL) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.currentDirectoryURL = folder
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw DeadlinePassed(description: "\(program) failed: \(text)") }
    return text
}
