import ArgumentParser
import Foundation
import MosquittoClient
import Synchronization

/// How a connection of `pub` or `sub` ended, once: the first reason counts.
final class ClientOutcome: Sendable {
    private struct State {
        var code: Int32?
        var waiting: CheckedContinuation<Int32, Never>?
    }

    private let state = Mutex(State())

    /// Ends with an exit code, unless it has ended before.
    func end(_ code: Int32) {
        let waiting = state.withLock { state -> CheckedContinuation<Int32, Never>? in
            guard state.code == nil else { return nil }
            state.code = code
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume(returning: code)
    }

    /// Waits for the end. For one waiter.
    func wait() async -> Int32 {
        await withCheckedContinuation { continuation in
            let code = state.withLock { state -> Int32? in
                if state.code == nil { state.waiting = continuation }
                return state.code
            }
            if let code { continuation.resume(returning: code) }
        }
    }
}

/// Exit codes of mosquitto_pub and mosquitto_sub: the CONNACK's code if the server refused, 1 if it was not reached,
/// and libmosquitto's number for what happens later.
enum ClientExitCode {
    /// MOSQ_ERR_INVAL, for files and texts that make no sense.
    static let invalid: Int32 = 3
    /// MOSQ_ERR_TIMEOUT, of `-W`.
    static let timeout: Int32 = 27

    /// Of an attempt to connect.
    static func ofConnecting(_ error: MosquittoError) -> Int32 {
        if let reason = error.reasonCode, reason != 0 { return Int32(reason) }
        return 1
    }

    /// Of anything after.
    static func of(_ error: MosquittoError) -> Int32 {
        if let reason = error.reasonCode, reason != 0 { return Int32(reason) }
        return (1...255).contains(error.libraryCode) ? error.libraryCode : 1
    }
}

/// Where `pub` and `sub` say what happens: errors unless `--quiet`, steps with `-d`.
struct ClientLog: Sendable {
    var isQuiet: Bool
    var isDebug: Bool

    init(_ options: BrokerOptions) {
        isQuiet = options.quiet
        isDebug = options.debug
    }

    func error(_ text: @autoclosure () -> String) {
        if !isQuiet { Output.problem("Error: \(text())") }
    }

    func debug(_ text: @autoclosure () -> String) {
        if isDebug { Output.problem(text()) }
    }

    func connected(_ server: MosquittoServer) {
        debug("Client received CONNACK (0), session present: \(server.sessionPresent)")
        if let tls = server.tls { debug("\(tls.version), \(tls.cipher)\(tls.resumed ? ", resumed" : "")") }
        if let id = server.assignedClientID { debug("The server calls this client \(id)") }
    }
}
