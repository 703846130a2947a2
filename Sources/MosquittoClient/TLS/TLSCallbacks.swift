internal import COpenSSL

/// The functions that OpenSSL calls, and the way back from its objects to the context that owns them.
enum TLSCallbacks {
    /// The slot in which an `SSL_CTX` holds its ``MosquittoTLSContext``.
    static let index = cw_ssl_ctx_new_index()

    static func install(on context: OpaquePointer) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verified)
        SSL_CTX_sess_set_new_cb(context, issued)
        SSL_CTX_set_info_callback(context, progressed)
    }

    fileprivate static func owner(of ssl: OpaquePointer) -> MosquittoTLSContext? {
        guard let context = SSL_get_SSL_CTX(ssl), let pointer = SSL_CTX_get_ex_data(context, index) else { return nil }
        return Unmanaged<MosquittoTLSContext>.fromOpaque(pointer).takeUnretainedValue()
    }
}

/// Called for each certificate of the chain. Never changes the verdict; it keeps the reason for the error message.
private func verified(_ accepted: Int32, _ store: OpaquePointer?) -> Int32 {
    guard accepted == 0, let store else { return accepted }
    let code = X509_STORE_CTX_get_error(store)
    let depth = X509_STORE_CTX_get_error_depth(store)
    let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "code \(code)"
    if let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()) {
        TLSCallbacks.owner(of: OpaquePointer(ssl))?.verificationFailed("\(text), at depth \(depth)")
    }
    return accepted
}

/// The server issued a session: returning 1 keeps the reference.
private func issued(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> Int32 {
    guard let ssl, let session, let owner = TLSCallbacks.owner(of: ssl) else { return 0 }
    owner.keep(session)
    return 1
}

/// The hook through which a session reaches an `SSL` that libmosquitto made: OpenSSL tells that a handshake starts
/// before it writes the ClientHello.
private func progressed(_ ssl: OpaquePointer?, _ place: Int32, _ result: Int32) {
    guard place & SSL_CB_HANDSHAKE_START != 0, let ssl, SSL_get_session(ssl) == nil else { return }
    TLSCallbacks.owner(of: ssl)?.resume(ssl)
}

/// OpenSSL's queue of errors of this thread.
enum OpenSSLErrors {
    /// Empties the queue into one line.
    static func drain() -> String {
        var lines: [String] = []
        var buffer = [CChar](repeating: 0, count: 256)
        while case let code = ERR_get_error(), code != 0 {
            ERR_error_string_n(code, &buffer, buffer.count)
            let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            if lines.count < 4 { lines.append(String(decoding: bytes, as: UTF8.self)) }
        }
        return lines.isEmpty ? "no detail" : lines.joined(separator: "; ")
    }
}
