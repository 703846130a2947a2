internal import COpenSSL
internal import Glibc

/// A connected stream socket that never blocks, with TLS where a context is given: for a bridge that speaks MQTT
/// itself.
///
/// It belongs to one thread, which polls ``descriptor`` for what ``wantsRead`` and ``wantsWrite`` say. That thread
/// takes no SIGPIPE (see ``OwnThread``).
package final class ByteStream {
    /// What a read came to.
    package enum Read: Sendable, Hashable {
        /// So many bytes.
        case bytes(Int)
        /// Nothing now.
        case wouldBlock
        /// The peer has closed.
        case ended
    }

    /// The socket.
    package let descriptor: CInt
    /// Whether TLS, where there is any, is up.
    package private(set) var isOpen: Bool
    /// Whether a write can only go on when something can be read; TLS only.
    private var writeWaitsForRead = false
    /// Whether a read or the handshake can only go on when something can be written; TLS only.
    private var readWaitsForWrite = false
    private let ssl: OpaquePointer?
    private let context: MosquittoTLSContext?

    /// Takes over a connected socket and closes it in the end, also if this throws.
    package init(adopting descriptor: CInt, tls context: MosquittoTLSContext? = nil) throws(MosquittoError) {
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw MosquittoError(.system, "the socket cannot be made not to block: \(reason)")
        }
        self.descriptor = descriptor
        self.context = context
        guard let context else {
            ssl = nil
            isOpen = true
            return
        }
        isOpen = false
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else {
            close(descriptor)
            throw MosquittoError(.tls, "cannot make a TLS connection: \(OpenSSLErrors.drain())")
        }
        self.ssl = ssl
        cw_ssl_partial_writes(ssl)
        if !Self.isAddress(context.host) { _ = cw_ssl_set_server_name(ssl, context.host) }
        guard SSL_set_fd(ssl, descriptor) == 1 else {
            throw MosquittoError(.tls, "cannot use the socket for TLS: \(OpenSSLErrors.drain())")
        }
        SSL_set_connect_state(ssl)
    }

    deinit {
        if let ssl { SSL_free(ssl) }
        close(descriptor)
    }

    /// Whether to poll for reading.
    package var wantsRead: Bool { !readWaitsForWrite || writeWaitsForRead }

    /// Whether to poll for writing though the caller has nothing to write.
    package var wantsWrite: Bool { readWaitsForWrite }

    /// Whether decrypted bytes wait that no poll will announce.
    package var hasPendingBytes: Bool { ssl.map { SSL_pending($0) > 0 } ?? false }

    /// Goes on with the TLS handshake.
    /// - Returns: whether it is done.
    package func handshake() throws(MosquittoError) -> Bool {
        guard let ssl, !isOpen else { return true }
        ERR_clear_error()
        let rc = SSL_do_handshake(ssl)
        if rc == 1 {
            isOpen = true
            readWaitsForWrite = false
            return true
        }
        switch SSL_get_error(ssl, rc) {
        case SSL_ERROR_WANT_READ: readWaitsForWrite = false
        case SSL_ERROR_WANT_WRITE: readWaitsForWrite = true
        default: throw tlsFailure("the TLS handshake failed")
        }
        return false
    }

    /// Reads what is there.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(MosquittoError) -> Read {
        guard let ssl else {
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count > 0 { return .bytes(count) }
                if count == 0 { return .ended }
                switch errno {
                case EINTR: continue
                case EAGAIN: return .wouldBlock
                case ECONNRESET, EPIPE: return .ended
                case let error: throw Self.lost(error)
                }
            }
        }
        ERR_clear_error()
        var count = 0
        let rc = SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count)
        readWaitsForWrite = false
        if rc == 1 { return .bytes(count) }
        switch SSL_get_error(ssl, rc) {
        case SSL_ERROR_WANT_READ: return .wouldBlock
        case SSL_ERROR_WANT_WRITE:
            readWaitsForWrite = true
            return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .ended
        case SSL_ERROR_SYSCALL where ERR_peek_error() == 0: return .ended
        default: throw tlsFailure("the TLS connection broke")
        }
    }

    /// Writes as much as the socket takes.
    /// - Returns: how many bytes; 0 if none now.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(MosquittoError) -> Int {
        guard !bytes.isEmpty else { return 0 }
        guard let ssl else {
            while true {
                let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
                if count >= 0 { return count }
                switch errno {
                case EINTR: continue
                case EAGAIN: return 0
                case let error: throw Self.lost(error)
                }
            }
        }
        ERR_clear_error()
        var count = 0
        let rc = SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
        writeWaitsForRead = false
        if rc == 1 { return count }
        switch SSL_get_error(ssl, rc) {
        case SSL_ERROR_WANT_WRITE: return 0
        case SSL_ERROR_WANT_READ:
            writeWaitsForRead = true
            return 0
        default: throw tlsFailure("the TLS connection broke")
        }
    }

    /// Protocol and cipher of the connection; nil without TLS.
    package var tlsDetails: MosquittoTLSDetails? {
        guard let ssl, isOpen else { return nil }
        return MosquittoTLSDetails(
            version: SSL_get_version(ssl).map { String(cString: $0) } ?? "unknown",
            cipher: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) } ?? "unknown",
            resumed: SSL_session_reused(ssl) == 1
        )
    }

    private func tlsFailure(_ what: String) -> MosquittoError {
        let detail = context?.takeVerifyError() ?? OpenSSLErrors.drain()
        return MosquittoError(.tls, "\(what): \(detail)")
    }

    private static func lost(_ error: CInt) -> MosquittoError {
        MosquittoError(.connectionLost, String(cString: strerror(error)))
    }

    private static func isAddress(_ host: String) -> Bool {
        var storage = in6_addr()
        return inet_pton(AF_INET, host, &storage) == 1 || inet_pton(AF_INET6, host, &storage) == 1
    }
}
