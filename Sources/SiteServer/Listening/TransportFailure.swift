internal import Glibc
internal import NIOCore
internal import NIOSSL

/// What an error of a channel means to the operator.
enum TransportFailure {
    /// The peer or the network went away: everyday noise.
    case disconnected(String)
    /// TLS refused the peer, or the peer refused TLS. The sentence says why, without secrets.
    case tls(String)
    /// Anything else.
    case other(String)

    init(
        _ error: any Error,
        during phase: ClientConnection.Phase,
        certificate: () -> NIOSSLCertificate?
    ) {
        switch error {
        case let error as IOError:
            switch error.errnoCode {
            case ECONNRESET, EPIPE, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN, ECONNABORTED:
                self = .disconnected(error.description)
            default: self = .other(error.description)
            }
        case let error as ChannelError: self = .disconnected("\(error)")
        case NIOSSLError.uncleanShutdown where phase == .opening:
            self = .tls("the client went during the handshake")
        case NIOSSLError.uncleanShutdown, is NIOSSLCloseTimedOutError: self = .disconnected("\(error)")
        case NIOSSLError.handshakeFailed(let reason):
            self = .tls(TLSFailureReason.sentence("\(reason)", certificate: certificate()))
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            self = .tls(TLSFailureReason.sentence("\(error)", certificate: nil))
        default: self = .other("\(error)")
        }
    }
}

/// Turns BoringSSL's words for a failed handshake into a sentence for the operator.
enum TLSFailureReason {
    /// What BoringSSL says, and what it means. The first that occurs counts.
    private static let sentences: [(word: String, sentence: String)] = [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client showed no certificate, but this listener requires one"),
        ("ALERT_UNKNOWN_CA", "the client does not know the authority of this server's certificate"),
        ("ALERT_BAD_CERTIFICATE", "the client refuses this server's certificate"),
        ("ALERT_CERTIFICATE_EXPIRED", "the client says that this server's certificate has expired"),
        ("ALERT_CERTIFICATE_UNKNOWN", "the client refuses this server's certificate"),
        // A client that has not changed keys yet sends its alert in the clear, where TLS 1.3 expects ciphertext.
        ("BAD_PACKET_LENGTH", "the client broke the handshake off; it may not trust this server's certificate"),
        ("UNSUPPORTED_PROTOCOL", "the client offers no TLS version that this listener speaks"),
        ("ALERT_PROTOCOL_VERSION", "the client speaks no TLS version that this listener speaks"),
        ("NO_SHARED_CIPHER", "the client offers no cipher suite that this listener takes"),
        ("HTTP_REQUEST", "the client speaks plain HTTP, not TLS"),
        ("WRONG_VERSION_NUMBER", "the client does not speak TLS; plain MQTT on the TLS port?"),
        ("eofDuringHandshake", "the client went during the handshake"),
        ("EOF during handshake", "the client went during the handshake"),
    ]

    static func sentence(_ text: String, certificate: NIOSSLCertificate?) -> String {
        if text.contains("CERTIFICATE_VERIFY_FAILED") { return verificationSentence(certificate) }
        for entry in sentences where text.contains(entry.word) { return entry.sentence }
        return "the handshake failed: \(text.prefix(200))"
    }

    private static func verificationSentence(_ certificate: NIOSSLCertificate?) -> String {
        guard let certificate else { return "the client's certificate is of an authority that is not trusted here" }
        let now = time(nil)
        if certificate.notValidAfter < now { return "the client's certificate has expired" }
        if certificate.notValidBefore > now { return "the client's certificate is not valid yet" }
        return "the client's certificate is of an authority that is not trusted here"
    }
}

extension NIOSSLCertificate {
    /// The subject's common name, if there is exactly one and it can be a user name. With several it would be a matter
    /// of taste which one is the client, so none is.
    var commonName: String? {
        let names = subjectName.filter { $0.type == .commonName }
        guard names.count == 1, let name = names.first?.value else { return nil }
        return SubjectName.usable(name)
    }
}
