internal import CMosquitto
internal import Glibc

/// What went wrong with a connection or a call. Its text never holds payloads, topics or credentials.
public struct MosquittoError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: String, Sendable, Hashable, CaseIterable {
        /// A value of the configuration or an argument is not possible.
        case invalidArgument
        /// A topic name or filter is not valid.
        case invalidTopic
        /// TLS could not be set up or the handshake failed.
        case tls
        /// The host name could not be resolved.
        case nameResolution
        /// No TCP connection could be made.
        case unreachable
        /// The server refused the CONNECT.
        case refused
        /// The server refused the credentials or the certificate.
        case notAuthorized
        /// The server closed the connection with a reason (MQTT 5.0 DISCONNECT).
        case closedByServer
        /// The connection broke.
        case connectionLost
        /// The server answered nothing in time.
        case timeout
        /// There is no connection.
        case notConnected
        /// The peer broke the protocol.
        case protocolViolation
        /// The packet is larger than the protocol or the server allows.
        case tooLarge
        /// The server does not take this quality of service.
        case qosNotSupported
        /// The server does not take retained messages.
        case retainNotSupported
        /// Inbound messages could not be kept; they were not acknowledged and the connection was closed.
        case notAcknowledged
        /// The system refused a resource.
        case system
        /// Anything else.
        case other
    }

    /// What kind of failure it is.
    public let code: Code
    /// The library's `MOSQ_ERR_…` number, 0 if it is none of the library's.
    public let libraryCode: Int32
    /// The MQTT reason code (or the return code of a 3.1.1 CONNACK) where the server gave one.
    public let reasonCode: UInt8?
    /// One sentence.
    public let message: String
    /// Where it was made.
    public let fileID: String
    /// Where it was made.
    public let line: UInt

    /// Makes an error.
    public init(
        _ code: Code,
        libraryCode: Int32 = 0,
        reasonCode: UInt8? = nil,
        _ message: String,
        fileID: String = #fileID,
        line: UInt = #line
    ) {
        self.code = code
        self.libraryCode = libraryCode
        self.reasonCode = reasonCode
        self.message = message
        self.fileID = fileID
        self.line = line
    }

    /// Code, message and reason in one line.
    public var description: String {
        var text = "\(code.rawValue): \(message)"
        if let reasonCode { text += " (reason 0x\(String(reasonCode, radix: 16)))" }
        return text
    }
}

extension MosquittoError {
    /// What the library's return value means. `detail` is what OpenSSL or the library's log said of it.
    static func library(
        _ rc: Int32,
        systemError: Int32 = 0,
        detail: String? = nil,
        fileID: String = #fileID,
        line: UInt = #line
    ) -> MosquittoError {
        let code: Code
        switch mosq_err_t(rawValue: rc) {
        case MOSQ_ERR_INVAL, MOSQ_ERR_NOT_SUPPORTED: code = .invalidArgument
        case MOSQ_ERR_MALFORMED_UTF8: code = .invalidTopic
        case MOSQ_ERR_TLS, MOSQ_ERR_TLS_HANDSHAKE, MOSQ_ERR_OCSP: code = .tls
        case MOSQ_ERR_EAI, MOSQ_ERR_LOOKUP: code = .nameResolution
        case MOSQ_ERR_CONN_REFUSED: code = .refused
        case MOSQ_ERR_AUTH, MOSQ_ERR_ACL_DENIED: code = .notAuthorized
        case MOSQ_ERR_CONN_LOST: code = .connectionLost
        case MOSQ_ERR_NO_CONN: code = .notConnected
        case MOSQ_ERR_KEEPALIVE, MOSQ_ERR_TIMEOUT: code = .timeout
        case MOSQ_ERR_PROTOCOL, MOSQ_ERR_MALFORMED_PACKET, MOSQ_ERR_DUPLICATE_PROPERTY: code = .protocolViolation
        case MOSQ_ERR_PAYLOAD_SIZE, MOSQ_ERR_OVERSIZE_PACKET: code = .tooLarge
        case MOSQ_ERR_QOS_NOT_SUPPORTED: code = .qosNotSupported
        case MOSQ_ERR_RETAIN_NOT_SUPPORTED: code = .retainNotSupported
        case MOSQ_ERR_NOMEM: code = .system
        case MOSQ_ERR_ERRNO: code = .unreachable
        default: code = .other
        }
        var message: String
        if rc == MOSQ_ERR_ERRNO.rawValue, systemError != 0 {
            message = String(cString: strerror(systemError))
        } else if rc == MOSQ_ERR_EAI.rawValue, systemError != 0 {
            message = String(cString: gai_strerror(systemError))
        } else {
            message = String(cString: mosquitto_strerror(rc))
        }
        if let detail { message += " [\(detail)]" }
        return MosquittoError(code, libraryCode: rc, message, fileID: fileID, line: line)
    }

    /// What a CONNACK with an error means.
    static func connack(_ reason: Int32, version: MosquittoProtocol) -> MosquittoError {
        let byte = UInt8(truncatingIfNeeded: reason)
        let unauthorized: Set<UInt8> = version == .v5 ? [0x86, 0x87, 0x8A, 0x8C] : [4, 5]
        let text = version == .v5 ? mosquitto_reason_string(reason) : mosquitto_connack_string(reason)
        return MosquittoError(
            unauthorized.contains(byte) ? .notAuthorized : .refused,
            libraryCode: MOSQ_ERR_CONN_REFUSED.rawValue,
            reasonCode: byte,
            text.map { String(cString: $0) } ?? "the server refused the connection"
        )
    }
}
